"""The prover on the public test set of operator identities, beside Singular's Letterplace where it is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import TypeVar

from sympy import Basic

from ngdsym.bench import letterplace, saturation
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.problem import Problem, read
from ngdsym.proof.prover import prove
from ngdsym.proof.refute import refute
from ngdsym.rules.table import Table
from ngdsym.theorems.identities import IDENTITIES, Identity

PEER_TIMEOUT = 10.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One identity: processor seconds until it was proved, size of the proof, until its twin was broken, and those of
    the peers, or why there are none."""

    name: str
    source: str
    proof: float
    terms: int
    lemmas: int
    squares: bool
    twin: float
    letterplace: float | str
    egglog: float | str

    def as_dict(self) -> dict:
        return asdict(self)


def identities(names: Iterable[str] | None = None, peers: bool = True) -> list[Row]:
    """Prove every identity and break every twin, in turns with the peer.

    Parameters
    ----------
    names : which identities; all when None.
    peers : whether to run Singular's Letterplace and egglog too.

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
        proof, certificate = _timed(prove, identity.statement)
        broken, _ = _timed(refute, identity.false_twin)
        others = [_peer(peer.seconds, identity) if peers else "not run" for peer in (letterplace, saturation)]
        rows.append(
            Row(
                name,
                identity.source,
                proof,
                certificate.cofactors,
                len(certificate.lemmas),
                _squares(certificate),
                broken,
                *others,
            )
        )
    return rows


def recorded() -> list[Row]:
    """The rows of a run on all identities with both peers installed, which comes with the package.

    Examples
    --------
    >>> len(recorded()) == len(IDENTITIES)
    True
    """
    return [Row(**row) for row in json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))]


def _timed(action: Callable[..., Result], statement: tuple[list[str], list[str], dict]) -> tuple[float, Result]:
    given, claim, letters = statement
    started = process_time()
    result = action(given, claim, **letters)
    return process_time() - started, result


def _squares(certificate: Certificate) -> bool:
    return any("squares" in lemma for lemma in certificate.lemmas)


def _peer(seconds: Callable[[Problem, float], float | None], identity: Identity) -> float | str:
    given, claim, letters = identity.statement
    try:
        needed = seconds(read(given, claim, **letters), PEER_TIMEOUT)
    except letterplace.Unavailable as reason:
        return str(reason)
    return "not found" if needed is None else needed


def summary(rows: list[Row]) -> dict[str, float | int]:
    """How many identities each found, and medians over what both found."""
    both = [(row.proof, row.letterplace) for row in rows if isinstance(row.letterplace, float)]
    facts: dict[str, float | int] = {
        "identities": len(rows),
        "slowest": max(row.proof for row in rows),
        "median": median(row.proof for row in rows),
        "by vanishing squares": sum(row.squares for row in rows),
    }
    if both:
        facts |= {
            "found by Letterplace": len(both),
            "median where both found": median(proof for proof, _ in both),
            "median of Letterplace": median(peer for _, peer in both),
        }
    return facts


def table(rows: list[Row]) -> Table:
    """One line per identity."""
    lines: list[list[str | Basic]] = []
    for row in rows:
        peers = [f"{peer:.2f}" if isinstance(peer, float) else peer for peer in (row.letterplace, row.egglog)]
        proof = [f"{row.proof:.3f}", str(row.terms), str(row.lemmas), "✓" * row.squares]
        lines.append([row.name, *proof, f"{row.twin:.2f}", *peers])
    header = ["identity", "proof, s", "terms", "lemmas", "squares", "twin broken, s", "Letterplace, s", "egglog, s"]
    return Table(header, lines)
