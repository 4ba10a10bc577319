"""A random attack: hypotheses with matrices that satisfy them, claims of every kind, no wrong verdict.

Each try draws letters with names, sizes and properties, hypotheses, and matrices that keep them, made here with
numpy and not by the package. Then a proof must hold at the matrices, a counterexample must keep every hypothesis
and break the claim by an evaluation of our own, and no hypothesis that has matrices may be called impossible.

`PYTHONPATH=tests python tests/test_ngdsym/proof/test_attack.py 500 40` runs 40 times 500 tries, with the seeds 0 to 39;
RECORD has the last such run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ngdsym import prove, refute
from ngdsym.proof.prover import ProofNotFound
from ngdsym.proof.refute import CounterexampleNotFound
from support.statements import SIZES, Case, cases, number, stated_in_sympy, stated_in_text

RECORD = (
    "20,000 tries (seeds 0 to 39, 500 each), Python 3.11, SymPy 1.14.0, hypothesis 6.170.15: no wrong verdict; "
    "9538 proved, 10222 broken, 240 left open"
)


def attack(case: Case, spelling: str) -> set[str]:
    """What `prove` and `refute` say; AssertionError at a wrong verdict."""
    assumptions, claim, letters = stated_in_sympy(case) if spelling == "sympy" else stated_in_text(case, spelling)
    gaps = []
    for i, sizes in enumerate(SIZES):
        values, count = (lambda x: case.values[x][i]), (lambda v: number(v, sizes))
        for hypothesis in case.hypotheses:
            gap, scale = case.gap(hypothesis, values, count, False)
            assert gap <= 1e-8 * scale, "the attack itself is wrong: its matrices break a hypothesis"
        gaps.append(case.gap(case.claim, values, count, False))
    verdicts = set()
    try:
        certificate = prove(assumptions, claim, timeout=2.0, **letters)
        assert certificate.check()
        assert all(gap <= 1e-5 * scale for gap, scale in gaps), f"a falsehood is proved: {claim} from {assumptions}"
        verdicts.add("proved")
    except ProofNotFound:
        pass
    try:
        found = refute(assumptions, claim, attempts=12, **letters)
    except CounterexampleNotFound:
        return verdicts
    _examine(case, found, spelling == "sympy")
    assert not verdicts, f"both proved and broken: {claim} from {assumptions}"
    return {"refuted"}


def _examine(case: Case, found, derived: bool) -> None:
    """Whether a counterexample keeps everything that is said, letter by letter; text cannot say definite."""
    shown = dict(found.matrices)
    partners = {b: p for b, p in (*case.inverses.items(), *case.pinvs.items())}
    if derived:
        shown |= {p: shown.get(b + ("⁻¹" if b in case.inverses else "⁺")) for b, p in partners.items()}
    values = {
        x: np.array([[Fraction(c) for c in row] for row in rows], dtype=object) for x, rows in shown.items() if rows
    }

    def count(vertex: str) -> int:
        if vertex in ("1", "2"):
            return int(vertex)
        return number(vertex, {v: found.sizes.get(v, 0) for v in "nm"})

    value = values.__getitem__
    for x, A in values.items():
        if x in case.types:
            assert A.shape == tuple(map(count, case.types[x])), f"{x} has the wrong shape"
        assert x not in case.symmetric or (A == A.T).all(), f"{x} is not symmetric"
        if derived and x in case.positive:
            assert np.linalg.eigvalsh(A.astype(float)).min() >= (1e-9 if case.positive[x] == "pd" else -1e-9)
    for base, partner in partners.items():
        if base in values and partner in values:
            A, X = values[base], values[partner]
            assert (A @ X @ A == A).all() and (X @ A @ X == X).all() and (A @ X == (A @ X).T).all()
            assert (X @ A == (X @ A).T).all()
            assert base not in case.inverses or (A @ X == np.eye(len(A), dtype=int)).all()
    for hypothesis in case.hypotheses:
        assert case.gap(hypothesis, value, count, True)[0] == 0, f"{hypothesis} is broken by {found}"
    assert case.gap(case.claim, value, count, True)[0] > 0, f"the claim holds at {found}"


def tries(count: int, start: int, seen: dict[str, int]) -> Callable[[], None]:
    @seed(start)
    @settings(
        max_examples=count, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(cases(), st.sampled_from(("'", ".T", "ᵀ", "sympy", "sympy")))
    def run(case: Case, spelling: str) -> None:
        for verdict in attack(case, spelling) or {"open"}:
            seen[verdict] = seen.get(verdict, 0) + 1

    return run


def test_no_wrong_verdict() -> None:
    seen: dict[str, int] = {}
    tries(60, 0, seen)()
    assert seen["proved"] > 10 and seen["refuted"] > 10


if __name__ == "__main__":
    total: dict[str, int] = {}
    for start in range(int(sys.argv[2])):
        tries(int(sys.argv[1]), start, total)()
        print(f"seeds 0 to {start}, {sys.argv[1]} tries each: {total}", flush=True)
