"""Matrices of large expressions whose parts are shared: substituted into fast, and only where they hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from sympy import Basic, Expr, Integer, MutableDenseMatrix, Symbol, sympify


class SingularPoint(ValueError):
    """Values at which a formula does not hold, because a rank that it rests on drops."""


class SharedMatrix(MutableDenseMatrix):
    """A SymPy `Matrix` that visits each subexpression once, however often it occurs.

    Sums and products of such matrices are such matrices. Any call of `subs` but `subs({symbol: number, …})`
    is SymPy's.

    Attributes
    ----------
    nonzero : dict
        Functions without zeros where the formula of the entries holds, each with its meaning in words.
        `subs` and `xreplace` raise `SingularPoint` where one of them vanishes. Entries and results of further
        arithmetic do not carry them.

    Examples
    --------
    >>> from sympy import symbols
    >>> a, b = symbols("a b")
    >>> SharedMatrix([[a + b, a * b]]).subs({a: 2, b: 0.5})
    Matrix([[2.5, 1.0]])
    """

    _class_priority = MutableDenseMatrix._class_priority + 1
    nonzero: Mapping[Expr, str] = {}

    def where(self, nonzero: Mapping[Expr, str]) -> SharedMatrix:
        """The same entries, held to be right where none of these functions vanishes."""
        guarded = self.copy()
        guarded.nonzero = dict(nonzero)
        return guarded

    def subs(self, *args: object, **kwargs: object) -> SharedMatrix:
        """Substitute; numbers for symbols at once."""
        if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
            values: dict[Basic, Basic] = {sympify(old): sympify(new) for old, new in args[0].items()}
            if all(isinstance(old, Symbol) and new.is_number for old, new in values.items()):
                return self.xreplace(values)
        left = self._still_nonzero(lambda condition: condition.subs(*args, **kwargs))
        return super().subs(*args, **kwargs).where(left)

    def xreplace(self, rule: Mapping[Basic, Basic]) -> SharedMatrix:
        """Replace subexpressions."""
        done: dict[Basic, Basic] = {sympify(old): sympify(new) for old, new in rule.items()}
        left = self._still_nonzero(lambda condition: _replaced(condition, done))
        entries = [_replaced(entry, done) for entry in self.flat()]
        return type(self)(*self.shape, entries).where(left)

    def _still_nonzero(self, replaced: Callable[[Expr], Expr]) -> dict[Expr, str]:
        """The conditions on what is left; SingularPoint if values break one."""
        left = {}
        for condition, meaning in self.nonzero.items():
            new = replaced(condition)
            if new is not condition and _vanishes(new):
                raise SingularPoint(meaning)
            left[new] = meaning
        return left

    @property
    def free_symbols(self) -> set[Symbol]:
        """The symbols of all entries."""
        seen: set[Basic] = set()
        left: list[Basic] = self.flat()
        while left:
            part = left.pop()
            if part not in seen:
                seen.add(part)
                left.extend(part.args)
        return {part for part in seen if isinstance(part, Symbol)}


def _replaced(expression: Basic, done: dict[Basic, Basic]) -> Basic:
    """The expression with parts replaced; `done` remembers what each part became."""
    if expression not in done:
        parts = [_replaced(part, done) for part in expression.args]
        changed = any(new is not old for new, old in zip(parts, expression.args))
        done[expression] = expression.func(*parts) if changed else expression
    return done[expression]


def _vanishes(function: Expr) -> bool:
    """Whether a polynomial is zero, at a random point of integers up to 2⁶⁴ if it has symbols."""
    generator = random.Random(0)
    point = {s: Integer(generator.randrange(1, 2**64)) for s in sorted(function.free_symbols, key=str)}
    return _replaced(function, dict(point)) == 0
