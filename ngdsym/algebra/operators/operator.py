"""What an operator on matrices must say of itself before it may stand in a rule."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from sympy import Expr, S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.transformation import NotCovariant, Pair, Types, describe

RANK_TOLERANCE = 1e-10
"""Values up to this times the largest count as zero."""


class Lowering(NamedTuple):
    """How an operator is computed in torch.

    `template` has `{0}` … for the arguments and `{scalar}` for `scalar`; `{letter}` in the label stands for the name of
    what they are made of. With `inner`, that is computed first, once for all operators that ask for it, and is `{0}`.
    """

    template: str
    flops: Expr
    label: str
    inner: Lowering | None = None
    scalar: Expr = S.One


class Operator(MatrixExpr):
    """A function of matrices with all its readings; a subclass that lacks one cannot be defined unless it is `partial`.

    Readings
    --------
    shape
        Of the result.
    sign(*kinds)
        What is known of its sign, "pd", "psd" or None, from that of its arguments.
    value(*arrays)
        The result in NumPy.
    law(*types)
        Its types under changes of basis from those of its arguments; raises NotCovariant.
    degree(*degrees)
        Its exponent under changes of scale from theirs.
    overdamped(*arguments)
        Scale and matrix to which it tends for λ → ∞, from those of its arguments.
    lowering(*kinds)
        Its code, from what is known of the signs of its arguments.
    _latex(printer)
        Its formula.
    """

    READINGS: ClassVar[tuple[str, ...]] = (
        "shape",
        "sign",
        "value",
        "law",
        "degree",
        "overdamped",
        "lowering",
        "_latex",
    )

    def __init_subclass__(cls, partial: bool = False) -> None:
        super().__init_subclass__()
        if partial:
            return
        own = {
            name
            for parent in cls.__mro__
            if parent is not Operator
            for name in vars(parent)
            if issubclass(parent, Operator)
        }
        missing = [name for name in Operator.READINGS if name not in own]
        if missing:
            raise TypeError(f"the operator {cls.__name__} does not say its {', '.join(missing)}: see Operator")

    @property
    def arg(self) -> MatrixExpr:
        """The first argument."""
        return self.args[0]

    def sign(self, *kinds: str | None) -> str | None:
        raise NotImplementedError

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def law(self, *types: Types) -> Types:
        raise NotImplementedError

    def degree(self, *degrees: Expr) -> Expr:
        raise NotImplementedError

    def overdamped(self, *arguments: tuple[Expr, MatrixExpr]) -> tuple[Expr, MatrixExpr]:
        raise NotImplementedError

    def lowering(self, *kinds: str | None) -> Lowering:
        raise NotImplementedError

    def _latex(self, printer: Any) -> str:
        raise NotImplementedError


def smaller(rows: Expr, columns: Expr) -> Expr:
    """The size that is taken to be the smaller one: k counts examples, of which there are few."""

    def typical(size: Expr) -> Expr:
        return size.xreplace({symbol: 16 if symbol.name == "k" else 512 for symbol in size.free_symbols})

    return min(rows, columns, key=typical)


def rigid(what: str, matrix: MatrixExpr, types: frozenset[Pair]) -> frozenset[Pair]:
    """Those types of a matrix that are orthogonal on either side; `what` follows no others."""
    found = frozenset((l, r) for l, r in types if l.orthogonal and r.orthogonal)
    if not found:
        raise NotCovariant(f"{what} follows orthogonal changes of basis only, not {describe(matrix, types)}")
    return found


def no_limit(operator: MatrixExpr) -> ValueError:
    """For operators whose limit for λ → ∞ is not known."""
    return ValueError(f"no limit known for λ → ∞ of {operator}")
