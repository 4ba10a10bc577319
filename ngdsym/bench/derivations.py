"""Derivations of `LinearNetwork` against plain SymPy matrices, timed in turns in one run.

The plain code is what one writes by hand: products of matrices, `.inv()`, `.jacobian()`, nothing simplified. It
gets the same symbols and must give the same matrix: both are compared at a random point. Where there is no plain
code that ends in a minute, only the time of `LinearNetwork` is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sympy import Basic, Matrix, Rational, kronecker_product

from ngdsym.network.linear_network import LinearNetwork
from ngdsym.network.points import random_values
from ngdsym.rules.table import Table

Derivation = Callable[[LinearNetwork], Matrix]


def plain_map(net: LinearNetwork) -> Matrix:
    """W_L ⋯ W_1."""
    product = net.weights[0]
    for W in net.weights[1:]:
        product = W * product
    return product


def plain_fisher(net: LinearNetwork) -> Matrix:
    """Jᵀ H J, J by differentiation."""
    J = plain_map(net).vec().jacobian(net.parameters)
    return J.T * kronecker_product(net.input_covariance, net.output_covariance.inv(method="ADJ")) * J


def plain_gradient(net: LinearNetwork) -> Matrix:
    """−Aᵀ Σ̃⁻¹ (⟨y xᵀ⟩ − W Σ) of the first layer."""
    A = Matrix.eye(net.sizes[-1])
    for W in net.weights[:0:-1]:
        A = A * W
    missing = net.cross_covariance - plain_map(net) * net.input_covariance
    return -A.T * net.output_covariance.inv(method="ADJ") * missing


def plain_residual(net: LinearNetwork) -> Matrix:
    """W* − W, the flow of wide networks."""
    return net.cross_covariance * net.input_covariance.inv(method="ADJ") - plain_map(net)


def plain_updates(net: LinearNetwork) -> Matrix:
    """Eq. 16 in two square layers, stacked: ½ W_2⁻¹ Z and ½ Z W_1⁻¹."""
    W_1, W_2 = net.weights
    Z = plain_residual(net)
    return Matrix([(W_2.inv(method="ADJ") * Z / 2).vec(), (Z * W_1.inv(method="ADJ") / 2).vec()])


def updates(net: LinearNetwork) -> Matrix:
    """All updates, stacked."""
    return Matrix([dW.vec() for dW in net.natural_gradient("exact")])


@dataclass(frozen=True)
class Case:
    """A derivation at given sizes, and plain code for it."""

    name: str
    sizes: tuple[int, ...]
    ours: Derivation
    plain: Derivation | None = None


def fisher(net: LinearNetwork) -> Matrix:
    """The Fisher matrix from the log-density."""
    return net.fisher()


def gradient(net: LinearNetwork) -> Matrix:
    """The gradient of the first layer."""
    return net.loss_gradient(1)


def flow(net: LinearNetwork) -> Matrix:
    """The exact flow of the map."""
    return net.flow("exact")


def inverse(net: LinearNetwork) -> Matrix:
    """The exact generalized inverse."""
    return net.generalized_inverse("exact")


CASES = (
    Case("fisher", (3, 3, 3), fisher, plain_fisher),
    Case("fisher", (4, 2, 4), fisher, plain_fisher),
    Case("fisher", (4, 4, 4), fisher, plain_fisher),
    Case("loss_gradient(1)", (4, 4, 4), gradient, plain_gradient),
    Case('flow("exact")', (4, 4, 4), flow, plain_residual),
    Case('flow("exact")', (5, 2, 5), flow),
    Case('natural_gradient("exact")', (3, 3, 3), updates, plain_updates),
    Case('natural_gradient("exact")', (4, 4, 4), updates, plain_updates),
    Case('natural_gradient("exact")', (4, 2, 4), updates),
    Case('generalized_inverse("exact")', (4, 4, 4), inverse),
)


@dataclass(frozen=True)
class Timing:
    """Seconds of processor time, and of the plain code where there is one."""

    name: str
    sizes: tuple[int, ...]
    ours: float
    plain: float | None

    def as_dict(self) -> dict[str, object]:
        """The timing as plain data."""
        ratio = None if self.plain is None else self.plain / self.ours
        return {
            "derivation": self.name,
            "sizes": list(self.sizes),
            "seconds": self.ours,
            "plain_seconds": self.plain,
            "ratio": ratio,
        }


class DifferentResult(AssertionError):
    """Plain code and `LinearNetwork` disagree at a random point."""


def measure(case: Case) -> Timing:
    """Time a case, each derivation on a fresh network, and compare the results at a random point.

    Raises
    ------
    DifferentResult
        If both derivations give different matrices.
    """
    net = LinearNetwork(case.sizes)
    ours, seconds = _timed(case.ours, net)
    if case.plain is None:
        return Timing(case.name, case.sizes, seconds, None)
    plain, plain_seconds = _timed(case.plain, net)
    values = {symbol: Rational(int(value.p)) for symbol, value in random_values(net.field, 0).items()}
    if ours.xreplace(values) != plain.xreplace(values):
        raise DifferentResult(f"{case.name} of {case.sizes} is not what plain SymPy gives")
    return Timing(case.name, case.sizes, seconds, plain_seconds)


def _timed(derivation: Derivation, net: LinearNetwork) -> tuple[Matrix, float]:
    started = time.process_time()
    result = derivation(net)
    return result, time.process_time() - started


def table(timings: list[Timing]) -> Table:
    """One row per derivation, in processor time."""
    rows: list[list[str | Basic]] = []
    for timing in timings:
        plain = ("–", "–") if timing.plain is None else (f"{timing.plain:.2f} s", f"{timing.plain / timing.ours:.1f} ×")
        rows.append([timing.name, str(timing.sizes), f"{timing.ours:.2f} s", *plain])
    return Table(["derivation", "sizes", "ours", "plain SymPy", "ratio"], rows)
