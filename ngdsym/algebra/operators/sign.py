"""Signs of entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.entrywise import Entrywise
from ngdsym.algebra.operators.operator import Lowering


class Sign(Entrywise):
    """The signs of the entries of A, of size 1; zero stays zero."""

    def __new__(cls, matrix: MatrixExpr) -> Sign:
        return super().__new__(cls, matrix)

    def _eval_transpose(self) -> MatrixExpr:
        return Sign(self.arg.T)

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.sign(arrays[0])

    def degree(self, *degrees: Expr) -> Expr:
        return S.Zero

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        return S.One, Sign(arguments[0][1])

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering("{0}.sign()", S.Zero, "signs")

    def _latex(self, printer: Any) -> str:
        return rf"\operatorname{{sign}}\left({printer._print(self.arg)}\right)"
