"""`prove`: from matrix equations to a certificate that holds for all sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import process_time

from ngdsym.proof.certificate import Certificate
from ngdsym.proof.checker import examine
from ngdsym.proof.instances import witness
from ngdsym.proof.positivity import find_lemmas
from ngdsym.proof.problem import Problem, Statement, read
from ngdsym.proof.search import Cofactors, Contradiction, OutOfTime, Search, Step, Terms, combine, order
from ngdsym.proof.shorten import shorten
from ngdsym.proof.words import Equation, Polynomial, Type

TIMEOUT = 60.0
PATIENCE, LENGTH = 400, 16
"""An untimed search ends after so many rules without progress, or when all overlaps left have more letters."""
LEMMA = 100
"""What is proved on the way with more terms is shortened, and becomes a lemma if it keeps more than half."""
FIRST_LOOK, RULES_PER_ASSUMPTION = 50, 2
"""Rules before the first look for vanishing squares: as many, and so many times the assumptions."""

VACUITY_STEPS = 50
"""Rules sought beyond a proof, in case the assumptions that gave it contradict each other."""


class ProofNotFound(Exception):
    """No proof was found. `remainder` is the claim rewritten as far as the assumptions allow."""

    def __init__(self, message: str, remainder: Polynomial) -> None:
        super().__init__(message)
        self.remainder = remainder


class VacuousHypotheses(ValueError):
    """The assumptions contradict each other: they imply that an identity matrix is zero.

    `certificate` proves that a letter vanishes, by multiplying 1 = 0 with it.
    """

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate


def prove(
    assumptions: Statement | Sequence[Statement],
    claim: Statement | Sequence[Statement],
    *,
    types: Mapping[str, Iterable[object]] | None = None,
    symmetric: Iterable[str] = (),
    inverses: Mapping[str, str] | None = None,
    pinvs: Mapping[str, str] | None = None,
    positive: Mapping[str, str] | None = None,
    timeout: float | None = None,
    positivity: bool = True,
) -> Certificate:
    """Prove that `claim` follows from `assumptions` for real matrices of every size.

    The certificate writes claim = Σ c · left · assumption · right, with every product well typed. Assumptions
    also serve transposed, and the relations that define inverses and pseudo-inverses are assumptions. Where
    algebra is not enough, the proof may conclude X = 0 from a vanishing sum of squares Xᵀ M X. With it comes a
    `witness`: small matrices that keep the assumptions, or a note that none were found.

    Parameters
    ----------
    assumptions, claim : str, object or list of them
        Equations as text (`"A Y A' P A = A"`; without `=`, the polynomial vanishes), as objects `Equation` or
        `Polynomial` over one `Letters`, or as SymPy `Eq` or matrix expressions. A list of claims is a conjunction.
    types : for text, `{"A B": ("rows", "columns"), …}`. Letters of type ("1", "1") commute.
    symmetric : for text, the letters that are their own transposes.
    inverses, pinvs : for text, letter → name of its inverse, or of its Moore–Penrose inverse.
    positive : for text, letter → "pd" or "psd".
    timeout : float, optional
        Seconds of processor time to search. Without it the search ends when many rules brought the claim no further,
        after a minute at most.
    positivity : False for pure algebra, which holds over every field.

    Raises
    ------
    ProofNotFound
        Nothing was found; the message says why the search ended and what remained of the claim.
    VacuousHypotheses
        The assumptions imply 1 = 0, so they would prove anything.
    ImpossibleSizes
        An assumption that no sizes allow, such as X Y = 1 of size n + 1 through size n.
    UndeclaredLetter, TypeMismatch
        A letter without type; a product or sum of unfitting shapes.

    Examples
    --------
    >>> certificate = prove(["X A = 1", "A Y = 1"], "X = Y", types={"A": ("m", "n"), "X Y": ("n", "m")})
    >>> certificate.check()
    True
    >>> print(certificate)
    (0) X A - 1 = 0
    (1) A Y - 1 = 0
    X - Y =
        + (0) Y
        - X (1)
    >>> print(prove(["A' A B = 0"], "A B = 0", types={"A": ("m", "n"), "B": ("n", "k")}))
    (0) A' A B = 0
    (A B)' (A B) =
        + B' (0)
        = 0, and a sum of squares vanishes only if each of them does:
    (1) A B = 0
    A B =
        + (1)
    """
    statement = read(
        assumptions, claim, types=types, symmetric=symmetric, inverses=inverses, pinvs=pinvs, positive=positive
    )
    certificate = certify(statement, timeout, positivity)
    return Certificate({**certificate.data, "witness": witness(statement)})


def certify(problem: Problem, timeout: float | None = None, positivity: bool = True) -> Certificate:
    """As `prove`, for a problem that has been read, and without a witness."""
    return _Proof(problem, timeout, positivity).certificate()


@dataclass
class _Lemma:
    """`record` states it in the certificate; its cofactors over the first `known` assumptions of the search sum to
    `total` (None in trace); it adds the `facts`."""

    record: dict
    total: Terms | None
    facts: range
    cofactors: Cofactors
    known: int


class _Proof:
    """One search for the proof of a problem.

    `facts` are the assumptions and, behind them, what lemmas showed to vanish. Assumption i of the search is fact
    `origin[i][0]`, transposed if `origin[i][1]`.
    """

    def __init__(self, problem: Problem, timeout: float | None, positivity: bool) -> None:
        self.problem, self.letters, self.positivity = problem, problem.letters, positivity
        self.patient = timeout is None
        self.deadline = process_time() + (TIMEOUT if timeout is None else timeout)
        self.search = Search(self.deadline)
        self.facts = [e.difference for e in problem.assumptions]
        self.origin: list[tuple[int, int]] = []
        self.lemmas: list[_Lemma] = []

    def certificate(self) -> Certificate:
        """The proofs of all claims, shortened."""
        try:
            self._assume(range(len(self.facts)))
            proofs = [self._cofactors(claim) for claim in self.problem.claims]
            self._look_for_contradiction()
        except Contradiction as contradiction:
            raise self._vacuous(contradiction.cofactors) from None
        data = {**self.problem.data(), **self._proofs(proofs)}
        examine(data)
        return Certificate(data)

    def _assume(self, facts: Iterable[int]) -> None:
        known = self.search.assumptions
        fresh: list[Terms] = []
        for k in facts:
            for transposed, p in enumerate((self.facts[k], self.facts[k].T)):
                if p.terms and p.terms not in known + fresh and (-p).terms not in known + fresh:
                    fresh.append(p.terms)
                    self.origin.append((k, transposed))
        self.search.assume(fresh)

    def _cofactors(self, claim: Equation) -> Cofactors:
        search, limit = self.search, PATIENCE
        look = max(FIRST_LOOK, RULES_PER_ASSUMPTION * len(search.assumptions))
        longest = max(LENGTH, 2 * max((len(word) for terms in search.assumptions for word in terms), default=0))
        rest, steps = claim.difference.terms, []
        try:
            while True:
                reduced, more = search.reduce(rest)
                steps += more
                if not reduced:
                    break
                if reduced != rest:
                    rest, limit = reduced, max(limit, 2 * len(search.rules))
                overlong = search.pending > longest or len(search.rules) >= limit
                stalled = self.patient and overlong or not search.step()
                if stalled or len(search.rules) >= look:
                    look = 2 * len(search.rules)
                    found = self.positivity and self._add_squares(claim.type, rest, stalled)
                    limit = max(limit, look) if found else limit
                    if stalled and not found:
                        raise self._not_found(claim, rest, not search.pending)
        except OutOfTime:
            raise self._not_found(claim, rest, False) from None
        return shorten(claim.difference.terms, search.assumptions, self._expand(steps), self.deadline)

    def _expand(self, steps: list[Step]) -> Cofactors:
        """−Σ `steps` over the assumptions; rules that need many terms for themselves become lemmas on the way."""
        search = self.search
        known: dict[int, Cofactors] = {}
        for k in search.history(steps):
            rule = search.rules[k]
            proof = combine(rule.steps, known)
            if len(proof) > LEMMA:
                proof = shorten(rule.polynomial, search.assumptions, proof, self.deadline)
            if len(proof) > LEMMA // 2:
                word = self.letters.spell(rule.lead)
                kind = self.letters.types[word[0]][0], self.letters.types[word[-1]][1]
                fact = Polynomial(self.letters, kind, rule.polynomial)
                self._add_lemma({"equation": fact.listing()}, fact.terms, [fact], proof)
                proof = {("", len(search.assumptions), ""): 1}
                search.assumptions.append(rule.polynomial)
                self.origin.append((len(self.facts) - 1, 0))
            known[k] = proof
        return {key: -c for key, c in combine(steps, known).items()}

    def _add_lemma(self, record: dict, total: Terms | None, facts: list[Polynomial], cofactors: Cofactors) -> None:
        start = len(self.facts)
        self.facts += facts
        self.lemmas.append(
            _Lemma(record, total, range(start, len(self.facts)), cofactors, len(self.search.assumptions))
        )

    def _add_squares(self, kind: Type | None, rest: Terms, thorough: bool) -> bool:
        """Take up what vanishing sums of squares imply; whether there was any."""
        found = find_lemmas(
            self.search, self.letters, self.problem.assumptions, Polynomial(self.letters, kind, rest), thorough
        )
        for lemma in found:
            record = {
                "squares": [[str(s.c), s.X.listing(), [s.M] if s.M else []] for s in lemma.squares],
                "trace": lemma.trace,
            }
            values = [square.value for square in lemma.squares]
            self._add_lemma(
                record,
                None if lemma.trace else sum(values[1:], values[0]).terms,
                [square.root for square in lemma.squares],
                self._expand(lemma.steps),
            )
            self._assume(self.lemmas[-1].facts)
        return bool(found)

    def _look_for_contradiction(self) -> None:
        with suppress(OutOfTime):
            for _ in range(VACUITY_STEPS):
                self.search.step()

    def _proofs(self, proofs: list[Cofactors]) -> dict:
        """Lemmas and cofactors as a certificate records them, without the lemmas that nothing rests on."""
        needed = {self.origin[k][0] for proof in proofs for _, k, _ in proof}
        used: list[_Lemma] = []
        for lemma in reversed(self.lemmas):
            if not needed.isdisjoint(lemma.facts):
                if lemma.total is not None:
                    lemma.cofactors = shorten(
                        lemma.total, self.search.assumptions[: lemma.known], lemma.cofactors, self.deadline
                    )
                needed |= {self.origin[k][0] for _, k, _ in lemma.cofactors}
                used.insert(0, lemma)
        facts = [*range(len(self.problem.assumptions)), *(k for lemma in used for k in lemma.facts)]
        numbers = {fact: number for number, fact in enumerate(facts)}
        weights = {x for lemma in used for _, _, M in lemma.record.get("squares", ()) for x in M}
        data: dict = {"positive": {x: self.letters.positive[x] for x in sorted(weights)}} if weights else {}
        if used:
            data["lemmas"] = [{**lemma.record, "cofactors": self._listing(lemma.cofactors, numbers)} for lemma in used]
        return {**data, "cofactors": [self._listing(proof, numbers) for proof in proofs]}

    def _listing(self, cofactors: Cofactors, numbers: Mapping[int, int]) -> list[list]:
        spell = self.letters.spell
        ordered = sorted(cofactors, key=lambda term: (term[1], order(term[0]), order(term[2])))
        return [
            [
                str(cofactors[left, k, right]),
                list(spell(left)),
                numbers[self.origin[k][0]],
                self.origin[k][1],
                list(spell(right)),
            ]
            for left, k, right in ordered
        ]

    def _not_found(self, claim: Equation, rest: Terms, exhausted: bool) -> ProofNotFound:
        remainder = Polynomial(self.letters, claim.type, rest)
        if exhausted:
            reason = (
                "the assumptions are exhausted: the claim is no algebraic consequence of them and their "
                "transposes"
                + (
                    ", and no vanishing sum of squares that was tried helps"
                    if self.positivity
                    else "; vanishing sums of squares were not used"
                )
                + ". For matrices it may still be true"
            )
        else:
            squares = "with" if self.positivity else "without"
            reason = (
                f"the search was given up after {len(self.search.rules)} rules ({squares} sums of squares): "
                "a longer timeout may find a proof"
            )
        return ProofNotFound(
            f"no proof of {claim} was found. With the assumptions it becomes {remainder} = 0, and "
            f"{reason}. Try refute on the same arguments to see matrices that break it, or add "
            "the missing hypothesis.",
            remainder,
        )

    def _vacuous(self, cofactors: Cofactors) -> VacuousHypotheses:
        facts = self.problem.assumptions
        (left, k, _), *_ = cofactors
        number, transposed = self.origin[k]
        fact = self.facts[number].T if transposed else self.facts[number]
        kind = self.letters.types[self.letters.spell(left)[0]] if left else fact.known_type
        name = next(name for name, (rows, _) in self.letters.types.items() if rows == kind[0])
        (code,) = self.letters[name].terms
        proof = {(left, k, right + code): c for (left, k, right), c in cofactors.items()}
        certificate = Certificate({**self.problem.data(), **self._proofs([proof]), "claims": [[["1", [name]]]]})
        equations = "; ".join(str(facts[k]) for k in sorted(certificate.used))
        return VacuousHypotheses(
            f"the assumptions contradict each other: {equations} together imply 1 = 0, "
            "so they hold for no matrices and would prove anything",
            certificate,
        )
