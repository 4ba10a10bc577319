"""The checker of certificates: it re-expands the sums and trusts nothing else.

A certificate writes each claim as Σ c · left · assumption · right, with rational c and words left, right,
where the assumption may be transposed. Before the claims there may be lemmas, which what follows may use:
further equations, proved alike, and *positivity lemmas*. Such a lemma writes a sum of squares Σ c Xᵀ M X, where
c > 0 and M is nothing or a letter declared positive, as such a sum, or in trace, which does not change when a
word is rotated. So the sum vanishes, and with it each square; for real matrices that means X = 0 (M X = 0 where
M is only semidefinite)."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from fractions import Fraction

RAISED = "ʰ-ʸᴬ-ᵡᶛ-ᶿ⁰ⁱ⁴-⁹ⁿ¹²³"
"""Raised signs, which are read as powers and transposes."""
WORD = rf"[^\W\d{RAISED}](?:[^\W{RAISED}]|[\u0300-\u036f])*(?:⁻(?![{RAISED}]))?"
_NESTED = functools.reduce(lambda inner, _: rf"[^\s()=]*(?:\({inner}\)[^\s()=]*)*", range(9), r"[^\s()=]*")
NAME = rf"(?:{WORD}|{WORD}(⁻¹|⁺)|\({_NESTED}\)(⁻¹|⁺))'?"
"""What a letter may be called: one word, or an inverse, of a word or of what one pair of parentheses holds. No reader
can take it for a product, a sum or a number."""


class Refused(Exception):
    """Why a certificate is no proof."""


def examine(data: Mapping) -> None:
    """Raise `Refused` unless all lemmas and claims of `data` are the sums of their cofactors, well typed.

    `letters` maps a letter to `[rows, columns, transpose]`; `assumptions` and `claims` are polynomials
    `[[c, [letter, …]], …]`; `cofactors` holds for each claim its terms `[c, left, assumption, transposed, right]`.
    Optional: `positive`, letter → "pd" or "psd"; `lemmas`, each with `cofactors` and an `equation`, or with `squares`
    `[c, X, [M] or []]` and whether in `trace`. Their conclusions are numbered on behind the assumptions.
    """
    letters, positive = data["letters"], data.get("positive", {})
    number = functools.cache(lambda c: q.numerator if (q := Fraction(c)).denominator == 1 else q)

    def need(condition: object, *reason: object) -> None:
        if not condition:
            raise Refused(" ".join(map(str, reason)))

    def kind(word: list, at: tuple) -> tuple:
        need(all(x in letters for x in word), "undeclared letter in", word)
        need(all(letters[x][1] == letters[y][0] for x, y in itertools.pairwise(word)), "ill-typed product", word)
        return (letters[word[0]][0], letters[word[-1]][1]) if word else at

    def read(p: list) -> tuple[tuple, list]:
        need(len(types := {kind(word, ()) for _, word in p if word}) == 1, "terms of different type, or no letters:", p)
        rows, cols = types.pop()
        need(rows == cols or all(word for _, word in p), "1 in a rectangular sum:", p)
        return (rows, cols), [(number(c), tuple(word)) for c, word in p]

    def transpose(at: tuple, terms: list) -> tuple[tuple, list]:
        return at[::-1], [(c, tuple(letters[x][2] for x in word[::-1])) for c, word in terms]

    for x, (rows, cols, t) in letters.items():
        need(re.fullmatch(NAME, x), repr(x), "cannot name a letter")
        primed = x == t + "'" if x.endswith("'") else t in (x, x + "'")
        need(primed and letters.get(t) == [cols, rows, x], t, "cannot be the transpose of", x)
    facts = [read(p) for p in data["assumptions"]]
    need(len(data["claims"]) == len(data["cofactors"]) > 0, "not one list of cofactors for each claim")
    claims = [{"equation": p, "cofactors": proof} for p, proof in zip(data["claims"], data["cofactors"])]
    for step in [*data.get("lemmas", ()), *claims]:
        if "equation" in step:
            at, root = read(step["equation"])
            trace, roots, terms = False, [(at, root)], [(c, word, at[0]) for c, word in root]
        else:
            trace, roots, terms, at = step["trace"], [], [], None
            for c, X, M in step["squares"]:
                (r, s), p = read(X)
                need(number(c) > 0 and len(M) < 2 and (trace or at in (None, (s, s))), "no sum of squares:", c, M)
                need(all(letters[x] == [r, r, x] and positive[x] in ("pd", "psd") for x in M), "no weight:", M)
                terms += [(number(c) * a * b, (*v, *M, *w), s) for a, v in transpose((r, s), p)[1] for b, w in p]
                fact = [(a, (*(x for x in M if positive[x] == "psd"), *w)) for a, w in p]
                at, roots = (s, s), [*roots, ((r, s), fact)]
        for c, left, k, transposed, right in step["cofactors"]:
            need(type(k) is int and 0 <= k < len(facts), "there is no assumption", k)
            (r, s), generator = transpose(*facts[k]) if transposed else facts[k]
            (rows, x), (y, cols) = kind(left, (r, r)), kind(right, (s, s))
            fits = (x, y) == (r, s) and (rows == cols if trace else (rows, cols) == at)
            need(fits, "ill-typed cofactor:", left, "· assumption", k, "·", right)
            terms += [(-number(c) * a, (*left, *w, *right), rows) for a, w in generator]
        rest: dict[tuple, Fraction | int] = {}
        for c, word, size in terms:
            word = min((word[i:] + word[:i] for i in range(len(word))), default=((size,),)) if trace else word
            rest[word] = rest[word] + c if word in rest else c
        need(not any(rest.values()), "the cofactors leave over", [w for w in rest if rest[w]])
        facts += roots
