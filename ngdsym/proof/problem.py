"""What is asked of `prove` and `refute`: letters with types, assumptions and claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import mul
from typing import TypeAlias

from sympy import Basic

from ngdsym.proof.declarations import declare
from ngdsym.proof.impossible import refuse_impossible
from ngdsym.proof.letters import Letters
from ngdsym.proof.reading import equation
from ngdsym.proof.translate import translate
from ngdsym.proof.words import Equation, Polynomial

Statement: TypeAlias = str | Equation | Polynomial | Basic


class Problem:
    """Letters, assumptions and claims, read and typed.

    The assumptions are those `stated`, with the relations of the letters, and what every 1 × 1 matrix satisfies.
    """

    def __init__(self, letters: Letters, assumptions: list[Equation], claims: list[Equation]) -> None:
        self.letters = letters
        self.stated = assumptions + letters.relations
        self.assumptions = self.stated + _scalar_relations(letters, [*self.stated, *claims])
        self.claims = claims
        refuse_impossible(letters, self.stated)

    def data(self) -> dict:
        """The statement as a certificate records it."""
        letters = self.letters
        table = {name: [*letters.types[name], letters.transposed(name)] for name in letters.names}
        return {
            "letters": table,
            "assumptions": [e.listing() for e in self.assumptions],
            "claims": [e.listing() for e in self.claims],
        }


def _scalar_relations(letters: Letters, equations: Iterable[Equation]) -> list[Equation]:
    """1 × 1 letters, and 1 × 1 products that occur, equal their transposes and commute."""
    scalars: list[Polynomial] = []
    relations: list[Equation] = []
    words = [(x,) for x in letters.names] + [
        letters.spell(word) for e in equations for side in (e.left, e.right) for word in side.terms
    ]
    for scalar in dict.fromkeys(factor for word in words for factor in _scalar_factors(letters, word)):
        x = reduce(mul, map(letters.__getitem__, scalar))
        if not any(x in (y, y.T) for y in scalars):
            relations += [Equation(x.T, x)] if x != x.T else []
            relations += [Equation(y * x, x * y) for y in scalars]
            scalars.append(x)
    return relations


def _scalar_factors(letters: Letters, word: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The 1 × 1 factors of a word that are no products of such."""
    start = 0
    for at, name in enumerate(word):
        rows, cols = letters.types[name]
        start = at if rows == "1" else start
        if cols == "1" and letters.types[word[start]][0] == "1":
            yield word[start : at + 1]


def read(
    assumptions: Statement | Sequence[Statement],
    claim: Statement | Sequence[Statement],
    *,
    types: Mapping[str, Iterable[object]] | None = None,
    symmetric: Iterable[str] = (),
    inverses: Mapping[str, str] | None = None,
    pinvs: Mapping[str, str] | None = None,
    positive: Mapping[str, str] | None = None,
) -> Problem:
    """The arguments of `prove` and `refute` as a typed `Problem`."""
    given = _listed(assumptions), _listed(claim)
    if not given[1]:
        raise ValueError("there is no claim")
    kinds = {str if isinstance(s, str) else Basic if isinstance(s, Basic) else Polynomial for s in sum(given, [])}
    if len(kinds) > 1:
        raise TypeError("state everything as text, or all as SymPy expressions, or all over one Letters")
    if kinds == {str}:
        if types is None:
            raise TypeError("equations in text need types={'A': ('rows', 'columns'), …}")
        letters = declare(types, symmetric, inverses, pinvs, positive)
        return Problem(letters, *([equation(letters, s) for s in side] for side in given))
    if types is not None or symmetric or inverses or pinvs or positive:
        raise TypeError("types, symmetric, inverses, pinvs and positive belong to equations in text")
    if kinds == {Basic}:
        return Problem(*translate(*given))
    sides = [[s if isinstance(s, Equation) else Equation(s, 0 * s) for s in side] for side in given]
    return Problem(sides[1][0].left.letters, *sides)


def _listed(statements: Statement | Iterable[Statement]) -> list:
    return [statements] if isinstance(statements, (str, Equation, Polynomial, Basic)) else list(statements)
