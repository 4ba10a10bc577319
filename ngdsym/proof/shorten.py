"""Shorter certificates by linear programming.

Among all ways to write a claim as Σ c · left · assumption · right with words no longer than those of a known
proof, the one with the least Σ |c| tends to have few terms and coefficients ±1; it is a linear program. The
optimum is a vertex, so its coefficients are recovered exactly from its support. Following Hofstadler and
Verron, *Short proofs of ideal membership*, J. Symb. Comput. 125 (2024)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import chain
from time import process_time

import numpy as np
from sympy import QQ
from sympy.polys.matrices import DomainMatrix

from ngdsym.proof.search import Cofactors, Terms

CANDIDATES_PER_TERM, MAX_CANDIDATES = 40, 3000
LENGTH_COST = 1e-3
"""What a letter of left or right costs, as against 1 for a term: settles ties in favour of short words."""


def shorten(claim: Terms, generators: Sequence[Terms], proof: Cofactors, deadline: float) -> Cofactors:
    """A proof of `claim` with no more terms than `proof`; cofactors are `{(left, generator, right): c}`.

    Repeated while it helps, until `deadline` (of `time.process_time`): a shorter proof touches fewer words, so more
    of their neighbourhood is searched.
    """
    while 1 < len(proof) < MAX_CANDIDATES and (left := deadline - process_time()) > 0:
        shorter = _optimum(claim, generators, proof, left)
        if len(shorter) >= len(proof):
            break
        proof = shorter
    return proof


def _optimum(claim: Terms, generators: Sequence[Terms], proof: Cofactors, seconds: float) -> Cofactors:
    from scipy.optimize import linprog  # a third of the time that importing ngdsym would take
    from scipy.sparse import coo_array, hstack

    candidates = _balanced(_candidates(claim, generators, proof), generators, claim)
    words: dict[str, int] = {word: i for i, word in enumerate(claim)}
    entries = [
        (words.setdefault(left + word + right, len(words)), j, float(c))
        for j, (left, k, right) in enumerate(candidates)
        for word, c in generators[k].items()
    ]
    rows, cols, values = zip(*entries)
    matrix = coo_array((values, (rows, cols)), shape=(len(words), len(candidates)))
    target = np.zeros(len(words))
    target[: len(claim)] = [float(c) for c in claim.values()]
    cost = [1 + LENGTH_COST * len(left + right) for left, _, right in candidates]
    optimum = linprog(
        cost + cost, A_eq=hstack([matrix, -matrix]), b_eq=target, method="highs-ds", options={"time_limit": seconds}
    )
    if optimum.x is None:
        return proof
    signed = optimum.x[: len(candidates)] - optimum.x[len(candidates) :]
    support = [candidates[j] for j in np.flatnonzero(abs(signed) > 1e-9)]
    exact = solve([{left + w + right: c for w, c in generators[k].items()} for left, k, right in support], claim)
    return proof if exact is None else {key: c for key, c in zip(support, exact) if c}


def _candidates(claim: Terms, generators: Sequence[Terms], proof: Cofactors) -> list[tuple[str, int, str]]:
    """The proof's own products and, round by round, those that share a word with products already there."""
    found = dict.fromkeys(sorted(proof))
    places = _places(generators)
    reach = [max(map(len, generator)) for generator in generators]
    most = min(MAX_CANDIDATES, CANDIDATES_PER_TERM * len(proof))
    reached = dict.fromkeys(claim)
    for left, k, right in found:
        reached |= dict.fromkeys(left + word + right for word in generators[k])
    longest = max(map(len, reached))
    fresh = list(reached)
    while fresh and len(found) < most:
        new = {
            product: len(product[0]) + len(product[2])
            for word in fresh
            for product in _products(word, places)
            if product not in found and len(product[0]) + reach[product[1]] + len(product[2]) <= longest
        }
        more = sorted(new, key=new.__getitem__)
        more = more[: most - len(found)]
        found |= dict.fromkeys(more)
        words = dict.fromkeys(left + word + right for left, k, right in more for word in generators[k])
        fresh = [word for word in words if word not in reached]
        reached |= dict.fromkeys(fresh)
    return list(found)


def _balanced(
    candidates: list[tuple[str, int, str]], generators: Sequence[Terms], claim: Terms
) -> list[tuple[str, int, str]]:
    """Without the products, again and again, one of whose words nothing else could cancel."""
    expanded = {key: [key[0] + word + key[2] for word in generators[key[1]]] for key in candidates}
    while True:
        uses = Counter(chain(claim, chain.from_iterable(expanded.values())))
        kept = {key: words for key, words in expanded.items() if min(map(uses.__getitem__, words)) > 1}
        if len(kept) == len(expanded):
            return list(kept)
        expanded = kept


def _places(generators: Sequence[Terms]) -> dict[int, dict[str, list[int]]]:
    """For each length and word of that length the generators that contain it."""
    places: dict[int, dict[str, list[int]]] = {}
    for k, generator in enumerate(generators):
        for word in filter(None, generator):
            places.setdefault(len(word), {}).setdefault(word, []).append(k)
    return places


def _products(word: str, places: Mapping[int, Mapping[str, Sequence[int]]]) -> list[tuple[str, int, str]]:
    """All left · generator · right with `word` among their words."""
    return [
        (word[:start], k, word[start + length :])
        for length, found in places.items()
        for start in range(len(word) - length + 1)
        for k in found.get(word[start : start + length], ())
    ]


def solve(columns: Sequence[Terms], target: Terms) -> list[Fraction] | None:
    """The unique rational combination of `columns` that gives `target`; None if there is none or are many."""
    words: dict[str, int] = {}
    system: dict[int, dict[int, object]] = {}
    for j, column in enumerate([*columns, target]):
        for word, c in column.items():
            row = system.setdefault(words.setdefault(word, len(words)), {})
            row[j] = QQ(c.numerator, c.denominator)
    reduced, pivots = DomainMatrix(system, (len(words), len(columns) + 1), QQ).rref()
    if pivots != tuple(range(len(columns))):
        return None
    rows = reduced.rep.to_sdm()
    last = [rows.get(i, {}).get(len(columns), 0) for i in range(len(columns))]
    return [Fraction(int(c.numerator), int(c.denominator)) for c in last]
