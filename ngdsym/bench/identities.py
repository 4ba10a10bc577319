"""The prover on the public test set of operator identities, beside Singular's Letterplace where it is installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

from rich.table import Table

from ngdsym.bench import letterplace
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.prover import prove, read
from ngdsym.proof.refute import refute
from ngdsym.theorems.identities import IDENTITIES

PEER_TIMEOUT = 10.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One identity: seconds until it was proved, size of the proof, seconds until its twin was broken, and what
    Letterplace needed: seconds, or why there are none."""

    name: str
    source: str
    proof: float
    terms: int
    lemmas: int
    squares: bool
    twin: float
    letterplace: float | str

    def as_dict(self) -> dict:
        return asdict(self)


def identities(names: Iterable[str] | None = None, peers: bool = True) -> list[Row]:
    """Prove every identity and break every twin, in turns with the peer.

    Parameters
    ----------
    names : which identities; all when None.
    peers : whether to run Singular's Letterplace too.

    Examples
    --------
    >>> row, = identities(["push-through"], peers=False)
    >>> row.terms, row.proof < 5
    (4, True)
    """
    prove(["X A = 1", "A Y = 1"], "X = Y", types={"A X Y": ("n", "n")})  # loads libraries outside the timings
    rows = []
    for name in IDENTITIES if names is None else names:
        identity = IDENTITIES[name]
        given, claim, letters = identity.statement
        proof, certificate = _timed(lambda: read(given, claim, **letters).prove())
        twin = identity.false_twin
        broken, _ = _timed(lambda: refute(*twin[:2], **twin[2]))
        rows.append(Row(name, identity.source, proof, certificate.cofactors, len(certificate.lemmas),
                        _squares(certificate), broken, _letterplace(name) if peers else "not run"))
    return rows


def _timed(action: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def _squares(certificate: Certificate) -> bool:
    return any("squares" in lemma for lemma in certificate.lemmas)


def _letterplace(name: str) -> float | str:
    given, claim, letters = IDENTITIES[name].statement
    try:
        seconds = letterplace.seconds(read(given, claim, **letters), PEER_TIMEOUT)
    except letterplace.Unavailable as reason:
        return str(reason)
    return "not found" if seconds is None else seconds


def summary(rows: list[Row]) -> dict[str, float | int]:
    """How many identities each found, and medians over what both found."""
    both = [row for row in rows if isinstance(row.letterplace, float)]
    facts: dict[str, float | int] = {
        "identities": len(rows), "slowest": max(row.proof for row in rows), "median": median(row.proof for row in rows),
        "by vanishing squares": sum(row.squares for row in rows)}
    if both:
        facts |= {"found by Letterplace": len(both), "median where both found": median(row.proof for row in both),
                  "median of Letterplace": median(row.letterplace for row in both)}  # type: ignore[type-var]
    return facts


def table(rows: list[Row]) -> Table:
    """One line per identity."""
    shown = Table("identity", "proof, s", "terms", "lemmas", "squares", "twin broken, s", "Letterplace, s")
    for row in rows:
        peer = f"{row.letterplace:.2f}" if isinstance(row.letterplace, float) else row.letterplace
        shown.add_row(row.name, f"{row.proof:.3f}", str(row.terms), str(row.lemmas), "✓" * row.squares,
                      f"{row.twin:.2f}", peer)
    shown.caption = ", ".join(f"{key} {value:.3g}" for key, value in summary(rows).items())
    return shown
