"""All theorems as a page: statements, hypotheses, and how each is checked or why it is not."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

from ngdsym.theorems import SECTIONS
from ngdsym.theorems.markdown import markdown
from ngdsym.theorems.theorem import CHECKS, Outcome, Theorem

MARKS = {True: "✓", False: "✗ FAILED"}


@dataclass(frozen=True)
class Catalogue:
    """Theorems by section, each with the outcomes of its checks; notebooks show it as Markdown.

    Parameters
    ----------
    sections : what a section is about → its theorems.
    outcomes : name of a theorem → check → outcome.
    """

    sections: dict[str, tuple[Theorem, ...]]
    outcomes: dict[str, dict[str, Outcome]]

    @property
    def passed(self) -> bool:
        """Whether every check of every theorem passed."""
        return all(outcome.passed for checks in self.outcomes.values() for outcome in checks.values())

    def counts(self) -> dict[str, int]:
        """How many theorems there are, and how many have each check."""
        having = {check: sum(check in checks for checks in self.outcomes.values()) for check in CHECKS}
        return {"theorems": len(self.outcomes), **having}

    def __repr__(self) -> str:
        return f"<Catalogue of {', '.join(f'{count} {what}' for what, count in self.counts().items())}>"

    def _repr_markdown_(self) -> str:
        counts = ", ".join(f"{count} with a {check} check" for check, count in list(self.counts().items())[1:])
        parts = [f"{len(self.outcomes)} theorems: {counts}."]
        for about, members in self.sections.items():
            parts += [f"***{markdown(about)}***", *map(self._entry, members)]
        return "\n\n".join(parts)

    def _entry(self, theorem: Theorem) -> str:
        source = f", Eq. {', Eq. '.join(theorem.equations)}" if theorem.equations else ""
        passed = [_outcome(check, outcome) for check, outcome in self.outcomes[theorem.name].items()]
        missing = [f"No {check} check: {markdown(reason.rstrip('.'))}" for check, reason in theorem.missing.items()]
        lines = [f'<a id="{theorem.name}"></a>**{markdown(theorem.title)}** (`{theorem.name}`{source})',
                 f"$$\n{theorem.latex()}\n$$"]
        lines += [markdown(theorem.given)] if theorem.given else []
        reasons = f"{'. '.join(missing)}{'.' * bool(missing)}"
        return "\n\n".join([*lines, f"*Checks:* {', '.join(passed)}. {reasons}".rstrip()])


def catalogue(sections: Iterable[str] = SECTIONS) -> Catalogue:
    """Run all checks of the theorems in `sections`, and list them.

    Examples
    --------
    >>> catalogue(["flow"])
    <Catalogue of 5 theorems, 5 symbolic, 4 certificate, 5 numeric>
    """
    modules = [import_module(f"ngdsym.theorems.{section}") for section in sections]
    listed = {(module.__doc__ or "").splitlines()[0].rstrip("."): tuple(module.THEOREMS) for module in modules}
    outcomes = {theorem.name: {check: theorem.check(check) for check in theorem.checks}
                for members in listed.values() for theorem in members}
    return Catalogue(listed, outcomes)


def _outcome(check: str, outcome: Outcome) -> str:
    terms = f" ({outcome.details['cofactors']} terms)" if "cofactors" in outcome.details else ""
    return f"{check} {MARKS[outcome.passed]}{terms}"
