"""What operators that act on entries have in common."""

from __future__ import annotations

from sympy import Expr

from ngdsym.algebra.operators.operator import Operator
from ngdsym.algebra.transformation import ONE, NotCovariant, Types, describe

FIXED = ONE, ONE


class Entrywise(Operator, partial=True):
    """An operator on entries: it follows no change of basis but of what does not change at all."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[0].shape

    def sign(self, *kinds: str | None) -> str | None:
        return None

    def law(self, *types: Types) -> Types:
        for matrix, found in zip(self.args, types):
            if found is not None and FIXED not in found:
                raise NotCovariant(f"entries of {describe(matrix, found)} mix")
        return frozenset([FIXED])
