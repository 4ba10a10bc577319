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
rule are treated anyway).

Leading words are found by hashing: `_leads` maps a word to the rule that it leads, so a factor of a word is
looked up for each length that occurs with its first letter; `_starts` and `_ends` map the proper prefixes and
suffixes of the leading words to their rules, so all overlaps of a new rule are found without looking at the
others."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from time import process_time

Number = int | Fraction
"""An integer as long as that suffices: its arithmetic is many times faster."""
Terms = dict[str, Number]
Step = tuple[Number, str, int, str]
"""c · left · source · right; source k ≥ 0 is rule k, source −1−k is assumption k."""
Cofactors = dict[tuple[str, int, str], Number]
Order = Callable[[str], tuple]


class Contradiction(Exception):
    """The assumptions imply that an identity matrix is zero."""

    def __init__(self, cofactors: Cofactors) -> None:
        super().__init__("the assumptions imply 1 = 0")
        self.cofactors = cofactors


class OutOfTime(Exception):
    """The deadline of the search has passed."""


@dataclass(slots=True)
class Rule:
    """`lead` rewrites to −`tail`; `lead + tail` = Σ `steps`."""

    lead: str
    tail: Terms
    steps: list[Step]
    alive: bool = True

    @property
    def polynomial(self) -> Terms:
        return {self.lead: 1, **self.tail}


def order(word: str) -> tuple[int, str]:
    """Shorter first, then by declaration order of the letters."""
    return len(word), word


