"""Quotients of SymPy expressions that are multiplied out nowhere: numbers for results that a person reads."""

from __future__ import annotations

import flint
from sympy import Add, Expr, Integer, Mul, Rational


class Factored:
    """`num / Π factor^power`: sums take a common denominator, products cancel equal factors, nothing expands.

    Subexpressions are shared, not copied, so that a chain of small matrices stays as small as its factors.

    Examples
    --------
    >>> from sympy import symbols
    >>> a, b = map(Factored, symbols("a b"))
    >>> (1 / (a + b) + a / (a + b)).expression()
    (a + 1)/(a + b)
    """

    __slots__ = ("num", "den")

    def __init__(self, num: Expr, den: dict[Expr, int] | None = None) -> None:
        self.num, self.den = num, den or {}

    @classmethod
    def _lift(cls, other: object) -> Factored | None:
        if isinstance(other, Factored):
            return other
        if isinstance(other, int):
            return cls(Integer(other))
        if isinstance(other, flint.fmpq):
            return cls(Rational(int(other.p), int(other.q)))
        return None

    def _over(self, common: dict[Expr, int]) -> Expr:
        """The numerator over a common denominator."""
        return product(self.num, *[f ** (k - self.den.get(f, 0)) for f, k in common.items()])

    def __add__(self, other: object) -> Factored:
        right = self._lift(other)
        if right is None:
            return NotImplemented
        if right.num == 0:
            return self
        if self.num == 0:
            return right
        common = {f: max(self.den.get(f, 0), right.den.get(f, 0)) for f in {**self.den, **right.den}}
        return _reduced(Add(self._over(common), right._over(common)), common)

    def __mul__(self, other: object) -> Factored:
        right = self._lift(other)
        if right is None:
            return NotImplemented
        if self.num == 0 or right.num == 0:
            return Factored(Integer(0))
        den = {f: self.den.get(f, 0) + right.den.get(f, 0) for f in {**self.den, **right.den}}
        return _reduced(product(self.num, right.num), den)

    def __rtruediv__(self, other: object) -> Factored:
        left = self._lift(other)
        if left is None:
            return NotImplemented
        if self.num == 0:
            raise ZeroDivisionError("division by the zero expression")
        upside_down = {f: int(k) for f, k in self.num.as_powers_dict().items() if not f.is_Rational}
        number = Mul(*[f**k for f, k in self.num.as_powers_dict().items() if f.is_Rational])
        return left * _reduced(Mul(1 / number, *[f**k for f, k in self.den.items()]), upside_down)

    def __truediv__(self, other: object) -> Factored:
        right = self._lift(other)
        return NotImplemented if right is None else self * (1 / right)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Factored:
        return self * -1

    def __sub__(self, other: object) -> Factored:
        right = self._lift(other)
        return NotImplemented if right is None else self + -right

    def __rsub__(self, other: object) -> Factored:
        return -self + other

    def expression(self) -> Expr:
        """The quotient as SymPy writes it."""
        return product(self.num, *[f**-k for f, k in self.den.items()])


def product(*factors: Expr) -> Expr:
    """The product, in which a number is not distributed over a sum, as SymPy would."""
    numbers, rest = zip(*[factor.as_coeff_Mul() for factor in factors])
    number, letters = Mul(*numbers), Mul(*rest)
    return Mul(number, letters, evaluate=not letters.is_Add or number in (0, 1))


def _reduced(num: Expr, den: dict[Expr, int]) -> Factored:
    """The quotient without the factors that numerator and denominator share as they are written."""
    if num == 0:
        return Factored(num)
    if num.is_Mul or num.is_Pow or num in den:
        powers = num.as_powers_dict()
        shared = {f: min(k, int(powers[f])) for f, k in den.items() if f in powers}
        if shared:
            num = product(num, *[f**-k for f, k in shared.items()])
            den = {f: k - shared.get(f, 0) for f, k in den.items()}
    return Factored(num, {f: k for f, k in den.items() if k})
