"""Search for certificates: a noncommutative Buchberger procedure that remembers where every rule came from.

Rules are monic polynomials whose largest word (length first, then declaration order) rewrites to the rest. An
*obstruction* is a word on which two rules overlap; the difference of the two rewritings, reduced, is a new
rule. Words are strings with one character per letter, so overlaps and occurrences are plain string
operations, and because rules meet in shared letters only, every product formed is well typed. Each rule
stores one step of its history; the steps form a directed acyclic graph that `Search.expand` multiplies out
into cofactors of the assumptions.

The completion follows Mora (1994) and, for operator statements, Chenavier, Hofstadler, Raab, Regensburger,
*Compatible rewriting of noncommutative polynomials for proving operator identities* (ISSAC 2020) and the
packages OperatorGB, operator_gb and f4ncgb of Hofstadler and co-authors. From them: obstructions are taken by
increasing length, rules are kept interreduced, and an obstruction whose word contains a third rule's leading
word strictly inside is skipped (the noncommutative chain criterion: both shorter obstructions with the third
rule are treated anyway)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

Terms = dict[str, Fraction]
Step = tuple[Fraction, str, int, str]
"""c · left · source · right; source k ≥ 0 is rule k, source −1−k is assumption k."""
Cofactors = dict[tuple[str, int, str], Fraction]


class Contradiction(Exception):
    """The assumptions imply that an identity matrix is zero."""

    def __init__(self, cofactors: Cofactors) -> None:
        super().__init__("the assumptions imply 1 = 0")
        self.cofactors = cofactors


@dataclass
class Rule:
    """`lead` rewrites to −`tail`; `lead + tail` = Σ `steps`."""

    lead: str
    tail: Terms
    steps: list[Step]
    alive: bool = True


def order(word: str) -> tuple[int, str]:
    """Shorter first, then by declaration order of the letters."""
    return len(word), word


class Search:
    """Completion of a set of assumptions, driven on demand.

    Parameters
    ----------
    assumptions : polynomials that vanish.
    max_length : longest obstruction looked at, in letters.
    max_rules : how many rules may be made.
    """

    def __init__(self, assumptions: Sequence[Terms], max_length: int, max_rules: int) -> None:
        self.assumptions = assumptions
        self.rules: list[Rule] = []
        self.max_length, self.max_rules = max_length, max_rules
        self.truncated = False
        self._obstructions: list[tuple[int, int, int, int]] = []
        for k, terms in sorted(enumerate(assumptions), key=lambda item: max(map(len, item[1]), default=0)):
            self._adjoin(terms, [(Fraction(1), "", -1 - k, "")])

    def reduce(self, terms: Terms) -> tuple[Terms, list[Step]]:
        """Rewrite until no rule applies: `rest = terms + Σ steps`."""
        terms, rest, steps = dict(terms), {}, []
        while terms:
            word = max(terms, key=order)
            c = terms.pop(word)
            for k, rule in enumerate(self.rules):
                if rule.alive and (at := word.find(rule.lead)) >= 0:
                    left, right = word[:at], word[at + len(rule.lead):]
                    _add(terms, rule.tail, -c, left, right)
                    steps.append((-c, left, k, right))
                    break
            else:
                rest[word] = c
        return rest, steps

    def step(self) -> bool:
        """Resolve obstructions until one gives a new rule; False when none is left or a limit is reached."""
        while self._obstructions:
            if len(self.rules) >= self.max_rules:
                self.truncated = True
                return False
            _, i, j, overlap = heapq.heappop(self._obstructions)
            a, b = self.rules[i], self.rules[j]
            right, left = b.lead[overlap:], a.lead[:len(a.lead) - overlap]
            if not (a.alive and b.alive) or self._chained(a.lead + right, i, j):
                continue
            difference: Terms = {}
            _add(difference, a.tail, Fraction(1), "", right)
            _add(difference, b.tail, Fraction(-1), left, "")
            if self._adjoin(difference, [(Fraction(1), "", i, right), (Fraction(-1), left, j, "")]):
                return True
        return False

    def expand(self, steps: Iterable[Step]) -> Cofactors:
        """Multiply the history out: Σ `steps` as cofactors of the assumptions."""
        known: dict[int, Cofactors] = {}
        pending = [k for _, _, k, _ in steps if k >= 0]
        while pending:
            k = pending[-1]
            missing = [s for _, _, s, _ in self.rules[k].steps if s >= 0 and s not in known]
            if k not in known and missing:
                pending += missing
                continue
            pending.pop()
            if k not in known:
                known[k] = _combine(self.rules[k].steps, known)
        return _combine(steps, known)

    def _adjoin(self, terms: Terms, steps: list[Step]) -> bool:
        """Reduce `terms` = Σ `steps` to a new rule, and again every rule whose lead the new one rewrites."""
        rest, more = self.reduce(terms)
        if not rest:
            return False
        steps = steps + more
        lead = max(rest, key=order)
        scale = 1 / rest.pop(lead)
        steps = [(scale * c, left, k, right) for c, left, k, right in steps]
        if not lead:
            raise Contradiction(self.expand(steps))
        new = len(self.rules)
        covered = [k for k, rule in enumerate(self.rules) if rule.alive and lead in rule.lead]
        self.rules.append(Rule(lead, {word: scale * c for word, c in rest.items()}, steps))
        for k in covered:
            self.rules[k].alive = False
        self._overlap(new)
        for k in covered:
            rule = self.rules[k]
            self._adjoin({rule.lead: Fraction(1), **rule.tail}, [(Fraction(1), "", k, "")])
        return True

    def _overlap(self, new: int) -> None:
        """Queue the obstructions between rule `new` and all rules."""
        for old, rule in enumerate(self.rules):
            if rule.alive:
                for i, j in {(new, old), (old, new)}:
                    a, b = self.rules[i].lead, self.rules[j].lead
                    for overlap in range(1, min(len(a), len(b))):
                        if a.endswith(b[:overlap]):
                            length = len(a) + len(b) - overlap
                            if length <= self.max_length:
                                heapq.heappush(self._obstructions, (length, i, j, overlap))
                            else:
                                self.truncated = True

    def _chained(self, word: str, i: int, j: int) -> bool:
        inside = word[1:-1]
        return any(rule.alive and k not in (i, j) and rule.lead in inside
                   for k, rule in enumerate(self.rules))


def _add(terms: Terms, other: Terms, c: Fraction, left: str, right: str) -> None:
    """terms += c · left · other · right, in place."""
    for word, a in other.items():
        word = left + word + right
        value = terms.get(word, 0) + c * a
        if value:
            terms[word] = value
        else:
            del terms[word]


def _combine(steps: Iterable[Step], known: dict[int, Cofactors]) -> Cofactors:
    total: Cofactors = {}
    for c, left, k, right in steps:
        source = {("", -1 - k, ""): Fraction(1)} if k < 0 else known[k]
        for (l, assumption, r), a in source.items():
            key = (left + l, assumption, r + right)
            total[key] = total.get(key, 0) + c * a
    return {key: c for key, c in total.items() if c}
