"""The score of a deep linear network: its log-density differentiated, by the chain rule through the outputs.

With f = W x, `∂ log q/∂θ = gᵀ ∂f/∂θ`, where `g = ∂ log q/∂f` is linear in the residual y − f. Each `∂f/∂θ` is a
column of polynomials linear in x; its greatest common divisor carries the x, so `∂f/∂θ = a · (v x)`. Nothing is
assumed about a and v: that they are columns of A_i and rows of B_i is a theorem.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, reduce
from typing import NamedTuple, Protocol

import numpy as np
from sympy import Matrix, Symbol

from ngdsym.algebra.explicit import Exact, Field, identical, object_array, unvec
from ngdsym.algebra.fields import Number, RationalFunction
from ngdsym.network.formulas import Formulas


class Network(Protocol):
    """What is differentiated: a network's letters, its exact numbers and its log-density."""

    weights: list[Matrix]
    x: Matrix
    y: Matrix
    noise: Matrix

    @property
    def field(self) -> Field: ...

    @property
    def formulas(self) -> Formulas: ...

    @property
    def parameters(self) -> list[Symbol]: ...

    def exponent(self, residual: Exact, formulas: Formulas) -> Number: ...


class Sensitivity(NamedTuple):
    """`∂f/∂θ = a · (v x)`: where a parameter acts on the outputs, and which input it multiplies."""

    outputs: Exact
    inputs: Exact


class Score:
    """Derivatives of `log q(y|x)` by the weights, and their averages.

    Parameters
    ----------
    net
        The network.
    """

    def __init__(self, net: Network) -> None:
        self.net = net

    @cached_property
    def output_score(self) -> Exact:
        """K in `∂ log q/∂f = K (y − f)`, `n_L × n_L`, by differentiation: a change of f is one of −(y − f)."""
        field, letters = self.net.field, self.net.noise
        exponent = self.net.exponent(field.exact(letters), self.net.formulas)
        return np.vstack([field.linear_part(-field.derivative(exponent, r), letters) for r in letters])

    @cached_property
    def output_covariance(self) -> Exact:
        """`⟨g gᵀ⟩ = K Σ̃ Kᵀ`, as `⟨(y − f)(y − f)ᵀ⟩ = Σ̃` under the model."""
        return self.output_score @ self.net.formulas.output_covariance @ self.output_score.T

    @cached_property
    def sensitivities(self) -> list[Sensitivity]:
        """`∂f/∂θ` of every parameter, by differentiation of `f = W x`."""
        f = self.net.formulas.W @ self.net.field.exact(self.net.x)
        return [
            self._split([self.net.field.derivative(entry, theta) for entry in f.flat]) for theta in self.net.parameters
        ]

    def _split(self, column: list[RationalFunction]) -> Sensitivity:
        common = reduce(lambda p, q: p.gcd(q), [entry.num for entry in column])
        shared = RationalFunction(common, column[0].den)
        outputs = object_array([entry / shared for entry in column], (len(column), 1))
        return Sensitivity(outputs, self.net.field.linear_part(shared, self.net.x))

    @cached_property
    def of_data(self) -> Exact:
        """The score as exact functions of x and y, a column of length P."""
        net = self.net
        x, y = net.field.exact(net.x), net.field.exact(net.y)
        g = self.output_score @ (y - net.formulas.W @ x)
        scores = [(s.outputs.T @ g)[0, 0] * (s.inputs @ x)[0, 0] for s in self.sensitivities]
        return object_array(scores, (len(scores), 1))

    def covariance_factors(
        self, input_covariance: Exact, number: Callable[[Exact], Exact] = lambda exact: exact
    ) -> tuple[Exact, Exact, list[tuple[int, int]]]:
        """The covariance of the score: `F_θφ = (aᵀ⟨g gᵀ⟩a')(v Σ v'ᵀ)`, as ε and x are independent.

        Both matrices of products, for the distinct a and v, and the places of each parameter's a and v.

        Parameters
        ----------
        input_covariance
            Σ in some kind of numbers.
        number
            From exact functions to that kind of numbers.
        """
        a, a_places = _distinct([s.outputs.T for s in self.sensitivities])
        v, v_places = _distinct([s.inputs for s in self.sensitivities])
        a, v, g = number(a), number(v), number(self.output_covariance)
        return a @ g @ a.T, v @ input_covariance @ v.T, list(zip(a_places, v_places))

    @property
    def covariance(self) -> Exact:
        """The covariance of the score under the model, `P × P`."""
        outputs, inputs, places = self.covariance_factors(self.net.formulas.input_covariance)
        return np.array([[outputs[a, b] * inputs[v, w] for b, w in places] for a, v in places], dtype=object)

    def loss_gradient(
        self, i: int, formulas: Formulas, number: Callable[[Exact], Exact] = lambda exact: exact
    ) -> Exact:
        """`∂L/∂W_i = −⟨∂ log q/∂W_i⟩ = −aᵀ K (⟨y xᵀ⟩ − W Σ) vᵀ`, `n_i × n_{i-1}`, averaged over the data.

        Parameters
        ----------
        formulas
            Moments of the data and the map, in some kind of numbers.
        number
            From exact functions to that kind of numbers.
        """
        start, shape = sum(len(W) for W in self.net.weights[: i - 1]), self.net.weights[i - 1].shape
        layer = self.sensitivities[start : start + shape[0] * shape[1]]
        a, a_places = _distinct([s.outputs.T for s in layer])
        v, v_places = _distinct([s.inputs for s in layer])
        missing = formulas.cross_covariance - formulas.W @ formulas.input_covariance
        means = -(number(a) @ (number(self.output_score) @ (missing @ number(v).T)))
        return unvec(object_array([means[place] for place in zip(a_places, v_places)], (len(layer), 1)), shape)


def _distinct(rows: list[Exact]) -> tuple[Exact, list[int]]:
    """The different ones among equal-length rows, stacked, and where each row is among them."""
    found: list[Exact] = []
    places = []
    for row in rows:
        place = next((k for k, other in enumerate(found) if identical(row, other)), len(found))
        found += [row] if place == len(found) else []
        places.append(place)
    return np.vstack(found), places
