"""The Moore–Penrose inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.operator import RANK_TOLERANCE, Lowering, Operator, no_limit, rigid, smaller
from ngdsym.algebra.transformation import Types


class Pinv(Operator):
    """Moore–Penrose inverse `A⁺` of a matrix expression."""

    def __new__(cls, matrix: MatrixExpr) -> Pinv:
        return super().__new__(cls, matrix)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.arg.shape[::-1]

    def _eval_transpose(self) -> MatrixExpr:
        return Pinv(self.arg.T)

    def sign(self, *kinds: str | None) -> str | None:
        return kinds[0]

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.linalg.pinv(arrays[0], rcond=RANK_TOLERANCE)

    def law(self, *types: Types) -> Types:
        if types[0] is None:
            return None
        return frozenset((r.inverse(), l.inverse()) for l, r in rigid("a pseudo-inverse", self.arg, types[0]))

    def degree(self, *degrees: Expr) -> Expr:
        return -degrees[0]

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        raise no_limit(self)

    def lowering(self, *kinds: str | None) -> Lowering:
        rows, columns = self.arg.shape
        if kinds[0]:
            return Lowering("semidefinite_power({0}, -1)", 11 * rows**3, "pinv_{letter}")
        return Lowering("pseudo_inverse({0})", 22 * rows * columns * smaller(rows, columns), "pinv_{letter}")

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        inner = printer.parenthesize(self.arg, 200)
        power = (rf"\left({inner}\right)" if isinstance(self.arg, Pinv) else inner) + "^{+}"
        return power if exp is None else rf"\left({power}\right)^{{{exp}}}"
