"""Hypotheses that no sizes allow, such as X Y = 1 of size n + 1 through size n."""

from __future__ import annotations

from collections.abc import Iterable

from sympy import Expr, Integer

from ngdsym.proof.letters import Letters
from ngdsym.proof.words import Equation


class ImpossibleSizes(ValueError):
    """A hypothesis that holds for no matrices, whatever their sizes, since a rank would exceed a size."""


def refuse_impossible(letters: Letters, assumptions: Iterable[Equation]) -> None:
    """Raise `ImpossibleSizes` at a hypothesis 1 = Σ words in which no sizes let the sum have full rank.

    The rank of a product is at most the smallest size on its way, that of a sum at most the sum.
    """
    for equation in assumptions:
        kind = equation.type
        if kind is None or equation.left.terms.get("") == equation.right.terms.get(""):
            continue
        terms = equation.difference.terms
        rank = Integer(0)
        for word in terms:
            if word:
                rank += _narrowest(letters, letters.spell(word))
        needed = letters.sizes[kind[0]]
        if (needed - rank).is_positive:
            raise ImpossibleSizes(
                f"{equation} holds for no matrices: an identity of size {needed} has rank {needed}, "
                f"the rest at most {rank}. Correct the sizes"
            )


def _narrowest(letters: Letters, word: tuple[str, ...]) -> Expr:
    """A size on the way of a word that is nowhere larger than the others that can be compared with it."""
    way = [letters.sizes[letters.types[word[0]][0]], *(letters.sizes[letters.types[x][1]] for x in word)]
    best = way[0]
    for other in way[1:]:
        if (best - other).is_nonnegative:
            best = other
    return best
