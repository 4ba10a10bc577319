"""Matrices into which numbers are substituted fast."""
from __future__ import annotations

from collections.abc import Mapping

from sympy import Basic, MutableDenseMatrix, Symbol, sympify


class SubstitutedAtOnce(MutableDenseMatrix):
    """A SymPy `Matrix` whose `subs({symbol: number, …})` visits each entry once, not once per symbol.

    Any other call of `subs` is SymPy's. Sums and products of such matrices are such matrices.

    Examples
    --------
    >>> from sympy import symbols
    >>> a, b = symbols("a b")
    >>> SubstitutedAtOnce([[a + b, a * b]]).subs({a: 2, b: 0.5})
    Matrix([[2.5, 1.0]])
    """

    _class_priority = MutableDenseMatrix._class_priority + 1

    def subs(self, *args: object, **kwargs: object) -> SubstitutedAtOnce:
        """Substitute; numbers for symbols at once."""
        if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
            values: dict[Basic, Basic] = {sympify(old): sympify(new) for old, new in args[0].items()}
            if all(isinstance(old, Symbol) and new.is_number for old, new in values.items()):
                return self.xreplace(values)
        return super().subs(*args, **kwargs)
