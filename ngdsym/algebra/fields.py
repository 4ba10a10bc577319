"""Exact numbers for proofs at explicit sizes: rational functions of letters, and random rationals.

Matrices are numpy object arrays of these numbers, so one code evaluates statements exactly and in float64.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import flint
import numpy as np

Matrix = np.ndarray
Number = Any  # RationalFunction, flint.fmpq or another type with + − · /


class RationalFunction:
    """Quotient of two multivariate polynomials over ℚ in lowest terms, the denominator's leading coefficient 1.

    Examples
    --------
    >>> x, y = rational_functions(2), rational_functions(2)
    >>> a = x()
    >>> (a * a - 1) / (a - 1) == a + 1
    True
    """

    __slots__ = ("num", "den")

    def __init__(self, num: flint.fmpq_mpoly, den: flint.fmpq_mpoly) -> None:
        if den.is_zero():
            raise ZeroDivisionError("division by the zero rational function")
        if den.is_one():
            self.num, self.den = num, den
            return
        common = num.gcd(den)
        common *= den.leading_coefficient() / common.leading_coefficient()
        self.num, self.den = (num, den) if common == 1 else (num / common, den / common)

    def _lift(self, other: object) -> RationalFunction | None:
        if isinstance(other, RationalFunction):
            return other
        if isinstance(other, (int, flint.fmpq)):
            one = self.den * 0 + 1
            return RationalFunction(one * other, one)
        return None

    def __add__(self, other: object) -> RationalFunction:
        if (right := self._lift(other)) is None:
            return NotImplemented
        if self.den == right.den:
            return RationalFunction(self.num + right.num, self.den)
        return RationalFunction(self.num * right.den + right.num * self.den, self.den * right.den)

    def __mul__(self, other: object) -> RationalFunction:
        if (right := self._lift(other)) is None:
            return NotImplemented
        return RationalFunction(self.num * right.num, self.den * right.den)

    def __truediv__(self, other: object) -> RationalFunction:
        if (right := self._lift(other)) is None:
            return NotImplemented
        return RationalFunction(self.num * right.den, self.den * right.num)

    def __rtruediv__(self, other: object) -> RationalFunction:
        left = self._lift(other)
        return NotImplemented if left is None else left / self

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> RationalFunction:
        return RationalFunction(-self.num, self.den)

    def __sub__(self, other: object) -> RationalFunction:
        right = self._lift(other)
        return NotImplemented if right is None else self + -right

    def __rsub__(self, other: object) -> RationalFunction:
        return -self + other

    def __eq__(self, other: object) -> bool:
        right = self._lift(other)
        return NotImplemented if right is None else self.num * right.den == right.num * self.den

    __hash__ = None  # type: ignore[assignment]  # Python's word for unhashable, not mypy's

    def __repr__(self) -> str:
        return f"({self.num})/({self.den})"


def rational_functions(letters: int) -> Callable[[], RationalFunction]:
    """Source of `letters` independent indeterminates: each call returns the next one."""
    ring = flint.fmpq_mpoly_ctx.get([f"x{i}" for i in range(letters)])
    one, fresh = ring.constant(1), iter(ring.gens())

    def draw() -> RationalFunction:
        return RationalFunction(next(fresh), one)

    return draw


def at_zero(value: RationalFunction, letter: RationalFunction) -> RationalFunction:
    """Value of a rational function where an indeterminate is 0; ZeroDivisionError at a pole."""
    return RationalFunction(*(part.subs({str(letter.num): 0}) for part in (value.num, value.den)))


def rationals(seed: int = 0) -> Callable[[], flint.fmpq]:
    """Source of random integers below 2³²: a false identity of degree d survives with chance ≤ d/2³²."""
    generator = random.Random(seed)
    return lambda: flint.fmpq(generator.randrange(1, 2**32))


def inverse(matrix: Matrix) -> Matrix:
    """Exact `A⁻¹` by Gauss–Jordan elimination; ZeroDivisionError if `A` is singular."""
    size = len(matrix)
    reduced, pivots = row_echelon(np.concatenate([matrix, identity(size)], axis=1))
    if pivots[:size] != list(range(size)):
        raise ZeroDivisionError("the matrix is singular")
    return reduced[:, size:]


def pseudo_inverse(matrix: Matrix) -> Matrix:
    """Exact Moore–Penrose inverse from a rank factorisation `A = C R`: `Rᵀ (R Rᵀ)⁻¹ (Cᵀ C)⁻¹ Cᵀ`."""
    reduced, pivots = row_echelon(matrix)
    C, R = matrix[:, pivots], reduced[: len(pivots)]
    if not pivots:
        return matrix.T * 0
    return R.T @ inverse(R @ R.T) @ inverse(C.T @ C) @ C.T


def rank(matrix: Matrix) -> int:
    """Exact rank."""
    return len(row_echelon(matrix)[1])


def row_echelon(matrix: Matrix) -> tuple[Matrix, list[int]]:
    """Reduced row-echelon form of an exact matrix and its pivot columns."""
    rows = matrix.copy()
    pivots: list[int] = []
    for column in range(rows.shape[1]):
        top = len(pivots)
        below = [i for i in range(top, len(rows)) if rows[i, column] != 0]
        if not below:
            continue
        rows[[top, below[0]]] = rows[[below[0], top]]
        rows[top] = rows[top] / rows[top, column]
        for i in range(len(rows)):
            if i != top and rows[i, column] != 0:
                rows[i] = rows[i] - rows[i, column] * rows[top]
        pivots.append(column)
    return rows, pivots


def identity(size: int) -> Matrix:
    """Identity of exact numbers."""
    return np.array([[flint.fmpq(int(i == j)) for j in range(size)] for i in range(size)], dtype=object)
