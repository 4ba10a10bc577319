"""A deep linear network as dense matrices, the reference that network-wide statements are measured against.

J comes from the product rule on explicit products, F = Jᵀ H J is formed in full, without Kronecker formulas.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from typing import Any

import numpy as np

from ngdsym.algebra import fields
from ngdsym.algebra.instance import Draw, Matrix


class Net:
    """Random weights `W[0..L-1]`, Σ, Σ̃⁻¹ = P and W*, in float64 or exact numbers.

    Parameters
    ----------
    sizes : n_0 … n_L.
    draw : source of numbers, as for `Instance`.
    """

    def __init__(self, sizes: Sequence[int], draw: Draw) -> None:
        self.sizes = tuple(sizes)
        self.draw = draw
        self.exact = not isinstance(draw(), float)
        self.L = len(sizes) - 1
        self.W = [self.generic(sizes[i + 1], sizes[i]) for i in range(self.L)]
        self.input_root, self.output_root = (self.generic(n, n) + 2 * self.eye(n) for n in (sizes[0],
                                                                                            sizes[-1]))
        self.Sigma, self.Sigma_tilde = (root @ root.T for root in (self.input_root, self.output_root))
        self.P = self.inv(self.Sigma_tilde)
        self.Wstar = self.generic(sizes[-1], sizes[0])

    def generic(self, rows: int, cols: int) -> Matrix:
        """A matrix of independent numbers."""
        numbers = [[self.draw() for _ in range(cols)] for _ in range(rows)]
        return np.array(numbers, dtype=object if self.exact else float)

    def product(self, first: int, last: int) -> Matrix:
        """W_last ⋯ W_first of layers counted from 1; identity when empty."""
        chain = self.W[first - 1:last][::-1]
        return reduce(lambda a, b: a @ b, chain, self.eye(self.sizes[last]))

    def eye(self, size: int) -> Matrix:
        """Identity of the right kind of numbers."""
        return fields.identity(size) if self.exact else np.eye(size)

    def A(self, i: int) -> Matrix:
        """Backward product of layer i."""
        return self.product(i + 1, self.L)

    def B(self, i: int) -> Matrix:
        """Forward product below layer i."""
        return self.product(1, i - 1)

    @property
    def layers(self) -> range:
        """1 … L."""
        return range(1, self.L + 1)

    @property
    def Z(self) -> Matrix:
        """Residual W* − W."""
        return self.Wstar - self.product(1, self.L)

    def error_covariance(self, i: int) -> Matrix:
        """Λ̃_i."""
        return self.A(i).T @ self.P @ self.A(i)

    def input_covariance(self, i: int) -> Matrix:
        """Λ_{i-1}."""
        return self.B(i) @ self.Sigma @ self.B(i).T

    def loss(self) -> Any:
        """½ tr P Z Σ Zᵀ, the loss above its minimum."""
        return np.trace(self.P @ self.Z @ self.Sigma @ self.Z.T) * self.number(1, 2)

    def derivative(self, function: Callable[[], Any], i: int) -> Matrix:
        """Derivative of a function in the entries of W_i by central differences, exact for quadratic ones."""
        weights, half = self.W[i - 1], self.number(1, 2)
        result = weights * 0
        for index in np.ndindex(weights.shape):
            shift = weights * 0
            shift[index] = self.number(1)
            sides = []
            for step in (shift, -shift):
                self.W[i - 1] = weights + step
                sides.append(function())
            result[index] = (sides[0] - sides[1]) * half
        self.W[i - 1] = weights
        return result

    def score(self, x: Matrix, y: Matrix) -> Matrix:
        """Derivative of log q(y | x) in all weights, stacked by column and layer."""
        def log_density() -> Any:
            error = y - self.product(1, self.L) @ x
            return -(error @ self.P @ error) * self.number(1, 2)
        return np.concatenate([vec(self.derivative(log_density, i)) for i in self.layers])

    def fisher_from_scores(self) -> Matrix:
        """⟨score scoreᵀ⟩ under the model, exact by a design of examples with the right second moments."""
        scores = [self.score(x, self.product(1, self.L) @ x + noise)
                  for x in self.input_root.T for noise in self.output_root.T]
        return np.sum([np.outer(s, s) for s in scores], axis=0)

    def gradient(self, i: int) -> Matrix:
        """G_i, the negative gradient."""
        return self.A(i).T @ self.P @ self.Z @ self.Sigma @ self.B(i).T

    @cached_property
    def J(self) -> Matrix:
        """Jacobian of θ ↦ vec W, columns by perturbing one weight at a time (W is linear in each)."""
        columns = []
        for i in self.layers:
            for b in range(self.sizes[i - 1]):
                for a in range(self.sizes[i]):
                    columns.append(vec(np.outer(self.A(i)[:, a], self.B(i)[b])))
        return np.stack(columns, axis=1)

    @cached_property
    def H(self) -> Matrix:
        """Fisher metric Σ ⊗ Σ̃⁻¹ on vec W."""
        return np.kron(self.Sigma, self.P)

    @cached_property
    def F(self) -> Matrix:
        """Fisher matrix Jᵀ H J."""
        return self.J.T @ self.H @ self.J

    def block(self, i: int, j: int) -> Matrix:
        """Block (i, j) of F."""
        ends = np.cumsum([0] + [self.sizes[k] * self.sizes[k - 1] for k in self.layers])
        return self.F[ends[i - 1]:ends[i], ends[j - 1]:ends[j]]

    def exact_flow(self) -> Matrix:
        """dW/dt under F⁺, by way of the dense Fisher matrix."""
        step = self.J @ self.pinv(self.F) @ (self.J.T @ (self.H @ vec(self.Z)))
        return unvec(step, self.sizes[-1])

    def paper_inverse(self) -> Matrix:
        """The paper's generalized inverse (23), with pseudo-inverses."""
        rows = [[np.kron(self.pinv(self.B(j) @ self.Sigma @ self.B(i).T),
                         self.pinv(self.A(j).T @ self.P @ self.A(i)))
                 for j in self.layers] for i in self.layers]
        return np.block(rows) * self.number(1, self.L**2)

    def paper_updates(self) -> list[Matrix]:
        """dW_i/dt of (10), with pseudo-inverses."""
        return [self.pinv(self.error_covariance(i)) @ self.gradient(i) @ self.pinv(self.input_covariance(i))
                * self.number(1, self.L) for i in self.layers]

    def flow_of(self, updates: Sequence[Matrix]) -> Matrix:
        """dW/dt = Σ A_i dW_i B_i."""
        return sum(self.A(i) @ updates[i - 1] @ self.B(i) for i in self.layers)

    def pinv(self, matrix: Matrix) -> Matrix:
        """Moore–Penrose inverse."""
        return fields.pseudo_inverse(matrix) if self.exact else np.linalg.pinv(matrix, rcond=1e-9)

    def inv(self, matrix: Matrix) -> Matrix:
        """Inverse."""
        return fields.inverse(matrix) if self.exact else np.linalg.inv(matrix)

    def rank(self, matrix: Matrix) -> int:
        """Rank."""
        return fields.rank(matrix) if self.exact else int(np.linalg.matrix_rank(matrix, rtol=1e-9))

    def number(self, p: int, q: int = 1) -> Any:
        """p/q."""
        return self.eye(1)[0, 0] * p / q


def vec(matrix: Matrix) -> Matrix:
    """Columns stacked."""
    return matrix.T.reshape(-1)


def unvec(vector: Matrix, rows: int) -> Matrix:
    """Inverse of `vec`."""
    return vector.reshape(-1, rows).T


def distance(a: Matrix, b: Matrix) -> float:
    """Relative distance of two float64 arrays."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return float(np.linalg.norm(a - b) / max(1.0, float(np.linalg.norm(a)), float(np.linalg.norm(b))))
