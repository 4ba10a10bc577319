"""One concrete instance of a statement: explicit matrices for its letters, exact or in float64.

Letters are drawn when first needed: definite ones as definite matrices, others generic, unless a recipe (an
expression in other letters, such as `Pinv(F)`) says how to make them. The same code runs on numpy arrays of
float64 and on object arrays of the exact numbers of `ngdsym.algebra.fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import flint
import numpy as np
from sympy import (
    Add,
    Eq,
    Expr,
    Ge,
    Gt,
    Identity,
    Integer,
    Inverse,
    KroneckerProduct,
    Le,
    Lt,
    MatAdd,
    MatMul,
    MatPow,
    MatrixSymbol,
    Mul,
    Ne,
    Pow,
    Rational,
    Symbol,
    Trace,
    Transpose,
    ZeroMatrix,
)
from sympy.core.relational import Relational

from ngdsym.algebra import fields
from ngdsym.algebra.symbols import PD, PSD, Pinv

Matrix = np.ndarray
Draw = Callable[[], Any]
Recipes = Mapping[Expr, Expr]


class Instance:
    """Values of letters, drawn, made by recipe or defined by an equation `letter = expression`.

    Parameters
    ----------
    sizes : the dimension symbols (those not listed are 2).
    draw : source of independent numbers: normal floats, random rationals, or indeterminates.
    recipes : how to make the letters that are not independent.

    Examples
    --------
    >>> n = Symbol("n", integer=True, positive=True)
    >>> A, P = MatrixSymbol("A", n, n), PD("P", n, n)
    >>> exact = Instance({}, fields.rational_functions(8))
    >>> exact.holds(Eq(Inverse(A.T * P * A) * A.T * P, Inverse(A), evaluate=False))
    True
    >>> exact.holds(Eq(Inverse(A.T * P * A) * A.T * P, A.T, evaluate=False))
    False
    """

    def __init__(self, sizes: Mapping[Expr, int], draw: Draw, recipes: Recipes | None = None) -> None:
        self.sizes = dict(sizes)
        self.draw = draw
        self.recipes = dict(recipes or {})
        self.values: dict[Expr, Any] = {}
        self.exact = not isinstance(draw(), float)

    def assign(self, values: Mapping[Expr, Any]) -> None:
        """Set letters to matrices or numbers; their dimensions follow."""
        self.values.update(values)
        for letter, value in values.items():
            if isinstance(letter, MatrixSymbol):
                self.sizes.update((d, n) for d, n in zip(letter.shape, value.shape) if d.is_Symbol)
        for letter, value in values.items():
            if isinstance(letter, MatrixSymbol) and any(
                self.size(d) != n for d, n in zip(letter.shape, value.shape) if not d.is_Symbol
            ):
                raise ValueError(
                    f"{letter} is {letter.shape[0]}×{letter.shape[1]}, but its value has the shape {value.shape}"
                )

    def __call__(self, expression: Expr) -> Any:
        """Value of a scalar or matrix expression."""
        if isinstance(expression, (MatrixSymbol, Symbol)):
            if expression not in self.values:
                self.values[expression] = self._make(expression)
            return self.values[expression]
        if isinstance(expression, Integer):
            return int(expression)
        if isinstance(expression, Rational):
            return flint.fmpq(expression.p, expression.q) if self.exact else float(expression)
        if isinstance(expression, Identity):
            size = self.size(expression.rows)
            return fields.identity(size) if self.exact else np.eye(size)
        if isinstance(expression, ZeroMatrix):
            return np.zeros([self.size(n) for n in expression.shape], dtype=object if self.exact else float)
        arguments = [self(argument) for argument in expression.args]
        if isinstance(expression, (MatAdd, Add)):
            return reduce(lambda a, b: a + b, arguments)
        if isinstance(expression, (MatMul, Mul)):
            return reduce(lambda a, b: a @ b if np.ndim(a) and np.ndim(b) else a * b, arguments)
        if isinstance(expression, Transpose):
            return arguments[0].T
        if isinstance(expression, Trace):
            return np.trace(arguments[0])
        if isinstance(expression, Pinv):
            return fields.pseudo_inverse(arguments[0]) if self.exact else np.linalg.pinv(arguments[0], rcond=1e-9)
        if isinstance(expression, KroneckerProduct):
            return reduce(np.kron, arguments)
        if isinstance(expression, (MatPow, Inverse, Pow)):
            return self._power(*arguments)
        raise TypeError(f"cannot evaluate {type(expression).__name__} in {expression}")

    def error(self, claim: Relational) -> float:
        """`‖left − right‖ / max(1, ‖left‖, ‖right‖)` of an equation in float64; 0 or ∞ of other relations."""
        if not isinstance(claim, Eq):
            return 0.0 if self.holds(claim) else float("inf")
        left, right = np.asarray(self(claim.lhs), float), np.asarray(self(claim.rhs), float)
        gap, *sizes = (float(np.linalg.norm(side)) for side in (left - right, left, right))
        return gap / max(1.0, *sizes)

    def holds(self, claim: Relational, tolerance: float = 1e-9) -> bool:
        """Whether a relation holds for these matrices: exactly, or to a relative `tolerance` in float64."""
        if isinstance(claim, Ne):
            return not self.holds(Eq(claim.lhs, claim.rhs, evaluate=False), tolerance)
        if isinstance(claim, Eq):
            if self.exact:
                return bool(np.all(self(claim.lhs) - self(claim.rhs) == 0))
            return self.error(claim) <= tolerance
        compare = {Le: "__le__", Lt: "__lt__", Ge: "__ge__", Gt: "__gt__"}[type(claim)]
        return bool(getattr(self(claim.lhs), compare)(self(claim.rhs)))

    def size(self, dimension: Expr) -> int:
        """The number a dimension stands for: a number, a symbol, or an expression in symbols such as 2 n or n + 1.

        Raises
        ------
        ValueError
            The symbols make it no positive integer.
        """
        if dimension in self.sizes:
            return self.sizes[dimension]
        value = dimension.xreplace({s: Integer(self.sizes.get(s, 2)) for s in dimension.free_symbols})
        if not value.is_Integer or value < 1:
            raise ValueError(f"{dimension} is no size of a matrix where it is {value}: choose other sizes")
        return int(value)

    def _make(self, letter: Expr) -> Any:
        if letter in self.recipes:
            return self(self.recipes[letter])
        if isinstance(letter, Symbol):
            return abs(self.draw()) if letter.is_positive and not self.exact else self.draw()
        rows, cols = map(self.size, letter.shape)
        drawn = np.array(
            [[self.draw() for _ in range(cols)] for _ in range(rows)], dtype=object if self.exact else float
        )
        if not isinstance(letter, PSD):
            return drawn
        if self.exact:
            return np.array([[drawn[min(i, j), max(i, j)] for j in range(cols)] for i in range(rows)], dtype=object)
        return drawn @ drawn.T / cols + (0.1 * np.eye(cols) if isinstance(letter, PD) else 0)

    def _power(self, base: Any, exponent: int = -1) -> Any:
        if not np.ndim(base):
            power = reduce(lambda a, b: a * b, [base] * abs(exponent))
            return power if exponent > 0 else 1 / power
        if exponent < 0:
            base = fields.inverse(base) if self.exact else np.linalg.inv(base)
        return reduce(lambda a, b: a @ b, [base] * abs(exponent))


def floats(seed: int) -> Draw:
    """Source of independent standard normal numbers."""
    generator = np.random.default_rng(seed)
    return lambda: float(generator.standard_normal())
