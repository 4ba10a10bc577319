"""Derivations certify every step, refuse wrong ones and can be replayed."""

from __future__ import annotations

import pytest
from sympy import Identity, Inverse, MatrixSymbol, symbols

from ngdsym.algebra.symbols import PD, Pinv
from ngdsym.proof.derivation import Derivation, StepRefused

n, k = symbols("n k")
A = MatrixSymbol("A", n, k)


def layer(given: list[str]) -> Derivation:
    return (
        Derivation(
            "A Y A' P A",
            given,
            symmetric={"P", "E"},
            inverses={"P": "Pi"},
            types={"A": ("o", "n"), "P": ("o", "o"), "E Y": ("n", "n"), "K": ("n", "o")},
        )
        .to("A Y E", why="$E = A^\\top P A$")
        .to("A K A Y E", why="K recovers A", by="A K A = A")
        .to("Pi K' A' P A Y E", by="P A K = K' A' P")
        .to("Pi K' E", why="Y inverts E where it can", by="E Y E = E")
        .to("A", by=["A K A = A", "P A K = K' A' P"])
    )


def test_chain_is_certified_as_a_whole() -> None:
    derivation = layer(["E = A' P A"])
    whole = derivation.certificate()
    assert whole.check()
    assert whole.data["claims"] == [[["1", ["A", "Y", "A'", "P", "A"]], ["-1", ["A"]]]]
    assert whole.cofactors == sum(step.certificate.cofactors for step in derivation.steps)


def test_wrong_step_is_refused_with_a_counterexample() -> None:
    derivation = layer(["E = A' P A"])
    with pytest.raises(StepRefused, match="step 6") as caught:
        derivation.to("A E")
    assert caught.value.counterexample.check()
    assert len(derivation.steps) == 5


def test_replay_under_other_facts() -> None:
    assert layer(["E = A' P A"]).replay(["E = A' P A", "P = 1"]).certificate().check()
    with pytest.raises(StepRefused, match="step 1"):
        layer(["E = A' P A"]).replay(["E = A' A"])


def test_reader_can_branch_off() -> None:
    start = Derivation("(U + V)' (U - V)", types={"U V": ("n", "n")}, symmetric={"U", "V"})
    left, right = start.to("U U - U V + V U - V V"), start.to("U (U - V) + V (U - V)")
    assert start.steps == () and len(left.steps) == len(right.steps) == 1
    assert left.certificate().check()


def test_sympy_chain_and_latex() -> None:
    P = PD("P", n, n)
    derivation = Derivation(Inverse(P + A * A.T) * A).to(
        Inverse(P) * A * Inverse(Identity(k) + A.T * Inverse(P) * A), why="push 100 %"
    )
    assert derivation.certificate().check()
    text = derivation._repr_latex_()
    assert text.startswith("$$\\begin{aligned}") and "&= " in text and r"\text{push 100 \%}" in text
    gram = Derivation(Pinv(A.T * A) * A.T).to(Pinv(A) * Pinv(A).T * A.T).to(Pinv(A), why="Penrose's second")
    assert gram.certificate().check()


def test_text_latex_uses_the_inverse_sign() -> None:
    text = layer(["E = A' P A"])._repr_latex_()
    assert r"{P}^{-1} K^{\top} E" in text and r"A Y A^{\top} P A" in text


def test_a_quotient_is_set_as_one() -> None:
    text = Derivation("1/2 A B - 3 A B", types={"A": ("m", "n"), "B": ("n", "k")})._repr_latex_()
    assert r"\tfrac{1}{2} A B - 3 A B" in text


def test_empty_derivation_proves_nothing() -> None:
    with pytest.raises(ValueError, match="without steps"):
        Derivation("A", types={"A": ("n", "n")}).certificate()


def test_steps_that_need_lemmas_are_joined() -> None:
    """Each step rests on a vanishing square of its own."""
    letters = {"types": {"A": ("m", "n"), "B C": ("n", "k")}}
    proof = Derivation("A B", ["A' A B = A' A C", "B' B = 0"], **letters).to("A C").to("A C + A B")
    joined = proof.certificate()
    assert joined.refusal() is None and len(joined.lemmas) >= 2