class Search:
    """Completion of the polynomials given to `assume`, driven on demand.

    Parameters
    ----------
    deadline : value of `time.process_time()` after which `OutOfTime` is raised.
    order : key by which words are compared; must be compatible with products.
    """

    def __init__(self, deadline: float, order: Order = order) -> None:
        self.assumptions: list[Terms] = []
        self.rules: list[Rule] = []
        self.deadline, self.order = deadline, order
        self._obstructions: list[tuple[int, int, int, int]] = []
        self._leads: dict[str, int] = {}
        self._lengths: dict[str, list[int]] = {}
        self._starts: defaultdict[str, list[int]] = defaultdict(list)
        self._ends: defaultdict[str, list[int]] = defaultdict(list)

    def assume(self, polynomials: Sequence[Terms]) -> None:
        """Take up further polynomials that vanish."""
        first = len(self.assumptions)
        self.assumptions += [{word: simplest(c) for word, c in terms.items()} for terms in polynomials]
        shortest_first = sorted(range(first, len(self.assumptions)), key=lambda k: max(map(len, self.assumptions[k])))
        for k in shortest_first:
            terms = self.assumptions[k]
            self._adjoin(terms, [(1, "", -1 - k, "")])

    def reduce(self, terms: Terms) -> tuple[Terms, list[Step]]:
        """Rewrite until no rule applies: `rest = terms + Σ steps`."""
        terms, rest, steps = {word: simplest(c) for word, c in terms.items()}, {}, []
        while terms:
            word = max(terms, key=self.order) if len(terms) > 1 else next(iter(terms))
            c = terms.pop(word)
            if (redex := self.redex(word)) is None:
                rest[word] = c
                continue
            left, k, right = redex
            add(terms, self.rules[k].tail, -c, left, right)
            steps.append((-c, left, k, right))
            if process_time() > self.deadline:
                raise OutOfTime
        return rest, steps

    def redex(self, word: str) -> tuple[str, int, str] | None:
        """Where the oldest rule that rewrites `word` does so: (left, rule, right). Old rules have short histories."""
        leads, lengths, size = self._leads, self._lengths, len(word)
        best, found = len(self.rules), (0, 0)
        for at, letter in enumerate(word):
            for length in lengths.get(letter, ()):
                end = at + length
                if end > size:
                    break
                if (k := leads.get(word[at:end], best)) < best:
                    best, found = k, (at, end)
        return (word[: found[0]], best, word[found[1] :]) if found[1] else None

    def step(self) -> bool:
        """Resolve obstructions until one gives a new rule; False when none is left."""
        while self._obstructions:
            _, i, j, overlap = heapq.heappop(self._obstructions)
            a, b = self.rules[i], self.rules[j]
            right, left = b.lead[overlap:], a.lead[: len(a.lead) - overlap]
            if not (a.alive and b.alive) or self._chained(a.lead + right, i, j):
                continue
            difference: Terms = {}
            add(difference, a.tail, 1, "", right)
            add(difference, b.tail, -1, left, "")
            if self._adjoin(difference, [(1, "", i, right), (-1, left, j, "")]):
                return True
        return False

    @property
    def pending(self) -> int:
        """Letters in the shortest obstruction that is left; 0 if none is, so `reduce` decides membership."""
        return self._obstructions[0][0] if self._obstructions else 0

    def expand(self, steps: Iterable[Step]) -> Cofactors:
        """Multiply the history out: Σ `steps` as cofactors of the assumptions."""
        known: dict[int, Cofactors] = {}
        for k in self.history(steps):
            known[k] = combine(self.rules[k].steps, known)
        return combine(steps, known)

    def history(self, steps: Iterable[Step]) -> list[int]:
        """The rules that `steps` rest on, each behind those that it rests on itself."""
        done: dict[int, None] = {}
        pending = [k for _, _, k, _ in steps if k >= 0]
        while pending:
            missing = [s for _, _, s, _ in self.rules[pending[-1]].steps if s >= 0 and s not in done]
            if missing and pending[-1] not in done:
                pending += missing
            else:
                done[pending.pop()] = None
        return list(done)

    def _adjoin(self, terms: Terms, steps: list[Step]) -> bool:
        """Reduce `terms` = Σ `steps` to a new rule, and again every rule whose lead the new one rewrites."""
        rest, more = self.reduce(terms)
        if not rest:
            return False
        steps = steps + more
        lead = max(rest, key=self.order)
        c = rest.pop(lead)
        scale = c if c in (1, -1) else 1 / Fraction(c)
        steps = [(simplest(scale * c), left, k, right) for c, left, k, right in steps]
        if not lead:
            raise Contradiction(self.expand(steps))
        covered = [k for k in self._leads.values() if lead in self.rules[k].lead]
        for k in covered:
            self._remove(k)
        self.rules.append(Rule(lead, {word: simplest(scale * c) for word, c in rest.items()}, steps))
        self._overlap(len(self.rules) - 1)
        for k in covered:
            rule = self.rules[k]
            self._adjoin(rule.polynomial, [(1, "", k, "")])
        return True

    def _remove(self, k: int) -> None:
        rule = self.rules[k]
        rule.alive = False
        del self._leads[rule.lead]
        for cut in range(1, len(rule.lead)):
            self._starts[rule.lead[:cut]].remove(k)
            self._ends[rule.lead[cut:]].remove(k)

    def _overlap(self, new: int) -> None:
        """Index rule `new` and queue its obstructions with all rules."""
        lead = self.rules[new].lead
        self._leads[lead] = new
        self._lengths[lead[0]] = sorted({*self._lengths.get(lead[0], ()), len(lead)})
        for cut in range(1, len(lead)):
            self._starts[lead[:cut]].append(new)
            self._ends[lead[cut:]].append(new)
        for cut in range(1, len(lead)):
            for other in self._starts.get(lead[cut:], ()):
                self._queue(new, other, len(lead) - cut)
            for other in self._ends.get(lead[:cut], ()):
                if other != new:
                    self._queue(other, new, cut)

    def _queue(self, i: int, j: int, overlap: int) -> None:
        length = len(self.rules[i].lead) + len(self.rules[j].lead) - overlap
        heapq.heappush(self._obstructions, (length, i, j, overlap))

    def _chained(self, word: str, i: int, j: int) -> bool:
        """Whether a third rule leads strictly inside `word`."""
        for at in range(1, len(word) - 1):
            for length in self._lengths.get(word[at], ()):
                if at + length >= len(word):
                    break
                if self._leads.get(word[at : at + length], i) not in (i, j):
                    return True
        return False


def simplest(c: Number) -> Number:
    """`c`, as an integer where it is one."""
    return c.numerator if c.denominator == 1 else c


def add(terms: Terms, other: Terms, c: Number, left: str, right: str) -> None:
    """terms += c · left · other · right, in place."""
    for word, a in other.items():
        word = left + word + right
        value = terms.get(word, 0) + c * a
        if value:
            terms[word] = value
        else:
            del terms[word]


def combine(steps: Iterable[Step], known: Mapping[int, Cofactors]) -> Cofactors:
    """Σ `steps` with the rules in them replaced by their `known` cofactors."""
    total: Cofactors = {}
    for c, left, k, right in steps:
        source = {("", -1 - k, ""): 1} if k < 0 else known[k]
        for (l, assumption, r), a in source.items():
            key = (left + l, assumption, r + right)
            total[key] = total.get(key, 0) + c * a
    return {key: c for key, c in total.items() if c}
