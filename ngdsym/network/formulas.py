"""The quantities of a deep linear network, written once for every kind of exact number.

Layers are counted 1 … L. All pseudo-inverses go through full-rank factorisations `A_i = U V` and `B_i = V U`.
For weights of rational numbers these are computed, so that every formula holds whatever their rank. For
symbols the weights are generic, `rank A_i = min(n_i … n_L)`, `rank B_i = min(n_0 … n_{i-1})`, and U, V are the
products on both sides of the narrowest layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add, matmul
from typing import NamedTuple

import flint
import numpy as np
from sympy import Expr, Integer

from ngdsym.algebra.explicit import (
    Exact,
    determinant,
    inverse,
    pseudo_inverse,
    rank_factorisation,
)
from ngdsym.algebra.factored import Factored
from ngdsym.algebra.fields import Number, identity


class Share(NamedTuple):
    """A term `weight · E X D` of the exact update of layer i, X its gradient or the residual."""

    weight: flint.fmpq
    E: Exact
    D: Exact


@dataclass(frozen=True)
class Formulas:
    """Exact matrices of a deep linear network.

    Parameters
    ----------
    sizes
        `(n_0, …, n_L)`.
    weights
        `(W_1, …, W_L)`, `W_i` of shape `n_i × n_{i-1}`.
    input_covariance, output_covariance, cross_covariance
        Σ `n_0 × n_0`, Σ̃ `n_L × n_L`, ⟨y xᵀ⟩ `n_L × n_0`.
    """

    sizes: tuple[int, ...]
    weights: tuple[Exact, ...]
    input_covariance: Exact
    output_covariance: Exact
    cross_covariance: Exact

    @property
    def L(self) -> int:
        """Number of layers."""
        return len(self.weights)

    @property
    def layers(self) -> range:
        """1 … L."""
        return range(1, self.L + 1)

    def product(self, i: int, j: int) -> Exact:
        """`W_i W_{i-1} ⋯ W_{j+1}`, from layer j to layer i (identity if i = j)."""
        chain = [self.weights[k - 1] for k in range(i, j, -1)]
        return reduce(matmul, chain) if chain else identity(self.sizes[i])

    def A(self, i: int) -> Exact:
        """Backward product `A_i = W_L ⋯ W_{i+1}`."""
        return self.product(self.L, i)

    def B(self, i: int) -> Exact:
        """Forward product `B_i = W_{i-1} ⋯ W_1`."""
        return self.product(i - 1, 0)

    @cached_property
    def W(self) -> Exact:
        """End-to-end map."""
        return self.product(self.L, 0)

    @cached_property
    def precision(self) -> Exact:
        """Σ̃⁻¹."""
        return inverse(self.output_covariance)

    @cached_property
    def least_squares(self) -> Exact:
        """`W* = ⟨y xᵀ⟩ Σ⁻¹`."""
        return self.cross_covariance @ inverse(self.input_covariance)

    @cached_property
    def residual(self) -> Exact:
        """`Z = W* − W`."""
        return self.least_squares - self.W

    def forward_covariance(self, i: int, j: int) -> Exact:
        """`⟨x_{i-1} x_{j-1}ᵀ⟩ = B_i Σ B_jᵀ` (Eq. 15)."""
        return self.B(i) @ self.input_covariance @ self.B(j).T

    def backward_covariance(self, i: int, j: int) -> Exact:
        """`⟨e_i e_jᵀ⟩ = A_iᵀ Σ̃⁻¹ A_j` (Eq. 14)."""
        return self.A(i).T @ self.precision @ self.A(j)

    # Ranks and full-rank factorisations

    @cached_property
    def at_point(self) -> bool:
        """Whether the weights are rational numbers."""
        return all(isinstance(w, flint.fmpq) for W in self.weights for w in W.flat)

    @cached_property
    def _splits_A(self) -> list[tuple[Exact, Exact]]:
        if self.at_point:
            return [rank_factorisation(self.A(i)) for i in self.layers]
        necks = [max(k for k in range(i, self.L + 1) if self.sizes[k] == min(self.sizes[i:])) for i in self.layers]
        return [(self.A(k), self.product(k, i)) for i, k in zip(self.layers, necks)]

    @cached_property
    def _splits_B(self) -> list[tuple[Exact, Exact]]:
        if self.at_point:
            return [rank_factorisation(self.B(i)) for i in self.layers]
        necks = [min(k for k in range(i) if self.sizes[k] == min(self.sizes[:i])) for i in self.layers]
        return [(self.product(i - 1, k), self.product(k, 0)) for i, k in zip(self.layers, necks)]

    def split_A(self, i: int) -> tuple[Exact, Exact]:
        """`A_i = U V`, U of full column rank and V of full row rank."""
        return self._splits_A[i - 1]

    def split_B(self, i: int) -> tuple[Exact, Exact]:
        """`B_i = V U`, V of full column rank and U of full row rank."""
        return self._splits_B[i - 1]

    def rank_A(self, i: int) -> int:
        """Rank of A_i; 0 for i = 0 (no direction is seen before the first layer)."""
        return self.split_A(i)[0].shape[1] if i else 0

    def rank_B(self, i: int) -> int:
        """Rank of B_i; 0 for i = L + 1."""
        return self.split_B(i)[0].shape[1] if i <= self.L else 0

    @property
    def is_wide(self) -> bool:
        """Whether rank A_1 = n_L and rank B_L = n_0; generically: no hidden layer is narrower than the ends."""
        return self.rank_A(1) == self.sizes[-1] and self.rank_B(self.L) == self.sizes[0]

    def volumes(self) -> dict[str, Number]:
        """What vanishes iff an A_i or B_i is not of generic rank, by the rank in words; nothing at a point."""
        if self.at_point:
            return {}
        return {
            f"rank {name}_{i} = {rank(i)}": _volume(split(i))
            for name, split, rank in (("A", self.split_A, self.rank_A), ("B", self.split_B, self.rank_B))
            for i in self.layers
        }

    def flow_volumes(self, kind: str) -> dict[str, Number]:
        """What vanishes iff the generic `flow` does not hold, by the rank in words; nothing at a point.

        The flow is Z iff a layer i has rank A_i = n_L and rank B_i = n_0: its `A_i X B_i` reach every map.
        """
        if self.at_point:
            return {}
        volumes, last = self.volumes(), self.L
        free = [i for i in self.layers if self.rank_A(i) == self.sizes[-1] and self.rank_B(i) == self.sizes[0]]
        if kind == "exact" and free:
            a, b = self.sizes[-1], self.sizes[0]
            reached = [volumes[f"rank A_{i} = {a}"] * volumes[f"rank B_{i} = {b}"] for i in free]
            return {f"rank A_i = {a} and rank B_i = {b} for some i": reduce(add, [v * v for v in reached])}
        ends = {f"rank A_1 = {self.rank_A(1)}", f"rank B_{last} = {self.rank_B(last)}"}
        return {rank: v for rank, v in volumes.items() if rank in ends or kind == "paper" and not self.is_wide}

    # Pseudo-inverses

    def left(self, i: int) -> Exact:
        """`Λ̃_i⁺ A_iᵀ Σ̃⁻¹`, `n_i × n_L`: A_i⁺ wherever A_i has full row rank."""
        U, V = self.split_A(i)
        if not self.rank_A(i):
            return self.A(i).T
        return pseudo_inverse(V) @ _weighted_inverse(U, self.precision)

    def right(self, i: int) -> Exact:
        """`Σ B_iᵀ Λ_{i-1}⁺`, `n_0 × n_{i-1}`: B_i⁺ wherever B_i has full column rank."""
        V, U = self.split_B(i)
        if not self.rank_B(i):
            return self.B(i).T
        return _weighted_inverse(U.T, self.input_covariance).T @ pseudo_inverse(V)

    def backward_pseudo_inverse(self, i: int, j: int) -> Exact:
        """`⟨e_i e_jᵀ⟩⁺` (Moore–Penrose)."""
        (U, V), (U_j, V_j) = self.split_A(i), self.split_A(j)
        return _sandwich_inverse(V.T, U, self.precision, self.output_covariance, U_j, V_j)

    def forward_pseudo_inverse(self, i: int, j: int) -> Exact:
        """`⟨x_{i-1} x_{j-1}ᵀ⟩⁺` (Moore–Penrose)."""
        (V, U), (V_j, U_j) = self.split_B(i), self.split_B(j)
        return _sandwich_inverse(V, U.T, self.input_covariance, None, U_j.T, V_j.T)

    def P_a(self, i: int) -> Exact:
        """Σ̃⁻¹-orthogonal projector onto range(A_i): `A_i Λ̃_i⁺ A_iᵀ Σ̃⁻¹`; zero for i = 0."""
        n = self.sizes[-1]
        if self.rank_A(i) in (0, n):
            return identity(n) * (self.rank_A(i) // n)
        U, _ = self.split_A(i)
        return U @ _weighted_inverse(U, self.precision)

    def P_b(self, i: int) -> Exact:
        """Σ-orthogonal projector onto row(B_i): `Σ B_iᵀ Λ_{i-1}⁺ B_i`; zero for i = L + 1."""
        n = self.sizes[0]
        if self.rank_B(i) in (0, n):
            return identity(n) * (self.rank_B(i) // n)
        _, U = self.split_B(i)
        return _weighted_inverse(U.T, self.input_covariance).T @ U

    # Inverses of the Fisher matrix, and what they do

    def paper_block(self, i: int, j: int) -> tuple[Exact, Exact]:
        """Kronecker factors of `L² (F^g)_ij = ⟨x_{j-1}x_{i-1}ᵀ⟩⁺ ⊗ ⟨e_j e_iᵀ⟩⁺` (Eq. 23)."""
        return self.forward_pseudo_inverse(j, i), self.backward_pseudo_inverse(j, i)

    def exact_shares(self, i: int) -> list[Share]:
        """The exact update of layer i from its gradient, `Σ 1/(β − α + 1) · E G_i D`.

        A left direction first seen at layer α and a right direction last seen at layer β are moved in equal
        parts by the layers α … β. Only the layers where a rank jumps start or end a component.
        """

        def left(k: int) -> Exact:
            V = self.product(i, k)
            return V @ self.backward_pseudo_inverse(k, k) @ V.T

        def right(k: int) -> Exact:
            U = self.product(k - 1, i - 1)
            return U.T @ self.forward_pseudo_inverse(k, k) @ U

        return self._components(i, left, right)

    def exact_block(self, i: int) -> Exact:
        """Block i of the block-diagonal inverse of F, `Σ 1/(β − α + 1) Dᵀ ⊗ E`."""
        parameters = self.sizes[i] * self.sizes[i - 1]
        terms = [s.weight * np.kron(s.D.T, s.E) for s in self.exact_shares(i)]
        return reduce(np.add, terms, np.full((parameters, parameters), flint.fmpq(0), dtype=object))

    def exact_moves(self, i: int) -> list[Share]:
        """The exact update of layer i from the residual, `Σ 1/(β − α + 1) · E Z D`."""
        return self._components(
            i, lambda k: self.product(i, k) @ self.left(k), lambda k: self.right(k) @ self.product(k - 1, i - 1)
        )

    def _components(self, i: int, left: Callable[[int], Exact], right: Callable[[int], Exact]) -> list[Share]:
        """Products of differences between what successive layers see: k is the layer nearest to i of a rank."""
        starts = [a for a in range(1, i + 1) if self.rank_A(a) > self.rank_A(a - 1)]
        ends = [b for b in range(self.L, i - 1, -1) if self.rank_B(b) > self.rank_B(b + 1)]
        lefts = _differences(
            [left(max(k for k in range(a, i + 1) if self.rank_A(k) == self.rank_A(a))) for a in starts]
        )
        rights = _differences(
            [right(min(k for k in range(i, b + 1) if self.rank_B(k) == self.rank_B(b))) for b in ends]
        )
        return [Share(flint.fmpq(1, b - a + 1), E, D) for a, E in zip(starts, lefts) for b, D in zip(ends, rights)]

    def update(self, kind: str, i: int) -> Exact:
        """ "paper": `(1/L) Λ̃_i⁺ G_i Λ_{i-1}⁺` (Eq. 10). "exact": the sum of `exact_moves(i)`."""
        Z = self.residual
        if kind == "paper":
            return self.left(i) @ Z @ self.right(i) / self.L
        terms = [s.weight * (s.E @ Z @ s.D) for s in self.exact_moves(i)]
        return reduce(np.add, terms, np.full(self.weights[i - 1].shape, flint.fmpq(0), dtype=object))

    def flow(self, kind: str) -> Exact:
        """ "paper": `−W + (1/L) Σ_i P_i^a W* P_i^b` (Eq. 19), W* − W if wide. "exact": −J F⁺ ∇, as a map."""
        Z = self.residual
        if kind == "paper":
            if self.is_wide:
                return Z
            terms = [self.P_a(i) @ self.least_squares @ self.P_b(i) for i in self.layers]
            return reduce(np.add, terms) / self.L - self.W
        if self.at_point:
            steps = [self.P_a(i) @ Z @ (self.P_b(i) - self.P_b(i + 1)) for i in self.layers]
            return reduce(np.add, steps)
        if self.sizes[0] == min(self.sizes) or self.sizes[-1] == min(self.sizes):
            return Z
        a, b = self.P_a(1), self.P_b(self.L)
        return a @ Z + (Z - a @ Z) @ b


def _differences(values: list[Exact]) -> list[Exact]:
    return values[:1] + [b - a for a, b in zip(values, values[1:])]


def _volume(factors: tuple[Exact, Exact]) -> Number:
    """Zero iff one of two factors of full-rank shape loses rank: their (Gram) determinants multiplied."""
    square = [M if len(M) == M.shape[1] else M.T @ M if len(M) > M.shape[1] else M @ M.T for M in factors]
    return determinant(square[0]) * determinant(square[1])


def _weighted_inverse(U: Exact, metric: Exact) -> Exact:
    """`(Uᵀ M U)⁻¹ Uᵀ M` of a U of full column rank; U⁻¹ if it is square."""
    if U.shape[0] == U.shape[1]:
        return inverse(U)
    pulled = U.T @ metric
    return inverse(pulled @ U) @ pulled


def _sandwich_inverse(
    left: Exact, U: Exact, metric: Exact, inverse_metric: Exact | None, U_j: Exact, right: Exact
) -> Exact:
    """`(left Uᵀ M U_j right)⁺`: left, U, U_j of full column rank, right of full row rank, U's ranges nested."""
    r, r_j = U.shape[1], U_j.shape[1]
    if not r or not r_j:
        return np.full((right.shape[1], left.shape[0]), flint.fmpq(0), dtype=object)
    if r == r_j == len(U):
        middle = inverse(metric) if inverse_metric is None else inverse_metric
        return pseudo_inverse(right) @ inverse(U_j) @ middle @ inverse(U).T @ pseudo_inverse(left)
    if r == r_j:
        return pseudo_inverse(left, U.T @ metric @ U_j, right)
    if r < r_j:
        return pseudo_inverse(left, U.T @ metric @ U_j @ right)
    return pseudo_inverse(left @ (U.T @ metric @ U_j), right)


def generic_conditions(volumes: Mapping[str, Number]) -> dict[Expr, str]:
    """What must not vanish where a formula for generic weights holds."""
    advice = "the formula is that of generic weights: {}; at=… gives what holds for the weights given"
    return {(Factored(Integer(1)) * volume).expression(): advice.format(rank) for rank, volume in volumes.items()}
