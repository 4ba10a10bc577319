"""Derivations: chains of equalities in which every step carries its own certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sympy import Basic, Eq

from ngdsym.algebra.tex import tex
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.counterexample import Counterexample
from ngdsym.proof.problem import Statement, read
from ngdsym.proof.prover import ProofNotFound, certify
from ngdsym.proof.refute import CounterexampleNotFound, refute
from ngdsym.proof.typeset import Typesetter
from ngdsym.proof.words import Equation

Expression: TypeAlias = str | Basic


class StepRefused(ValueError):
    """A step that does not follow. `counterexample` holds matrices that break it, None if none was found."""

    counterexample: Counterexample | None = None


@dataclass(frozen=True)
class Step:
    """`expression` equals the one before it: by which facts, why in words, and the proof of `equation`."""

    expression: Expression
    why: str
    by: tuple[Statement, ...]
    equation: Equation
    certificate: Certificate


class Derivation:
    """A chain of equalities, `Derivation(start).to(next, why=…, by=…).to(…)`.

    A derivation never changes: `to` returns a longer one, so a reader can branch off at any line, and
    `replay` runs the chain again under other facts.

    Parameters
    ----------
    start : a SymPy matrix expression, or text over letters declared by `types`.
    given : facts that every step may use.
    letters : for text, `types`, `symmetric`, `inverses`, `pinvs` as for `prove`.

    Examples
    --------
    >>> push = Derivation("U (1 + V U)", types={"U": ("n", "k"), "V": ("k", "n")})
    >>> push = push.to("U + U V U", why="multiply out").to("(1 + U V) U", why="collect on the right")
    >>> print(push)
    U (1 + V U)
      = U + U V U      multiply out
      = (1 + U V) U    collect on the right
    >>> push.certificate().check()
    True
    >>> push.to("U", why="wishful thinking")
    Traceback (most recent call last):
    ...
    ngdsym.proof.derivation.StepRefused: step 3 is refused, for it fails for
    U = [-1]
    V = [1]
    broken: U + U V U - U = 0, the left side is
    [1]
    """

    def __init__(self, start: Expression, given: Statement | Sequence[Statement] = (), **letters: Any) -> None:
        self.start = start
        self.given = _tuple(given)
        self.letters = letters
        self.steps: tuple[Step, ...] = ()

    @property
    def end(self) -> Expression:
        """The last expression of the chain."""
        return self.steps[-1].expression if self.steps else self.start

    def to(self, expression: Expression, why: str = "", by: Statement | Sequence[Statement] = ()) -> Derivation:
        """The derivation with one step more.

        Parameters
        ----------
        expression : what the last expression equals.
        why : the reason in words, shown beside the step; may contain `$…$`.
        by : the facts this step uses besides those given.

        Raises
        ------
        StepRefused
            The step does not follow from `given` and `by`.
        """
        facts = _tuple(by)
        assumptions, claim = [*self.given, *facts], _equation(self.end, expression)
        problem = read(assumptions, claim, **self.letters)
        try:
            certificate = certify(problem)
        except ProofNotFound as error:
            raise self._refusal(assumptions, claim, error) from None
        longer = Derivation(self.start, self.given, **self.letters)
        longer.steps = (*self.steps, Step(expression, why, facts, problem.claims[0], certificate))
        return longer

    def replay(self, given: Statement | Sequence[Statement]) -> Derivation:
        """The same steps, each proved anew under other given facts."""
        again = Derivation(self.start, given, **self.letters)
        for step in self.steps:
            again = again.to(step.expression, step.why, step.by)
        return again

    def certificate(self) -> Certificate:
        """One certificate of start = end; its proof is the sum of the proofs of the steps."""
        if not self.steps:
            raise ValueError("a derivation without steps proves nothing")
        letters: dict[str, list] = {}
        assumptions: list[list] = []
        lemmas: list[dict] = []
        proof: list[list] = []
        positive: dict[str, str] = {}
        for step in self.steps:
            assumptions += [a for a in step.certificate.data["assumptions"] if a not in assumptions]
        facts = len(assumptions)
        for step in self.steps:
            data = step.certificate.data
            for name, kind in data["letters"].items():
                if letters.setdefault(name, kind) != kind:
                    raise ValueError(f"the steps disagree about {name}: {letters[name]} and {kind}")
            positive |= data.get("positive", {})
            numbers = [assumptions.index(a) for a in data["assumptions"]]
            for lemma in step.certificate.lemmas:
                lemmas.append({**lemma, "cofactors": _renumbered(lemma["cofactors"], numbers)})
                fresh = range(facts, facts + len(lemma.get("squares", [None])))
                numbers += fresh
                facts += len(fresh)
            proof += _renumbered(data["cofactors"][0], numbers)
        claim = self.steps[0].equation.left.listing() + (-self.steps[-1].equation.right).listing()
        return Certificate(
            {
                "letters": letters,
                "assumptions": assumptions,
                "claims": [claim],
                **({"positive": positive} if positive else {}),
                **({"lemmas": lemmas} if lemmas else {}),
                "cofactors": [proof],
            }
        )

    def _refusal(self, assumptions: list[Statement], claim: Statement, error: ProofNotFound) -> StepRefused:
        number = len(self.steps) + 1
        refusal = StepRefused(f"step {number} is refused: {error}")
        try:
            refusal.counterexample = refute(assumptions, claim, attempts=60, **self.letters)
        except CounterexampleNotFound:
            return refusal
        refusal.args = (f"step {number} is refused, for it fails for\n{refusal.counterexample}",)
        return refusal

    def __str__(self) -> str:
        lines = [f"  = {step.expression}" for step in self.steps]
        width = max(map(len, lines), default=0) + 4
        reasons = [step.why or ", ".join(map(str, step.by)) for step in self.steps]
        return "\n".join([str(self.start), *(f"{a:<{width}}{b}".rstrip() for a, b in zip(lines, reasons))])

    def __repr__(self) -> str:
        return f"<Derivation of {self.start} = {self.end} in {len(self.steps)} steps>"

    def _repr_latex_(self) -> str:
        rows = [f"& {self._latex(self.start)}"]
        for step in self.steps:
            reason = rf" && \text{{{_escape(step.why)}}}" if step.why else ""
            rows.append(f"&= {self._latex(step.expression)}{reason}")
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"

    def _latex(self, expression: Expression) -> str:
        if isinstance(expression, Basic):
            return tex(expression)
        marks = {
            partner: base + mark
            for kind, mark in (("inverses", "⁻¹"), ("pinvs", "⁺"))
            for base, partner in (self.letters.get(kind) or {}).items()
        }
        names = self.steps[-1].certificate.data["letters"] if self.steps else marks
        return Typesetter(names, marks).text(expression)


def _renumbered(proof: list[list], numbers: Sequence[int]) -> list[list]:
    return [[c, left, numbers[k], t, right] for c, left, k, t, right in proof]


def _equation(left: Expression, right: Expression) -> Statement:
    return f"{left} = {right}" if isinstance(left, str) else Eq(left, right, evaluate=False)


def _tuple(statements: Statement | Sequence[Statement]) -> tuple[Statement, ...]:
    return tuple(statements) if isinstance(statements, (list, tuple)) else (statements,)


def _escape(text: str) -> str:
    return text.replace("%", r"\%").replace("#", r"\#").replace("&", r"\&")
