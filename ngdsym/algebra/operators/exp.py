"""The exponential function of entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.entrywise import Entrywise
from ngdsym.algebra.operators.operator import Lowering, no_limit
from ngdsym.algebra.transformation import NotCovariant


class Exp(Entrywise):
    """e to the power of each entry of A; not the exponential function of a matrix."""

    def __new__(cls, matrix: MatrixExpr) -> Exp:
        return super().__new__(cls, matrix)

    def _eval_transpose(self) -> MatrixExpr:
        return Exp(self.arg.T)

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.exp(arrays[0])

    def degree(self, *degrees: Expr) -> Expr:
        if degrees[0] != 0:
            raise NotCovariant(f"{self} is no power of a scale")
        return S.Zero

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        raise no_limit(self)

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering("{0}.exp()", self.shape[0] * self.shape[1], "exp")

    def _latex(self, printer: Any) -> str:
        return rf"e^{{\circ {printer._print(self.arg)}}}"
