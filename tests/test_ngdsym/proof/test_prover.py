"""The prover on textbook facts: the true is certified, the false is not, nonsense is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from time import process_time

import pytest
from sympy import Eq, Identity, Inverse, MatrixSymbol, Q, symbols

from ngdsym import CounterexampleNotFound, prove, refute
from ngdsym.algebra.symbols import PD, PSD, Pinv
from ngdsym.proof.letters import Letters, UndeclaredLetter
from ngdsym.proof.prover import ProofNotFound, VacuousHypotheses
from ngdsym.proof.reading import polynomial
from ngdsym.proof.words import TypeMismatch
from ngdsym.theorems.textbook import FACTS, FALSEHOODS
from support.counting import function_calls


@pytest.mark.parametrize("name", FACTS)
def test_fact_is_certified(name: str) -> None:
    assumptions, claim, letters = FACTS[name]
    certificate = prove(assumptions, claim, **letters)
    assert certificate.refusal() is None
    assert 0 < certificate.cofactors < 80


def test_all_facts_are_found_soon_and_checked_at_once() -> None:
    """A second and a hundredth of it, or so, half of that for the matrices that keep the assumptions."""
    certificates = []

    def search() -> None:
        certificates.extend(prove(assumptions, claim, **letters) for assumptions, claim, letters in FACTS.values())

    assert function_calls(search) < 2_400_000
    assert function_calls(lambda: [certificate.check() for certificate in certificates]) < 58_000
    assert all(certificate.check() for certificate in certificates)


@pytest.mark.what_if("statements", "a false statement is to be proved", "ProofNotFound, with the advice to “refute” it")
@pytest.mark.parametrize("name", FALSEHOODS)
def test_falsehood_is_not_certified(name: str) -> None:
    assumptions, claim, letters = FALSEHOODS[name]
    with pytest.raises(ProofNotFound, match="refute"):
        prove(assumptions, claim, **letters)


def test_exhausted_assumptions_are_told_from_limits() -> None:
    with pytest.raises(ProofNotFound, match="exhausted"):
        prove(["P P = P"], "P = 1", types={"P": ("n", "n")})
    with pytest.raises(ProofNotFound, match="given up after .* a longer timeout"):
        prove(["A B A = B A B", "A A B = B B A"], "A = B", types={"A B": ("n", "n")}, timeout=0.05)


def test_what_was_not_found_is_not_called_false() -> None:
    with pytest.raises(ProofNotFound, match="sum of squares that was tried helps. For matrices it may still be true"):
        prove(["P P = P"], "P = 1", types={"P": ("n", "n")})
    with pytest.raises(ProofNotFound, match="vanishing sums of squares were not used"):
        prove(["A' A = 0"], "A = 0", types={"A": ("m", "n")}, positivity=False)


@pytest.mark.what_if("statements", "a proof is not found in the given time", "ProofNotFound: “given up”")
@pytest.mark.parametrize("timeout", [0.0, 0.3])
def test_a_search_ends_in_time(timeout: float) -> None:
    """Braids have no finite completion."""
    started = process_time()
    with pytest.raises(ProofNotFound, match="given up"):
        prove(["A B A = B A B", "B C B = C B C", "A C = C A"], "A = B", types={"A B C": ("n", "n")}, timeout=timeout)
    assert process_time() - started < timeout + 1.5


def test_one_by_one_letters_commute() -> None:
    scalars = {"a b": ("1", "1"), "v": ("n", "1")}
    assert prove([], ["a b' a = a a b", "v a b = v b a"], types=scalars).check()
    with pytest.raises(ProofNotFound):
        prove([], "a b = b a", types={"a b": ("n", "n")})


@pytest.mark.parametrize(
    "given, claim",
    [
        ([], "x' y = y' x"),
        ([], "(x' y) (x' z) = (x' z) (x' y)"),
        ([], "x' A y = y' A' x"),
        ([], "y x' z a = y a z' x"),
        (["K' = -K"], "x' K x = 0"),
        (["S x = x a", "S y = y b", "(a - b) e = 1"], "x' y = 0"),
    ],
)
def test_one_by_one_products_commute(given: list[str], claim: str) -> None:
    letters = dict(types={"x y z": ("n", "1"), "A K S": ("n", "n"), "a b e": ("1", "1")}, symmetric=["S"])
    assert prove(given, claim, **letters).check()
    with pytest.raises(CounterexampleNotFound):
        refute(given, claim, attempts=30, **letters)
    wider = letters | {"types": letters["types"] | {"x y z": ("n", "2"), "a b e": ("2", "2")}}
    assert refute(given, claim, **wider).check()


@pytest.mark.parametrize(
    "given, letters",
    [
        ("P X + X Q = 0", dict(types={"X": ("m", "n"), "P": ("m", "m"), "Q": ("n", "n")})),
        ("P X + X P = 0", dict(types={"X P": ("n", "n")}, symmetric=["X"])),
    ],
)
def test_traces_of_squares(given: str, letters: dict) -> None:
    """tr(XᵀP X) + tr(X Q Xᵀ) = 0 adds squares of two sizes; tr(X P X) = −tr(P X X) has one word on both sides."""
    definite = {x: "pd" for x in "PQ" if x in given}
    found = prove(given, "X = 0", **letters, positive=definite)
    assert found.check() and found.lemmas[0]["trace"]
    semidefinite = dict.fromkeys(definite, "psd")
    assert refute(given, "X = 0", **letters, positive=semidefinite).check()


@pytest.mark.what_if(
    "statements",
    "a statement uses a letter that is not declared",
    "UndeclaredLetter: “Y is not declared; declared are A, A'”",
)
def test_undeclared_letter_names_the_declared_ones() -> None:
    with pytest.raises(UndeclaredLetter, match="Y is not declared; declared are A, A'"):
        prove([], "A Y A = A", types={"A": ("n", "n")})
    with pytest.raises(UndeclaredLetter, match="P is given a property"):
        prove([], "A = A", types={"A": ("n", "n")}, symmetric={"P"})


@pytest.mark.parametrize("claim", ["A A = A", "A + A' = 0", "A = 1", "A A' = A' A", "1 + A = A"])
def test_ill_typed_claim_is_refused(claim: str) -> None:
    with pytest.raises(TypeMismatch):
        prove([], claim, types={"A": ("m", "n")})


def test_identities_of_different_size_are_different() -> None:
    letters = dict(types={"A": ("m", "n"), "R": ("n", "m"), "C": ("p", "n"), "D": ("n", "p")})
    with pytest.raises(TypeMismatch, match="m×m.*p×p"):
        prove(["A R = 1", "C D = 1"], "A R = C D", **letters)


@pytest.mark.what_if(
    "statements", "hypotheses contradict each other", "VacuousHypotheses, with a proof that they “contradict”"
)
@pytest.mark.parametrize(
    "assumptions", [["A B = 1", "B A B = 0"], ["A B = 1", "A = 0"], ["A B = 1", "C A = 0", "B C = 1"]]
)
def test_contradictory_assumptions_prove_nothing(assumptions: list[str]) -> None:
    with pytest.raises(VacuousHypotheses, match="contradict") as caught:
        prove(assumptions, "A = A B A", types={"A B C": ("n", "n")})
    assert caught.value.certificate.check()


@pytest.mark.parametrize("text", ["A (B", "A + ", "A ? B", "A = B = A", "1 = 0", ") A"])
def test_unreadable_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        prove([], text, types={"A B": ("n", "n")})


def test_sympy_statements() -> None:
    n, k = symbols("n k")
    A, B = MatrixSymbol("A", n, k), MatrixSymbol("B", k, n)
    M, P, S = MatrixSymbol("M", n, n), PD("P", n, n), PSD("S", k, k)
    one = Identity(n)
    for assumptions, claim in [
        ([], Eq(Pinv(A.T * A) * A.T, Pinv(A))),
        ([], Eq(Inverse(one + A * B) * A, A * Inverse(Identity(k) + B * A))),
        ([], Eq(Inverse(P + A * S * A.T).T, Inverse(P + A * S * A.T), evaluate=False)),
        ([Q.symmetric(M), Eq(M**2, M)], Eq((one - M).T * (one - 2 * M + M**2), one - M)),
        ([], Eq(Pinv(A.T), Pinv(A).T, evaluate=False)),
    ]:
        assert prove(assumptions, claim).check()


def test_sympy_errors_teach() -> None:
    n, k, t = symbols("n k t")
    A = MatrixSymbol("A", n, k)
    with pytest.raises(ValueError, match="columns meet"):
        prove([], Eq(A * MatrixSymbol("B", n, n), A, evaluate=False))
    with pytest.raises(TypeError, match="text"):
        prove(["A = 0"], Eq(A, 0 * A))
    with pytest.raises(TypeError, match="types"):
        prove([], "A = A")
    with pytest.raises(ValueError, match="evaluate=False"):
        prove([], Eq(A, A))


def test_statements_over_declared_letters() -> None:
    letters = Letters()
    A = letters("A", "m", "n", pinv="X")
    X = letters["X"]
    assert prove([], A.T * A * X - A.T).check()
    with pytest.raises(ValueError, match="two different"):
        A * Letters()("B", "n", "n")
    with pytest.raises(ValueError, match="declared twice"):
        letters("A", "m", "n")
    with pytest.raises(TypeMismatch, match="only a square"):
        letters("S", "m", "n", symmetric=True)


def test_polynomials_print_as_they_are_read() -> None:
    letters = Letters()
    letters("A", "n", "n"), letters("B", "n", "n")
    for text in ["A B - B A", "-A + 1/2 B' A - 3", "A B' A", "0"]:
        assert str(polynomial(letters, text)) == text
    assert str(polynomial(letters, "(A + B)' (A - B) 2")) == "2 A' A - 2 A' B + 2 B' A - 2 B' B"


def test_certificate_does_not_depend_on_the_hash_seed() -> None:
    """Of this process, which has another one or a random one, and of the one it starts."""
    program = (
        "from ngdsym import prove; from ngdsym.theorems.textbook import FACTS\n"
        "for a, c, letters in FACTS.values(): print(prove(a, c, **letters).to_json())"
    )
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [prove(a, c, **letters).to_json() for a, c, letters in FACTS.values()]
    assert here and done.stdout.splitlines() == "\n".join(here).splitlines()
