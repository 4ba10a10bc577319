"""The letters of a statement: names, sizes, properties, and the equations that define inverses."""

from __future__ import annotations

import re

from sympy import Expr

from ngdsym.proof.checker import WORD
from ngdsym.proof.sizes import size, spelled
from ngdsym.proof.words import Equation, Polynomial, Type, TypeMismatch, penrose


class UndeclaredLetter(ValueError):
    """A letter that no declaration gives a type."""


class Letters:
    """The declared letters of one statement.

    Calling it declares a letter and returns it as a `Polynomial`; properties become `relations`, which every
    proof over these letters may use.

    Examples
    --------
    >>> letters = Letters()
    >>> A = letters("A", "o", "n")
    >>> P = letters("P", "o", symmetric=True, inverse="Pi")
    >>> str(A.T * P * A)
    "A' P A"
    >>> [str(relation) for relation in letters.relations]
    ['P Pi = 1', 'Pi P = 1']
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.types: dict[str, Type] = {}
        self.sizes: dict[str, Expr] = {}
        self.relations: list[Equation] = []
        self.positive: dict[str, str] = {}
        self.inverted: dict[str, tuple[Polynomial, str]] = {}
        self._codes: dict[str, str] = {}
        self._spelled: dict[str, str] = {}
        self._transpose: dict[int, str] = {}

    def __call__(
        self,
        name: str,
        rows: object,
        cols: object = None,
        *,
        symmetric: bool = False,
        positive: str | None = None,
        inverse: str | None = None,
        pinv: str | None = None,
    ) -> Polynomial:
        """Declare `name` as a `rows × cols` matrix (square when `cols` is missing).

        Parameters
        ----------
        symmetric : the letter is its own transpose.
        positive : `"pd"` or `"psd"`, symmetric and positive (semi)definite.
        inverse : name of a further letter X with A X = 1 and X A = 1.
        pinv : name of a further letter X with the four Penrose equations A X A = A, X A X = X, (A X)ᵀ = A X,
            (X A)ᵀ = X A.

        Raises
        ------
        TypeMismatch
            A symmetric letter that is not square.
        ValueError
            A name that is taken, empty, or ends in the sign of transposition; an unknown kind of `positive`.
        """
        if not re.fullmatch(WORD, name):
            raise ValueError(
                f"{name!r} cannot name a letter: a name is one word that starts with a letter, without "
                "spaces or signs; a prime marks the transpose, raised signs mark powers and inverses"
            )
        if positive not in (None, "pd", "psd"):
            raise ValueError(f"{name} is declared {positive!r}: positive is 'pd' (definite) or 'psd' (semidefinite)")
        self._declare(name, rows, rows if cols is None else cols, symmetric or positive is not None)
        if positive is not None:
            self.positive[name] = positive
        if inverse is not None:
            self.inverse(self[name], "⁻¹", inverse)
        if pinv is not None:
            self.inverse(self[name], "⁺", pinv)
        return self[name]

    def inverse(self, inner: Polynomial, mark: str, name: str | None = None) -> Polynomial:
        """The letter of the inverse (`mark` "⁻¹") or Moore–Penrose inverse ("⁺") of `inner`.

        It is declared, with the equations that define it, unless it is there; the inverse of a transpose is the
        transpose of the inverse.

        Parameters
        ----------
        name : of the letter; `inner` with the mark if None.

        Raises
        ------
        TypeMismatch
            An inverse of what is not square.
        ValueError
            A name that reads as another inverse; a number without a size.

        Examples
        --------
        >>> letters = Letters()
        >>> A, B = letters("A", "m", "n"), letters("B", "n", "m")
        >>> print(letters.inverse(A.T, "⁺"), letters.inverse(A * B + 1, "⁻¹"))
        A⁺' (A*B+1)⁻¹
        """
        if name is None:
            for known, (base, kind) in self.inverted.items():
                if kind == mark and inner in (base, base.T):
                    return self[known] if inner == base else self[known].T
            if str(inner).endswith("'") and str(inner).removesuffix("'") in self:
                return self.inverse(inner.T, mark).T
        if inner.type is None:
            raise ValueError(f"({inner}){mark} has no size: write the number that it is")
        row, col = inner.type
        if mark == "⁻¹" and (self.sizes[row] - self.sizes[col]).is_zero is False:
            raise TypeMismatch(f"{inner} is {row}×{col}: only a square matrix has an inverse; use a pseudo-inverse")
        spelling = str(inner)
        if not re.fullmatch(WORD, spelling):
            spelling = f"({spelling.replace(' - ', '-').replace(' + ', '+').replace(' ', '*')})"
        if name is not None and name != spelling + mark and not re.fullmatch(WORD, name):
            raise ValueError(f"{name!r} cannot name the letter of {spelling}{mark}: use one word without signs")
        return self.declare_inverse(inner, mark, name or spelling + mark)

    def declare_inverse(self, inner: Polynomial, mark: str, name: str) -> Polynomial:
        """As `inverse`, by any name."""
        row, col = inner.known_type
        letter = self._declare(name, self.sizes[col], self.sizes[row], inner == inner.T)
        self.inverted[name] = inner, mark
        self.relations += (
            penrose(inner, letter)
            if mark == "⁺"
            else [Equation(inner * letter, self.one), Equation(letter * inner, self.one)]
        )
        return letter

    def dimension(self, given: object) -> str:
        """The size as types spell it: equal sizes are spelled alike."""
        name = spelled(given)
        self.sizes[name] = size(given)
        return name

    def _declare(self, name: str, rows: object, cols: object, symmetric: bool) -> Polynomial:
        row, col = self.dimension(rows), self.dimension(cols)
        if symmetric and row != col:
            raise TypeMismatch(f"{name} is {row}×{col}: only a square letter can be symmetric")
        self._add(name, (row, col))
        if symmetric:
            self._transpose[ord(self._codes[name])] = self._codes[name]
        else:
            self._add(name + "'", (col, row))
            here, there = self._codes[name], self._codes[name + "'"]
            self._transpose |= {ord(here): there, ord(there): here}
        return self[name]

    def _add(self, name: str, kind: Type) -> None:
        if name in self.types:
            raise ValueError(f"the letter {name} is declared twice")
        code = chr(0x4E00 + len(self.names))
        self._codes[name], self._spelled[code] = code, name
        self.names.append(name)
        self.types[name] = kind

    def __getitem__(self, name: str) -> Polynomial:
        if name not in self.types:
            raise UndeclaredLetter(f"the letter {name} is not declared; declared are {', '.join(self.names)}")
        return Polynomial(self, self.types[name], {self._codes[name]: 1})

    def __contains__(self, name: str) -> bool:
        return name in self.types

    @property
    def one(self) -> Polynomial:
        """The identity of whatever size its neighbours in a sum ask for."""
        return Polynomial(self, None, {"": 1})

    def spell(self, word: str) -> tuple[str, ...]:
        """The letters of an encoded word."""
        return tuple([self._spelled[code] for code in word])

    def transposed(self, name: str) -> str:
        """The name of a letter's transpose."""
        return self.spell(self.transpose(self._codes[name]))[0]

    def transpose(self, word: str) -> str:
        """The transpose of an encoded word: letters transposed, order reversed."""
        return word[::-1].translate(self._transpose)
