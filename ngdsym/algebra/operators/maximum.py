"""The larger of two entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.entrywise import Entrywise
from ngdsym.algebra.operators.operator import Lowering, no_limit
from ngdsym.algebra.transformation import NotCovariant


class Maximum(Entrywise):
    """max(A, B), whose entries are the larger ones of A and B."""

    def __new__(cls, left: MatrixExpr, right: MatrixExpr) -> MatrixExpr:
        if left.shape != right.shape:
            raise ValueError(f"cannot compare {left} and {right} entry by entry: {left.shape} is not {right.shape}")
        return left if left == right else super().__new__(cls, left, right)

    def _eval_transpose(self) -> MatrixExpr:
        return Maximum(self.args[0].T, self.args[1].T)

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        return np.maximum(*arrays)

    def degree(self, *degrees: Expr) -> Expr:
        if degrees[0] != degrees[1]:
            raise NotCovariant(f"both sides of {self} scale differently")
        return degrees[0]

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        (a, A), (b, B) = arguments
        if a != b:
            raise no_limit(self)
        return a, Maximum(A, B)

    def lowering(self, *kinds: str | None) -> Lowering:
        return Lowering("torch.maximum({0}, {1})", self.shape[0] * self.shape[1], "maximum")

    def _latex(self, printer: Any) -> str:
        left, right = map(printer._print, self.args)
        return rf"\max\left({left}, {right}\right)"
