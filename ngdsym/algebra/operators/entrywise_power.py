"""Powers of entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from sympy import Expr, MatrixSymbol, OneMatrix, sympify
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.entrywise import Entrywise
from ngdsym.algebra.operators.operator import RANK_TOLERANCE, Lowering


class EntrywisePower(Entrywise):
    """A to a real power entry by entry, for entries that are not negative; zero to a negative power is zero.

    As in a Moore–Penrose inverse, entries that are zero but for rounding count as zero.
    """

    def __new__(cls, matrix: MatrixExpr, exponent: Expr | float) -> MatrixExpr:
        return matrix if isinstance(matrix, OneMatrix) else super().__new__(cls, matrix, sympify(exponent))

    @property
    def exponent(self) -> Expr:
        return self.args[1]

    def _eval_transpose(self) -> MatrixExpr:
        return EntrywisePower(self.arg.T, self.exponent)

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        if not self.exponent.is_number:
            raise ValueError(f"the power {self.exponent} of entries has no value: make it a constant of the rule")
        kept = arrays[0] > RANK_TOLERANCE * arrays[0].max()
        return np.where(kept, np.where(kept, arrays[0], 1) ** float(self.exponent), 0)

    def degree(self, *degrees: Expr) -> Expr:
        return (self.exponent * degrees[0]).expand()

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        scale, matrix = arguments[0]
        return scale**self.exponent, EntrywisePower(matrix, self.exponent)

    def lowering(self, *kinds: str | None) -> Lowering:
        flops = self.shape[0] * self.shape[1]
        return Lowering("entrywise_power({0}, {scalar})", flops, "power_of_entries", scalar=self.exponent)

    def _latex(self, printer: Any) -> str:
        inner = printer._print(self.arg)
        base = inner if isinstance(self.arg, MatrixSymbol) else rf"\left({inner}\right)"
        return rf"{base}^{{\circ {printer._print(self.exponent)}}}"
