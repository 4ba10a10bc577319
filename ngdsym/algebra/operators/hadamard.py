"""The product entry by entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, OneMatrix
from sympy.matrices.expressions.matexpr import MatrixExpr
from sympy.printing.precedence import PRECEDENCE

from ngdsym.algebra.operators.entrywise import Entrywise
from ngdsym.algebra.operators.operator import Lowering


class Hadamard(Entrywise):
    """A ∘ B, whose entries are those of A times those of B."""

    precedence = PRECEDENCE["Mul"]

    def __new__(cls, left: MatrixExpr, right: MatrixExpr) -> MatrixExpr:
        if left.shape != right.shape:
            raise ValueError(f"cannot multiply {left} by {right} entry by entry: {left.shape} is not {right.shape}")
        if isinstance(left, OneMatrix):
            return right
        return left if isinstance(right, OneMatrix) else super().__new__(cls, left, right)

    def _eval_transpose(self) -> MatrixExpr:
        return Hadamard(self.args[0].T, self.args[1].T)

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return arrays[0] * arrays[1]

    def degree(self, *degrees: Expr) -> Expr:
        return degrees[0] + degrees[1]

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        (a, A), (b, B) = arguments
        return a * b, Hadamard(A, B)

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering("{0} * {1}", self.shape[0] * self.shape[1], "product_of_entries")

    def _latex(self, printer: Any) -> str:
        left, right = (printer.parenthesize(arg, 50) for arg in self.args)
        return rf"{left} \circ {right}"
