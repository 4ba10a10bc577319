"""The polar factor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.operator import RANK_TOLERANCE, Lowering, Operator, rigid, smaller
from ngdsym.algebra.transformation import Types


class Polar(Operator):
    """Orthogonal polar factor `U Vᵀ` of `A = U S Vᵀ`, the sum running over non-zero singular values."""

    def __new__(cls, matrix: MatrixExpr) -> Polar:
        return super().__new__(cls, matrix)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.arg.shape

    def _eval_transpose(self) -> MatrixExpr:
        return Polar(self.arg.T)

    def sign(self, *kinds: str | None) -> str | None:
        return None

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        U, s, V = np.linalg.svd(arrays[0], full_matrices=False)
        return (U * (s > RANK_TOLERANCE * s.max())) @ V

    def law(self, *types: Types) -> Types:
        if types[0] is None:
            return None
        return rigid("a polar factor", self.arg, types[0])

    def degree(self, *degrees: Expr) -> Expr:
        return S.Zero

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        return S.One, Polar(arguments[0][1])

    def lowering(self, *kinds: str | None) -> Lowering:
        rows, columns = self.shape
        return Lowering("polar({0})", 22 * rows * columns * smaller(rows, columns), "polar_factor")

    def _latex(self, printer: Any) -> str:
        return rf"\operatorname{{polar}}\left({printer._print(self.arg)}\right)"
