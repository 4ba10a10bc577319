"""Eigenvectors and eigenvalues of a symmetric matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.operator import Lowering, Operator, no_limit
from ngdsym.algebra.transformation import ONE, NotCovariant, Types, describe


class Eigen(Operator, partial=True):
    """What an eigendecomposition A = Q diag(d) Qᵀ of a semidefinite A is made of; d increases."""

    def __new__(cls, matrix: MatrixExpr) -> Eigen:
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"{matrix} must be symmetric to have an eigenbasis")
        return super().__new__(cls, matrix)

    def sign(self, *kinds: str | None) -> str | None:
        return None

    def orthogonal(self, types: Types) -> Types:
        """Those types of A that keep its eigenvalues."""
        if types is None:
            raise NotCovariant(f"each basis is an eigenbasis of {self.arg}")
        found = frozenset((l, r) for l, r in types if l.orthogonal and r == l.inverse())
        if not found:
            raise NotCovariant(f"eigenvectors follow orthogonal changes of basis only, not {describe(self.arg, types)}")
        return found

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        raise no_limit(self)

    def decomposition(self, kind: str | None) -> Lowering:
        """The eigendecomposition, computed once for vectors and values."""
        if kind is None:
            raise ValueError(f"{self.arg} is not known to be positive semidefinite: declare it with PSD or PD")
        return Lowering("torch.linalg.eigh({0})", 9 * self.arg.shape[0] ** 3, "eigh_{letter}")


class Eigenbasis(Eigen):
    """Q: orthonormal eigenvectors of A in columns.

    Q is unique up to the signs of columns, if all eigenvalues differ. Only what does not depend on them, as Q F(Qᵀ X)
    with an odd function F of entries, is a function of A.
    """

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.arg.shape

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.linalg.eigh(arrays[0])[1]

    def law(self, *types: Types) -> Types:
        return frozenset((l, ONE) for l, _ in self.orthogonal(types[0]) or ())

    def degree(self, *degrees: Expr) -> Expr:
        return S.Zero

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering("{0}.eigenvectors", S.Zero, "eigenbasis_{letter}", self.decomposition(kinds[0]))

    def _latex(self, printer: Any) -> str:
        return rf"Q_{{{printer._print(self.arg)}}}"


class Eigenvalues(Eigen):
    """d: the eigenvalues of A as a column, in the order of `Eigenbasis`."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.arg.shape[0], S.One

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.linalg.eigh(arrays[0])[0].clip(min=0)[:, None]

    def law(self, *types: Types) -> Types:
        self.orthogonal(types[0])
        return frozenset([(ONE, ONE)])

    def degree(self, *degrees: Expr) -> Expr:
        return degrees[0]

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering(
            "{0}.eigenvalues.clamp(min=0).unsqueeze(-1)", S.Zero, "eigenvalues_{letter}", self.decomposition(kinds[0])
        )

    def _latex(self, printer: Any) -> str:
        return rf"d_{{{printer._print(self.arg)}}}"
