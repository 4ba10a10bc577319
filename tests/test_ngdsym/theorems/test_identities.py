"""The public test set: every identity is proved, every twin broken, and the proofs are short."""

from __future__ import annotations

import pytest

from ngdsym import prove, refute
from ngdsym.bench import letterplace
from ngdsym.bench.identities import identities, summary
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.problem import read
from ngdsym.proof.prover import ProofNotFound
from ngdsym.theorems.identities import IDENTITIES
from support.counting import function_calls

PROOFS: dict[str, Certificate] = {}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_is_proved(name: str) -> None:
    given, claim, letters = IDENTITIES[name].statement
    calls = function_calls(lambda: PROOFS.update({name: prove(given, claim, **letters)}))
    assert PROOFS[name].refusal() is None
    assert 0 < PROOFS[name].cofactors < 400
    assert calls < 4_800_000, "some five seconds"


@pytest.mark.parametrize("name", IDENTITIES)
def test_twin_is_broken(name: str) -> None:
    given, claim, letters = IDENTITIES[name].false_twin
    assert (given, claim) != IDENTITIES[name].statement[:2]
    assert refute(given, claim, **letters).check()


def test_twins_are_not_proved() -> None:
    for name in list(IDENTITIES)[::6]:
        given, claim, letters = IDENTITIES[name].false_twin
        with pytest.raises(ProofNotFound):
            prove(given, claim, **letters, timeout=0.2)


def test_breadth() -> None:
    assert len(IDENTITIES) >= 60
    assert all(len(identity.source) > 5 and (identity.twin or identity.without) for identity in IDENTITIES.values())


def test_rows_of_the_benchmark() -> None:
    rows = identities(["push-through", "star cancellation"], peers=False)
    assert [row.squares for row in rows] == [False, True]
    assert summary(rows)["by vanishing squares"] == 1 and summary(rows)["identities"] == 2


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (row,) = identities(["push-through"])
    assert "Singular" in row.letterplace and "not installed" in row.letterplace


def test_letterplace_is_given_the_same_statement() -> None:
    given, claim, letters = IDENTITIES["one-sided inverses agree"].statement
    program = letterplace.program(read(given, claim, **letters), 5)
    assert "ideal I = (1)*x(3)*x(1) + (-1), (1)*x(2)*x(4) + (-1)" in program
    assert "print(reduce((1)*x(3) + (-1)*x(5), J));" in program
