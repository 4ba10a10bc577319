"""The quantities of a deep linear network, written once for symbols and for exact rational points.

Layers are counted 1 … L. Ranks are those of generic weights: `rank A_i = min(n_i … n_L)`,
`rank B_i = min(n_0 … n_{i-1})`.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from operator import matmul
from typing import NamedTuple

import flint
import numpy as np

from ngdsym.algebra.explicit import Exact, inverse, pseudo_inverse
from ngdsym.algebra.fields import identity


class Share(NamedTuple):
    """A term `weight · E G_i D` of the exact update of layer i."""

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

    @cached_property
    def J(self) -> Exact:
        """Jacobian `[J_1 … J_L]`, `J_i = B_iᵀ ⊗ A_i`, of the map from the weights to vec W."""
        return np.hstack([np.kron(self.B(i).T, self.A(i)) for i in self.layers])

    @cached_property
    def H(self) -> Exact:
        """Metric `Σ ⊗ Σ̃⁻¹` on maps."""
        return np.kron(self.input_covariance, self.precision)

    def G(self, i: int) -> Exact:
        """`G_i = ⟨e_i x_{i-1}ᵀ⟩ = A_iᵀ Σ̃⁻¹ (⟨y xᵀ⟩ − W Σ) B_iᵀ`, the negative gradient (Eq. 13)."""
        error = self.cross_covariance - self.W @ self.input_covariance
        return self.A(i).T @ self.precision @ error @ self.B(i).T

    def forward_covariance(self, i: int, j: int) -> Exact:
        """`⟨x_{i-1} x_{j-1}ᵀ⟩ = B_i Σ B_jᵀ` (Eq. 15)."""
        return self.B(i) @ self.input_covariance @ self.B(j).T

    def backward_covariance(self, i: int, j: int) -> Exact:
        """`⟨e_i e_jᵀ⟩ = A_iᵀ Σ̃⁻¹ A_j` (Eq. 14)."""
        return self.A(i).T @ self.precision @ self.A(j)

    def rank_A(self, i: int) -> int:
        """Rank of A_i for generic weights; 0 for i = 0 (no direction is seen before the first layer)."""
        return min(self.sizes[i:]) if i else 0

    def rank_B(self, i: int) -> int:
        """Rank of B_i for generic weights; 0 for i = L + 1."""
        return min(self.sizes[:i]) if i <= self.L else 0

    @property
    def is_wide(self) -> bool:
        """Whether rank A_1 = n_L and rank B_L = n_0: no hidden layer is narrower than input or output."""
        return self.rank_A(1) == self.sizes[-1] and self.rank_B(self.L) == self.sizes[0]

    @property
    def fisher_rank(self) -> int:
        """`r (n_0 + n_L − r)`, r the smallest width."""
        r = min(self.sizes)
        return r * (self.sizes[0] + self.sizes[-1] - r)

    def _neck_A(self, i: int) -> int:
        """The last narrowest layer among i … L."""
        return max(k for k in range(i, self.L + 1) if self.sizes[k] == self.rank_A(i))

    def _neck_B(self, i: int) -> int:
        """The first narrowest layer among 0 … i − 1."""
        return min(k for k in range(i) if self.sizes[k] == self.rank_B(i))

    def forward_pseudo_inverse(self, i: int, j: int) -> Exact:
        """`⟨x_{i-1} x_{j-1}ᵀ⟩⁺` (Moore–Penrose), by full-rank factorisation at the narrowest layers."""
        p, q = self._neck_B(i), self._neck_B(j)
        left, right = self.product(i - 1, p), self.product(j - 1, q).T
        if p == q:
            return pseudo_inverse(left, self.forward_covariance(p + 1, p + 1), right)
        if self.rank_B(i) < self.rank_B(j):
            return pseudo_inverse(left, self.forward_covariance(p + 1, j))
        return pseudo_inverse(self.forward_covariance(i, q + 1), right)

    def backward_pseudo_inverse(self, i: int, j: int) -> Exact:
        """`⟨e_i e_jᵀ⟩⁺` (Moore–Penrose), by full-rank factorisation at the narrowest layers."""
        p, q = self._neck_A(i), self._neck_A(j)
        left, right = self.product(p, i).T, self.product(q, j)
        if p == q:
            return pseudo_inverse(left, self.backward_covariance(p, p), right)
        if self.rank_A(i) < self.rank_A(j):
            return pseudo_inverse(left, self.backward_covariance(p, j))
        return pseudo_inverse(self.backward_covariance(i, q), right)

    def P_a(self, i: int) -> Exact:
        """Σ̃⁻¹-orthogonal projector onto range(A_i): `A_i Λ̃_i⁺ A_iᵀ Σ̃⁻¹`; zero for i = 0."""
        if not i:
            return self.precision - self.precision
        if self.rank_A(i) == self.sizes[-1]:
            return identity(self.sizes[-1])
        k = self._neck_A(i)
        return self.A(k) @ inverse(self.backward_covariance(k, k)) @ self.A(k).T @ self.precision

    def P_b(self, i: int) -> Exact:
        """Σ-orthogonal projector onto row(B_i): `Σ B_iᵀ Λ_{i-1}⁺ B_i`; zero for i = L + 1."""
        if i > self.L:
            return self.input_covariance - self.input_covariance
        if self.rank_B(i) == self.sizes[0]:
            return identity(self.sizes[0])
        k = self._neck_B(i) + 1
        return self.input_covariance @ self.B(k).T @ inverse(self.forward_covariance(k, k)) @ self.B(k)

    def paper_block(self, i: int, j: int) -> tuple[Exact, Exact]:
        """Kronecker factors of `L² (F^g)_ij = ⟨x_{j-1}x_{i-1}ᵀ⟩⁺ ⊗ ⟨e_j e_iᵀ⟩⁺` (Eq. 23)."""
        return self.forward_pseudo_inverse(j, i), self.backward_pseudo_inverse(j, i)

    def exact_shares(self, i: int) -> list[Share]:
        """The exact update of layer i, `Σ 1/(β − α + 1) · E G_i D`.

        A left direction first seen at layer α and a right direction last seen at layer β are moved in equal
        parts by the layers α … β. Only the layers where a generic rank jumps start or end a component.
        """
        starts = [a for a in range(1, i + 1) if self.rank_A(a) > self.rank_A(a - 1)]
        ends = [b for b in range(self.L, i - 1, -1) if self.rank_B(b) > self.rank_B(b + 1)]
        lefts = _differences([self._seen_left(i, a) for a in starts])
        rights = _differences([self._seen_right(i, b) for b in ends])
        return [Share(flint.fmpq(1, b - a + 1), E, D)
                for a, E in zip(starts, lefts) for b, D in zip(ends, rights)]

    def _seen_left(self, i: int, start: int) -> Exact:
        """`V Λ̃_k⁺ Vᵀ`, V = W_i ⋯ W_{k+1}, k the last layer up to i that sees no more than layer `start`."""
        k = max(k for k in range(start, i + 1) if self.rank_A(k) == self.rank_A(start))
        V = self.product(i, k)
        return V @ self.backward_pseudo_inverse(k, k) @ V.T

    def _seen_right(self, i: int, end: int) -> Exact:
        """`Uᵀ Λ_{k-1}⁺ U`, U = W_{k-1} ⋯ W_i, k the first layer from i that sees no more than layer `end`."""
        k = min(k for k in range(i, end + 1) if self.rank_B(k) == self.rank_B(end))
        U = self.product(k - 1, i - 1)
        return U.T @ self.forward_pseudo_inverse(k, k) @ U

    def change_of_map(self, updates: list[Exact]) -> Exact:
        """`dW = Σ_i A_i dW_i B_i` (Eq. 17)."""
        return sum(self.A(i) @ dW @ self.B(i) for i, dW in zip(self.layers, updates))

    def paper_update(self, i: int) -> Exact:
        """`(1/L) Λ̃_i⁺ G_i Λ_{i-1}⁺` (Eq. 10)."""
        return self.backward_pseudo_inverse(i, i) @ self.G(i) @ self.forward_pseudo_inverse(i, i) / self.L

    def exact_update(self, i: int) -> Exact:
        """Sum of `exact_shares(i)`."""
        return sum(s.weight * (s.E @ self.G(i) @ s.D) for s in self.exact_shares(i))

    def paper_flow(self) -> Exact:
        """`−W + (1/L) Σ_i P_i^a W* P_i^b` (Eq. 19); `W* − W` (Eq. 18) in a wide network."""
        terms = [self.P_a(i) @ self.least_squares @ self.P_b(i) for i in self.layers]
        return sum(terms) / self.L - self.W

    def exact_flow(self) -> Exact:
        """`P_a Z + Z P_b − P_a Z P_b`, the H-orthogonal projection of Z on the maps of rank r around W."""
        a, b, Z = self.P_a(1), self.P_b(self.L), self.residual
        return a @ Z + Z @ b - a @ Z @ b

    def staircase(self) -> Exact:
        """`Σ_{i=1}^{L} P_i^a Z P_i^b − Σ_{i=1}^{L-1} P_i^a Z P_{i+1}^b`."""
        Z = self.residual
        return sum(self.P_a(i) @ Z @ (self.P_b(i) - self.P_b(i + 1)) for i in self.layers)


def _differences(values: list[Exact]) -> list[Exact]:
    return values[:1] + [b - a for a, b in zip(values, values[1:])]
