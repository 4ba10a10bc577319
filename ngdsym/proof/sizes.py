"""Sizes of matrices: numbers, symbols, and what is computed from them, such as 2n, n + 1 or n m."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from tokenize import TokenError

from sympy import Expr, Integer, Symbol, expand, sympify
from sympy.parsing.sympy_parser import parse_expr

_NAME = re.compile(r"[^\W\d]\w*")


@cache
def size(given: object) -> Expr:
    """A size as an expression in positive integers; text may leave out the sign of multiplication.

    Raises
    ------
    ValueError
        Unreadable text, or a number that is no positive integer.

    Examples
    --------
    >>> print(size("2n"), size("n + n"), size("n + 1"), size(3))
    2*n 2*n n + 1 3
    """
    expression = _read(given) if isinstance(given, str) else sympify(given)
    if not isinstance(expression, Expr):
        raise ValueError(f"{given!r} is no size: write a number, a name, or a sum or product of such, like '2*n'")
    plain = {s: Symbol(s.name, integer=True, positive=True) for s in expression.free_symbols}
    expression = expand(expression.xreplace(plain))
    if expression.is_positive is False or expression.is_number and not expression.is_Integer:
        raise ValueError(f"{given!r} is no size: a matrix has a positive whole number of rows and columns")
    return expression


@cache
def spelled(given: object) -> str:
    """The size as text."""
    return str(size(given))


def _read(text: str) -> Expr:
    explicit = re.sub(r"(?<![\w.])(\d+)\s*(?=[^\W\d])", r"\1*", text.strip())
    names = {name: Symbol(name) for name in _NAME.findall(explicit)}
    try:
        if not re.fullmatch(r"[\w\s+*()/-]+", explicit):
            raise SyntaxError
        return parse_expr(explicit, local_dict=names)
    except (SyntaxError, TokenError, TypeError, AttributeError):
        raise ValueError(
            f"{text!r} is no size: write a number, a name, or a sum or product of such, like '2*n'"
        ) from None


def numbers(sizes: Iterable[Expr], chosen: Mapping[Expr, int]) -> dict[str, int] | None:
    """What each size and each symbol is at the chosen numbers; None unless all are positive integers."""
    found = {str(symbol): number for symbol, number in chosen.items()}
    for expression in sizes:
        value = expression.xreplace({symbol: Integer(number) for symbol, number in chosen.items()})
        if not value.is_Integer or value < 1:
            return None
        found[str(expression)] = int(value)
    return found
