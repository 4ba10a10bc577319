"""Typed noncommutative polynomials: what an identity between matrices of unknown size is made of.

A *letter* stands for a matrix; its type `(rows, columns)` is an arrow between two vertices of a quiver, one
vertex per dimension. A *word* is a composable product of letters, a polynomial a rational combination of
words of one type. Each letter owns its transpose `A'` (itself when symmetric), so transposition is a map on
words, never an extra rule.

Reference: C. G. Raab, G. Regensburger, J. Hossein Poor, *Formal proofs of operator identities by a single
formal computation*, J. Pure Appl. Algebra 225 (2021), for why one computation with typed words proves all
sizes at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ngdsym.proof.letters import Letters

Type = tuple[str, str]

Number: TypeAlias = int | Fraction
"""An exact coefficient."""


class TypeMismatch(ValueError):
    """A sum or product of matrices whose shapes do not fit."""


class Polynomial:
    """A rational combination of words of one type; supports `+`, `-`, `*`, `.T` and comparison.

    `terms` maps an encoded word (one character per letter) to its coefficient; `type` is None for a multiple
    of an identity whose size is not known yet. `cancelled` are words it was made from that left nothing.
    """

    def __init__(
        self, letters: Letters, kind: Type | None, terms: Mapping[str, Number], cancelled: Iterable[str] = ()
    ) -> None:
        self.letters = letters
        self.terms: dict[str, Number] = {word: c for word, c in terms.items() if c}
        self.type = kind
        self.cancelled = (*cancelled, *[word for word, c in terms.items() if not c])

    @property
    def known_type(self) -> Type:
        """`type` where it is known."""
        assert self.type is not None
        return self.type

    def _coerce(self, other: object) -> Polynomial:
        if isinstance(other, Polynomial):
            if other.letters is not self.letters:
                raise ValueError("letters of two different declarations cannot be combined")
            return other
        if isinstance(other, (int, Fraction)):
            return Polynomial(self.letters, None, {"": other})
        raise TypeError(f"cannot combine a polynomial in matrices with {other!r}")

    def __add__(self, other: object) -> Polynomial:
        other = self._coerce(other)
        terms = dict(self.terms)
        for word, c in other.terms.items():
            terms[word] = terms.get(word, 0) + c
        return Polynomial(self.letters, _common_type(self, other), terms, self.cancelled + other.cancelled)

    def __mul__(self, other: object) -> Polynomial:
        other = self._coerce(other)
        if self.type and other.type and self.type[1] != other.type[0]:
            raise TypeMismatch(f"cannot multiply {self} ({shape(self.type)}) by {other} ({shape(other.type)})")
        terms: dict[str, Number] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                terms[left + right] = terms.get(left + right, 0) + a * b
        kind = (self.type[0], other.type[1]) if self.type and other.type else self.type or other.type
        cancelled = [a + b for a in self.cancelled for b in (*other.terms, *other.cancelled)]
        cancelled += [a + b for a in self.terms for b in other.cancelled]
        return Polynomial(self.letters, kind, terms, cancelled)

    def __neg__(self) -> Polynomial:
        return Polynomial(self.letters, self.type, {word: -c for word, c in self.terms.items()}, self.cancelled)

    def __sub__(self, other: object) -> Polynomial:
        return self + (-self._coerce(other))

    def __rsub__(self, other: object) -> Polynomial:
        return self._coerce(other) - self

    def __rmul__(self, other: object) -> Polynomial:
        return self._coerce(other) * self

    __radd__ = __add__
    __matmul__ = __mul__

    @property
    def T(self) -> Polynomial:
        kind = self.type and (self.type[1], self.type[0])
        turn = self.letters.transpose
        return Polynomial(self.letters, kind, {turn(w): c for w, c in self.terms.items()}, map(turn, self.cancelled))

    def listing(self) -> list[list]:
        """`[[coefficient, [letter, …]], …]`, ready for JSON."""
        spell = self.letters.spell
        return [[str(c), [*spell(word)]] for word, c in self.terms.items()]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polynomial):
            return NotImplemented
        return self.letters is other.letters and self.type == other.type and self.terms == other.terms

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        text = " ".join(
            f"{'-' if c < 0 else '+'} {_monomial(max(c, -c), self.letters.spell(word))}"
            for word, c in self.terms.items()
        )
        return text.removeprefix("+ ").replace("- ", "-", 1) if text.startswith("-") else text[2:] or "0"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Equation:
    """`left = right`, both sides of one type."""

    left: Polynomial
    right: Polynomial

    def __post_init__(self) -> None:
        kind = _common_type(self.left, self.right)
        for name, side in (("left", self.left), ("right", self.right)):
            if side.type is None:
                object.__setattr__(self, name, Polynomial(side.letters, kind, side.terms, side.cancelled))

    @property
    def type(self) -> Type | None:
        return _common_type(self.left, self.right)

    @property
    def difference(self) -> Polynomial:
        """`left − right`, the polynomial that vanishes."""
        return self.left - self.right

    def listing(self) -> list[list]:
        """`left − right` as `Polynomial.listing` writes it, with nothing cancelled between the sides.

        Where each side cancels to 0, every word of them is listed with 1 and with −1.
        """
        spell = self.left.letters.spell
        return self.left.listing() + (-self.right).listing() or [
            [c, [*spell(word)]] for word in dict.fromkeys(self.difference.cancelled) if word for c in ("1", "-1")
        ]

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"


def penrose(A: Polynomial, X: Polynomial) -> list[Equation]:
    """The four Penrose equations, which hold exactly when X is the Moore–Penrose inverse of A.

    A X A = A, X A X = X, (A X)ᵀ = A X, (X A)ᵀ = X A (Penrose 1955).
    """
    return [Equation(A * X * A, A), Equation(X * A * X, X), Equation((A * X).T, A * X), Equation((X * A).T, X * A)]


def _common_type(a: Polynomial, b: Polynomial) -> Type | None:
    if a.type and b.type and a.type != b.type:
        raise TypeMismatch(f"cannot add or equate {a} ({shape(a.type)}) and {b} ({shape(b.type)})")
    kind = a.type or b.type
    if kind and kind[0] != kind[1] and ("" in a.terms or "" in b.terms):
        raise TypeMismatch(f"an identity cannot be added to or equated with a {shape(kind)} matrix: {a}, {b}")
    return kind


def shape(kind: Type) -> str:
    return f"{kind[0]}×{kind[1]}"


def _monomial(c: Number, names: tuple[str, ...]) -> str:
    return " ".join(([str(c)] if c != 1 or not names else []) + list(names))
