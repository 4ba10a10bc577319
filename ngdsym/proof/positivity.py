"""Sums of squares that vanish: the step from Σ c Xᵀ M X = 0 to X = 0, which algebra alone cannot take.

For real matrices a sum of squares with c > 0 and M positive definite (or missing) vanishes only if each X does;
the same holds of its trace. Candidates for X are what is left of a claim and the defects 1 − Y of the symmetric
projectors Y at hand (A A⁺, A⁺A, letters), each also multiplied by a letter; in a
`thorough` search, by two letters, and pairs of letters. Their squares are reduced by the
rules found so far; where no single one becomes zero, a linear program looks for weights c ≥ 0 with which they
cancel. In trace, words are rotated so that more rules apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache, partial

import numpy as np

from ngdsym.proof.letters import Letters
from ngdsym.proof.search import Number, Search, Step, Terms, add, order, simplest
from ngdsym.proof.shorten import solve
from ngdsym.proof.words import Equation, Polynomial

Rewriting = Callable[[str], tuple[Terms, list[Step]]]
"""Of a word in trace."""

TOTAL = "Σ"
"""Key of the sum of all weights in the linear system, beside the words."""


@dataclass(frozen=True)
class Square:
    """c Xᵀ M X; without M it is c Xᵀ X."""

    c: Number
    X: Polynomial
    M: str | None = None

    @property
    def value(self) -> Polynomial:
        X = self.X
        return self.c * (X.T * X if self.M is None else X.T * X.letters[self.M] * X)

    @property
    def root(self) -> Polynomial:
        """What vanishes with the square: X, or M X where M is only semidefinite."""
        X = self.X
        return X if self.M is None or X.letters.positive[self.M] == "pd" else X.letters[self.M] * X


@dataclass(frozen=True)
class Lemma:
    """The sum of `squares` (or its trace) vanishes, as it is −Σ `steps`."""

    squares: list[Square]
    trace: bool
    steps: list[Step]


def find_lemmas(
    search: Search, letters: Letters, assumptions: Iterable[Equation], rest: Polynomial, thorough: bool
) -> list[Lemma]:
    """Sums of squares that the rules of `search` reduce to zero, of matrices that do not vanish already."""
    symmetric = [e.left for e in assumptions if e.left == e.right.T] + [
        letters[x] for x in letters.names if letters[x] == letters[x].T
    ]
    defects = [Y - letters.one for Y in symmetric if not search.reduce((Y * Y - Y).terms)[0]]
    factors = [letters[x] for x in letters.names]
    near = [rest, *defects]
    near += _products(factors + defects, near)
    found = _vanishing(search, letters, near)
    return _vanishing(search, letters, _products(factors, near + factors)) if thorough and not found else found


def _vanishing(search: Search, letters: Letters, matrices: list[Polynomial]) -> list[Lemma]:
    squares = [
        Square(1, X, M)
        for X in _normal(search, matrices)
        for M in (None, *letters.positive)
        if M is None or letters.types[M][0] == X.known_type[0]
    ]
    rewritten = cache(partial(_rewritten, search, letters))
    for trace in (False, True):
        reduced = [_traced(rewritten, square) if trace else search.reduce(square.value.terms) for square in squares]
        zero = [Lemma([square], trace, steps) for square, (rest, steps) in zip(squares, reduced) if not rest]
        if zero:
            return zero
        for kind in {None: None} if trace else {square.X.known_type[1]: None for square in squares}:
            group = [k for k, square in enumerate(squares) if trace or square.X.known_type[1] == kind]
            weights = _weights([reduced[k][0] for k in group])
            if weights:
                chosen = [(c, k) for c, k in zip(weights, group) if c]
                return [
                    Lemma(
                        [Square(c, squares[k].X, squares[k].M) for c, k in chosen],
                        trace,
                        [(c * a, left, rule, right) for c, k in chosen for a, left, rule, right in reduced[k][1]],
                    )
                ]
    return []


def _products(factors: list[Polynomial], matrices: list[Polynomial]) -> list[Polynomial]:
    return [
        a * b
        for X in matrices
        for u in factors
        for a, b in ((u, X), (X, u), (u, X.T))
        if a.known_type[1] == b.known_type[0]
    ]


def _normal(search: Search, matrices: list[Polynomial]) -> list[Polynomial]:
    """The matrices and their transposes in normal form, without zeros and repetitions."""
    found: dict[object, Polynomial] = {}
    for X in [Z for Y in matrices for Z in (Y, Y.T)]:
        normal = Polynomial(X.letters, X.type, search.reduce(X.terms)[0])
        if normal.terms:
            found.setdefault((frozenset(normal.terms), X.type), normal)
    return list(found.values())


def _traced(rewritten: Rewriting, square: Square) -> tuple[Terms, list[Step]]:
    """As `Search.reduce`, in trace: words may be rotated. The trace of an identity is keyed by "1" and its size."""
    pending = {word or "1" + square.X.known_type[1]: c for word, c in square.value.terms.items()}
    rest: Terms = {}
    steps: list[Step] = []
    while pending:
        word = max(pending, key=_rank)
        c = pending.pop(word)
        terms, more = rewritten(word)
        add(rest if not more else pending, terms, c, "", "")
        steps += [(c * a, left, rule, right) for a, left, rule, right in more]
    return rest, steps


def _rewritten(search: Search, letters: Letters, word: str) -> tuple[Terms, list[Step]]:
    """What the trace of a word is by the first of its turns to which rules apply: tr word + Σ steps.

    From tr w = a tr w + Σ b tr v follows (1 − a) tr w = Σ b tr v. Without such a turn it is the least turn, by no step.
    """
    for turn in _turns(word):
        size = "1" + letters.types[letters.spell(turn)[0]][0]
        normal, more = search.reduce({turn: 1})
        same = sum(a for w, a in normal.items() if w and _least(w) == _least(word))
        others = {w or size: a for w, a in normal.items() if not w or _least(w) != _least(word)}
        if more and same != 1 and all(_rank(w) < _rank(word) for w in others):
            c = simplest(1 / Fraction(1 - same))
            return {w: c * a for w, a in others.items()}, [(c * a, left, rule, right) for a, left, rule, right in more]
    return {_least(word): 1}, []


def _turns(word: str) -> Iterator[str]:
    return (word[i:] + word[:i] for i in range(0 if word.startswith("1") else len(word)))


@lru_cache(1 << 16)
def _least(word: str) -> str:
    return min(_turns(word), default=word)


def _rank(word: str) -> tuple[int, str]:
    return (0, word) if word.startswith("1") else order(_least(word))


def _weights(sums: Sequence[Terms]) -> list[Fraction] | None:
    """c ≥ 0 with Σ c = 1 and Σ c · sum = 0, if there are any; few are not zero."""
    if not sums:
        return None
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    columns = [{**terms, TOTAL: 1} for terms in sums]
    words = {word: i for i, word in enumerate(dict.fromkeys(word for column in columns for word in column))}
    entries = [(words[word], k, float(c)) for k, column in enumerate(columns) for word, c in column.items()]
    rows, cols, values = zip(*entries)
    matrix = coo_array((values, (rows, cols)), shape=(len(words), len(columns)))
    target = np.zeros(len(words))
    target[words[TOTAL]] = 1
    optimum = linprog([1 + len(terms) for terms in sums], A_eq=matrix, b_eq=target, method="highs-ds")
    if optimum.x is None:
        return None
    support = np.flatnonzero(optimum.x > 1e-9)
    exact = solve([columns[k] for k in support], {TOTAL: 1})
    if exact is None or min(exact) < 0:
        return None
    weights = [Fraction(0)] * len(sums)
    for k, c in zip(support, exact):
        weights[k] = c
    return weights
