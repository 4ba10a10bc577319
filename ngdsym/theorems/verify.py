"""Check all theorems, or some, and report."""
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from time import process_time

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table
from sympy import Basic
from sympy.core.relational import Relational

from ngdsym.proof.prover import ProofNotFound
from ngdsym.rules.table import Table as Plain
from ngdsym.theorems import theorems
from ngdsym.theorems.stored import write_certificates
from ngdsym.theorems.theorem import CERTIFICATES, CHECKS, DEPTHS, Outcome, Theorem


@dataclass(frozen=True)
class Report:
    """The outcome of every check of every theorem asked for."""

    outcomes: dict[str, dict[str, Outcome]]
    statements: dict[str, Theorem]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(outcome.passed for checks in self.outcomes.values() for outcome in checks.values())

    def as_dict(self) -> dict:
        """The report as plain data: what `python -m ngdsym verify --json` prints."""
        return {"statements": [self._statement(name) for name in self.outcomes],
                "seconds": round(self.seconds, 3)}

    def _statement(self, name: str) -> dict:
        theorem, outcomes = self.statements[name], self.outcomes[name]
        return {
            "name": name,
            "title": theorem.title,
            "equations": list(theorem.equations),
            "checks": {check: outcome.as_dict() for check, outcome in outcomes.items()},
            "missing": dict(theorem.missing),
            "passed": all(outcome.passed for outcome in outcomes.values()),
        }

    def table(self) -> Table:
        """One row per theorem, one column per check."""
        table = Table(Column("theorem", no_wrap=True), "Eq.", *CHECKS,
                      title=f"{len(self.outcomes)} theorems, {self.seconds:.1f} s")
        for name, outcomes in self.outcomes.items():
            cells = [_cell(outcomes[check]) if check in outcomes else "[dim]–[/]" for check in CHECKS]
            table.add_row(escape(name), ", ".join(self.statements[name].equations), *cells)
        return table

    def verdicts(self) -> Plain:
        """Which checks each theorem has, and which of them it passes."""
        signs = {True: "✓", False: "FAILED"}
        return Plain(["theorem", *CHECKS], [
            [name, *(signs[checks[check].passed] if check in checks else "–" for check in CHECKS)]
            for name, checks in self.outcomes.items()])

    def __rich__(self) -> Table:
        return self.table()

    def _repr_html_(self) -> str:
        console = Console(record=True, width=110, file=open(os.devnull, "w"))
        console.print(self.table())
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def verify(names: Iterable[str] | None = None, search: bool = False, write: bool = False,
           checks: Iterable[str] = CHECKS, progress: bool = False) -> Report:
    """Check theorems in up to three independent ways.

    Parameters
    ----------
    names : of the theorems; all when None.
    search : find the certificates anew before they are checked, instead of reading the committed ones.
    write : replace the committed certificates by those found; needs `search`.
    checks : which of symbolic, certificate, numeric to run.
    progress : show a progress bar on standard error.

    Raises
    ------
    ngdsym.theorems.UnknownTheorem
        A name that no theorem has.

    Examples
    --------
    >>> report = verify(["layer-flow"])
    >>> report.passed
    True
    >>> print(report.verdicts())
    theorem     symbolic  certificate  numeric
    ----------  --------  -----------  -------
    layer-flow  ✓         ✓            ✓
    """
    if write and not search:
        raise ValueError("write=True replaces certificates by those found anew: it needs search=True")
    statements = theorems(names)
    started = process_time()
    outcomes = {}
    for theorem in track(statements.values(), "verify", console=Console(stderr=True), transient=True,
                         disable=not progress):
        if search and "certificate" in theorem.checks:
            _renew(theorem, write)
        outcomes[theorem.name] = {name: theorem.check(name) for name in theorem.checks if name in set(checks)}
    return Report(outcomes, statements, process_time() - started)


def describe(theorem: Theorem) -> str:
    """A theorem in plain text: statement, hypotheses, the outcome of its checks, and its certificate."""
    lines = [theorem.name, "=" * len(theorem.name), theorem.title]
    if theorem.equations:
        lines.append("Eq. " + ", ".join(theorem.equations))
    lines += ["", "Statement", *(f"  {_relation(claim)}" for claim in theorem.claims), "", "Hypotheses"]
    proof = theorem.certificates.get("")
    unused = {k for k in range(len(theorem.assumes)) if proof and k not in proof.used}
    lines += [f"  {theorem.given}"] if theorem.given else []
    lines += [f"  ({k}) {_relation(a)}{' (the certificate does not need it)' * (k in unused)}"
              for k, a in enumerate(theorem.assumes)]
    lines += ["", "Checks"]
    for check in CHECKS:
        if check in theorem.missing:
            lines.append(f"  {check}: none. {theorem.missing[check]}")
        else:
            outcome = theorem.check(check)
            details = "".join(f", {key} {value}" for key, value in outcome.details.items())
            verdict = "passed" if outcome.passed else "FAILED"
            lines.append(f"  {check}: {verdict} in {outcome.seconds:.3f} s{details}")
    if proof:
        lines += ["",
                  "Certificate: each claim as a sum of hypotheses (k), multiplied left and right, (k)' "
                  "transposed",
                  *(f"  {line}" for line in str(proof).splitlines())]
        if theorem.instances:
            lines.append(f"  A schema: one certificate each for L = {DEPTHS[0]} … {DEPTHS[-1]} besides.")
    return "\n".join(lines)


def _relation(relation: Basic) -> str:
    if not isinstance(relation, Relational):
        return str(relation)
    return f"{relation.lhs} {relation.rel_op.replace('==', '=')} {relation.rhs}"


def _renew(theorem: Theorem, write: bool) -> None:
    """Put freshly found certificates in the place of the committed ones in memory, with `write` on disk."""
    theorem.certificates.clear()
    try:
        theorem.certificates.update(theorem.search())
    except ProofNotFound:
        return
    if write:
        write_certificates(CERTIFICATES, theorem.name, theorem.certificates)


def _cell(outcome: Outcome) -> str:
    text = f"{1e3 * outcome.seconds:.0f} ms"
    if "max_error" in outcome.details:
        text += f", {outcome.details['max_error']:.0e}"
    if "cofactors" in outcome.details:
        text += f", {outcome.details['cofactors']} terms"
    return f"[green]✓[/] {text}" if outcome.passed else f"[bold red]✗[/] {text}"
