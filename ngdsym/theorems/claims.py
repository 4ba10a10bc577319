"""What the paper, its authors' code and this project claim, and what became of each claim.

The claims are in `claims.toml`, in words; equations, checks and titles come from the theorems they name."""
from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ngdsym.theorems import theorems
from ngdsym.theorems.markdown import markdown
from ngdsym.theorems.theorem import Theorem

STATUS = ("definition", "proved", "conditional", "refuted", "measured")
SOURCES = {"paper": "The paper", "code": "Its authors' code", "ours": "Ours, and beliefs we met"}


@dataclass(frozen=True)
class Claim:
    """One claim.

    Parameters
    ----------
    source : `"paper"`, `"code"` or `"ours"`.
    at : number of its equation ("SM 37" in the supplement, "a2" in this book), or where it stands.
    says : the claim, in words; in quotation marks where it is a belief and not what we say.
    page : name of the page of the book that treats it.
    status : one of `STATUS`.
    theorems : names of the theorems that decide it.
    test : what holds a claim that is measured and not proved.
    condition : under which condition it is true, or what is true in its place.

    Raises
    ------
    ValueError
        An unknown source or status, or a status that nothing supports.
    """

    source: str
    at: str
    says: str
    page: str
    status: str
    theorems: tuple[str, ...] = ()
    test: str = ""
    condition: str = ""

    def __post_init__(self) -> None:
        if self.source not in SOURCES or self.status not in STATUS:
            raise ValueError(f"claim {self.at!r}: source is one of {', '.join(SOURCES)}, "
                             f"status one of {', '.join(STATUS)}")
        if self.status in ("proved", "conditional", "refuted") and not self.theorems:
            raise ValueError(f"claim {self.at!r} is {self.status} by no theorem: name one, or call it measured")
        if self.status == "measured" and not self.test:
            raise ValueError(f"claim {self.at!r} is measured: name the test that holds it")
        if self.status == "conditional" and not self.condition:
            raise ValueError(f"claim {self.at!r} is conditional: say on what")


class Claims(tuple[Claim, ...]):
    """Claims; notebooks show them as a table, with links to pages and theorems."""

    def count(self, status: str) -> int:
        """How many have this status."""
        return sum(claim.status == status for claim in self)

    def where(self, **wanted: str) -> Claims:
        """Those with the given status or source.

        Examples
        --------
        >>> [claim.at for claim in claims().where(status="refuted", source="paper")]
        ['SM 36', 'SM 45']
        """
        return Claims(c for c in self if all(getattr(c, key) == value for key, value in wanted.items()))

    def __repr__(self) -> str:
        return f"<{len(self)} claims: {', '.join(f'{self.count(s)} {s}' for s in STATUS if self.count(s))}>"

    def _repr_markdown_(self) -> str:
        known = theorems()
        head = ["| | claim | status, theorems and their checks |", "|---|---|---|"]
        parts = []
        for source, title in SOURCES.items():
            if members := self.where(source=source):
                parts += [f"**{title}**", "\n".join([*head, *(_row(claim, known) for claim in members)])]
        return "\n\n".join(parts)


def claims() -> Claims:
    """All claims, in the order of the paper.

    Examples
    --------
    >>> claims().where(source="code").where(status="definition")
    <1 claims: 1 definition>
    """
    with Path(__file__).with_name("claims.toml").open("rb") as file:
        entries = tomllib.load(file)["claim"]
    return Claims(Claim(**entry | {"theorems": tuple(entry.get("theorems", ()))}) for entry in entries)


def _row(claim: Claim, known: dict[str, Theorem]) -> str:
    letters = {name: "".join(check[0].upper() for check in known[name].checks) for name in claim.theorems}
    decided = [f'<a href="theorems.html#{name}">{name}</a> ({checks})' for name, checks in letters.items()]
    at = f"Eq. {claim.at}" if claim.at.removeprefix("SM ").removeprefix("a").isdigit() else claim.at
    verdict = f"**{claim.status}**" + (f": {markdown(claim.condition)}" if claim.condition else "") + "."
    held_by = ", ".join(decided) or (claim.test and f"`{claim.test}`")
    cells = (at, f"{markdown(claim.says)} [→\u00a0{claim.page}]({claim.page}.ipynb)", f"{verdict} {held_by}".strip())
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
