"""No hypothesis is dropped, no letter taken for another, and nothing impossible is proved or broken in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import (
    Adjoint,
    And,
    BlockMatrix,
    Eq,
    Float,
    Identity,
    Inverse,
    MatrixSymbol,
    Ne,
    Not,
    Q,
    Symbol,
    ZeroMatrix,
    symbols,
)

from ngdsym import prove, refute
from ngdsym.algebra.instance import Instance, floats
from ngdsym.algebra.symbols import PD, PSD, Lambda, m
from ngdsym.proof.impossible import ImpossibleSizes
from ngdsym.proof.prover import ProofNotFound
from ngdsym.proof.refute import CounterexampleNotFound
from ngdsym.proof.words import TypeMismatch
from ngdsym.theorems import theorems
from ngdsym.theorems.theorem import eq

n, k = symbols("n k", integer=True, positive=True)
A, B, K = (MatrixSymbol(name, n, n) for name in "ABK")
SQUARE = {"A B C": ("n", "n")}
JACOBI = "A (B C - C B) - (B C - C B) A + B (C A - A C) - (C A - A C) B + C (A B - B A) - (A B - B A) C = 0"


# --- letters -----------------------------------------------------------------------------------------------------


@pytest.mark.what_if(
    "statements",
    "two letters of different sizes or kinds have one name",
    "ValueError: “two different letters…rename one”",
)
@pytest.mark.parametrize("other", [MatrixSymbol("Lambda", m, m), PD("Lambda", m, m), PSD("Lambda", k, k)], ids=repr)
def test_another_letter_of_the_same_name_is_refused(other: MatrixSymbol) -> None:
    with pytest.raises(ValueError, match="two different letters.*rename one"):
        prove([Eq(Lambda * Lambda, Lambda)], Eq(other * other, other, evaluate=False))


def test_a_letter_cannot_pose_as_an_inverse() -> None:
    posing = MatrixSymbol("A⁻¹", n, n)
    for statement in (eq(Inverse(A) * B, posing * B), eq(posing * B, Inverse(A) * B)):
        with pytest.raises(ValueError, match="two different letters|cannot name a letter"):
            prove([], statement)


@pytest.mark.parametrize("claim", ["A² = A A", "A Aᵀ = (A Aᵀ)'", "A A⁻¹ = 1", "A A⁺ A = A", "Aⁿ A = A Aⁿ"])
def test_what_reads_as_made_from_a_letter_is_no_other_letter(claim: str) -> None:
    """Else A² = A A would be broken by an A² that has nothing to do with A."""
    name = next(word for word in claim.replace("(", "").split() if len(word) > 1)
    with pytest.raises(ValueError, match="cannot name a letter"):
        refute([], claim, types={f"A {name}": ("n", "n")})


@pytest.mark.parametrize(
    "arguments",
    [dict(inverses={"A": "A⁺"}), dict(pinvs={"A": "A⁻¹"}), dict(pinvs={"B": "A⁺"}), dict(inverses={"A": "B'"})],
    ids=str,
)
def test_an_inverse_is_not_called_like_another(arguments: dict) -> None:
    with pytest.raises(ValueError, match="cannot name the letter"):
        prove([], "A = A", types=SQUARE, **arguments)


def test_an_inverse_that_is_declared_is_the_one_that_is_typed() -> None:
    for name in ("X", "A⁺"):
        found = prove([], f"A⁺' {name} = {name}' {name}", types={"A": ("m", "n")}, pinvs={"A": name})
        assert found.cofactors == 0 and found.check()


def test_two_sizes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two different sizes are called n"):
        prove([eq(A * A, A)], eq(MatrixSymbol("M", Symbol("n"), 1), MatrixSymbol("K", Symbol("n"), 1)))


@pytest.mark.parametrize("name", ["A B", "A+B", "2A", "1", "A'", "A.T", "A²", "Aᵀ", "A⁺", "A⁻¹", "(A)⁺"])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a letter"):
        prove([], eq(MatrixSymbol(name, n, n) * A, A))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(types={"A": ("n", "n"), "A B": ("n", "m")}), "two types"),
        (dict(types=SQUARE, inverses={"A": "X", "B": "X"}), "inverse of two letters"),
        (dict(types=SQUARE, inverses={"A": "X"}, pinvs={"A": "X"}), "in two ways"),
        (dict(types={"A": ("n", "m"), "X": ("n", "m")}, pinvs={"A": "X"}), "an inverse of A is m×n"),
        (dict(types={"A": ("n", "n + 1")}, inverses={"A": "X"}), "only a square"),
        (dict(types={"A": ("n", "?")}), "is no size"),
        (dict(types={"A": (0, 1)}), "is no size"),
        (dict(types={"A": ("n(", "n")}), "is no size"),
        (dict(types={"A": (2.5, "n")}), "is no size"),
        (dict(types={"A": ("n", "m", "k")}), "given the type .* write"),
        (dict(types={"A": "nm"}), "given the type .* write"),
        (dict(types={"A": 3}), "given the type .* write"),
        (dict(types={("A", "B"): ("n", "n")}), "given the type .* write"),
        (dict(types=["A"]), "no table: write types="),
        (dict(types=SQUARE, positive={"A"}), "no table: write positive="),
        (dict(types=SQUARE, pinvs=["A"]), "no table: write pinvs="),
    ],
)
def test_conflicting_declarations_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        prove([], "A = A", **arguments)


# --- sizes -------------------------------------------------------------------------------------------------------


def test_equal_sizes_are_spelled_alike() -> None:
    types = {"A": ("n", "2n"), "B": ("n + n", "1+k"), "C": ("n", "k + 1")}
    assert prove("A B = C", "(A B)' = C'", types=types).check()
    with pytest.raises(TypeMismatch):
        prove("A B = 0", "A B = 0", types={"A": ("n", "n"), "B": ("n + 1", "n")})


@pytest.mark.parametrize("rows, cols", [(n, 2 * n), (n, n + 1), (2, 3)])
def test_a_hypothesis_of_no_size_is_refused_as_impossible(rows: object, cols: object) -> None:
    T = MatrixSymbol("T", rows, cols)
    hypothesis, claim = Eq(T.T * T, Identity(cols)), Eq(T, ZeroMatrix(rows, cols))
    for attempt in (prove, refute):
        with pytest.raises(ImpossibleSizes, match="holds for no matrices"):
            attempt([hypothesis], claim)


def test_counterexamples_have_sizes_that_agree() -> None:
    found = refute("X A = 1", "A X = 1", types={"A": ("2n", "n"), "X": ("n", "2n")})
    assert found.check() and found.sizes["2*n"] == 2 * found.sizes["n"]
    broken = refute([], "A A = A", types={"A": ("2n", "2n")})
    assert broken.check() and not replace(broken, sizes=broken.sizes | {"n": broken.sizes["n"] + 1}).check()


def test_instances_compute_their_sizes() -> None:
    made = Instance({n: 3}, floats(0))
    assert made(MatrixSymbol("M", n + 1, 2 * n)).shape == (4, 6)
    with pytest.raises(ValueError, match="no size"):
        made(MatrixSymbol("M", n - 5, n))


# --- hypotheses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hypothesis, claim",
    [
        (Q.symmetric(A * B), eq(B.T * A.T, A * B)),
        (Q.symmetric(A), eq(A.T, A)),
        (Q.positive_definite(A), eq(A.T, A)),
        (And(Q.invertible(A), eq(A * B, 0 * A)), eq(B, 0 * A)),
        (And(Q.invertible(A * B), eq(A * B * K, 0 * K)), eq(K, 0 * K)),
        (Q.orthogonal(A), eq(A * A.T * B, B)),
        (Q.orthogonal(A * B), eq(B.T * A.T * A * B, Identity(n))),
        (And(Q.symmetric(A), Q.orthogonal(A)), eq(A * A, Identity(n))),
    ],
    ids=str,
)
def test_a_predicate_is_used(hypothesis: object, claim: Eq) -> None:
    assert prove([hypothesis], claim).check()
    with pytest.raises(CounterexampleNotFound):
        refute([hypothesis], claim, attempts=40)


@pytest.mark.parametrize(
    "hypothesis, claim",
    [
        (Q.orthogonal(A), eq(A, A.T)),
        (Q.orthogonal(A), eq(A * A, Identity(n))),
        (Q.symmetric(A * B), eq(A * B, B * A)),
        (Q.invertible(A), eq(A, A.T)),
        (Q.symmetric(A), eq(A * A, A)),
        (Q.positive_definite(A), eq(A * B, B * A)),
    ],
    ids=str,
)
def test_a_predicate_means_no_more_than_it_says(hypothesis: object, claim: Eq) -> None:
    assert refute([hypothesis], claim).check()
    with pytest.raises(ProofNotFound):
        prove([hypothesis], claim)


def test_positive_definite_binds_the_counterexample() -> None:
    found = refute([Q.positive_definite(A)], eq(A, Identity(n)))
    assert found.positive == {"A": "pd"} and found.check()


@pytest.mark.what_if(
    "statements", "a hypothesis of SymPy is not understood", "TypeError that says what to write instead"
)
@pytest.mark.parametrize(
    "hypothesis, instead",
    [
        (Q.unitary(A), "orthogonal"),
        (Q.diagonal(A), "Eq"),
        (Q.fullrank(A), "one-sided inverse"),
        (Q.positive_definite(A * B), r"PD\('P'"),
        (Q.lower_triangular(A), "as an equation|write anything else"),
        (Not(Q.invertible(A)), "no equation"),
        (Ne(A, B), "refute"),
        (Q.singular(A), "what it kills"),
    ],
    ids=str,
)
def test_what_is_not_understood_says_what_to_write(hypothesis: object, instead: str) -> None:
    for attempt in (prove, refute):
        with pytest.raises(TypeError, match=instead):
            attempt([hypothesis], eq(A, B))


def test_properties_of_a_declared_inverse_are_used() -> None:
    for kind in ("inverses", "pinvs"):
        letters = {"types": {"A": ("n", "n")}, kind: {"A": "X"}, "symmetric": {"X"}}
        assert prove([], "X' X = X X", **letters).check()
        with pytest.raises(CounterexampleNotFound):
            refute([], "X = X'", attempts=60, **letters)
    twice = dict(types={"A": ("m", "n")}, pinvs={"A": "X", "X": "Y"})
    assert prove([], "Y = A", **twice).check()


@pytest.mark.parametrize("value", ["0", "1", "2"])
def test_a_letter_can_be_a_number(value: str) -> None:
    assert refute([f"B = {value}"], "A = B", types=SQUARE).check()
    assert prove([f"B = {value}"], f"A B = {value} A", types=SQUARE).check()


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [JACOBI, "0 = 0 A", "A B - A B = 0", "A = A"])
def test_a_tautology_is_proved_and_never_broken(claim: str) -> None:
    assert prove([], claim, types=SQUARE).refusal() is None
    with pytest.raises(CounterexampleNotFound):
        refute([], claim, types=SQUARE, attempts=20)


def test_a_witness_travels_with_the_proof() -> None:
    found = prove("A B = 1", "A B A = A", types=SQUARE)
    assert set(found.witness["matrices"]) == {"A", "B", "C"} and "note" not in found.witness


def test_hypotheses_without_example_are_noted() -> None:
    found = prove("A B - B A = 1", "A B = B A + 1", types=SQUARE)
    assert found.check() and "matrices" not in found.witness
    assert "no matrices" in found.witness["note"] and "no matrices" in str(found)


def test_hypotheses_of_zero_matrices_alone_are_noted() -> None:
    found = prove(["A B = 0", "B = 1"], "A C = 0", types=SQUARE)
    assert "A is zero" in found.witness["note"] and found.check()


# --- spelling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "A.T B = A' B",
        "Aᵀ B = A' B",
        "A^T = A'",
        "A^2 = A A",
        "A**2 = A A",
        "A² = A A",
        "A⁻¹ A = 1",
        "A A⁺ A = A",
        "A⁻ᵀ A' = 1",
        "0.5 A + .5 A = A",
        "1.5/3 A = 1/2 A",
        "(A B)ᵀ = B' A'",
        "(A @ B)^⊤ = B^{T} · A⊤",
        "A − A^{1} = 0",
        "(A + B)^2 == A A + A B + B A + B B",
        "A/2 + A / 2 = A",
        "A^-1 A = 1",
        "A^{-1} A = 1",
        "A^(−1) A = 1",
        "A⁻² A² = 1",
        "A^-2 A^2 = 1",
        "A^-T A' = 1",
        "A A^+ A = A",
        "A A^{+} A = A",
        "A'⁺ = A⁺'",
        "A⁺⁺ = A",
        "(1 + A B)⁻¹ A = A (1 + B A)⁻¹",
        "(A' A)⁺ A' = A⁺",
        "(A B)⁻¹ = B⁻¹ A⁻¹",
    ],
)
def test_spellings_that_are_understood(text: str) -> None:
    assert prove([], text, types=SQUARE).check()


@pytest.mark.parametrize(
    "text, spelling",
    [
        ("A.H = A", "A'"),
        ("A^H = A", "A'"),
        ("A† = A", "A'"),
        ("A^* = A", "A'"),
        ("A^x = A", "A\\^2"),
        ("A^(1/2) = A", "whole number"),
        ("A / B = A", "A⁻¹"),
        ("A / 0 = A", "divide by a number"),
        ("1/0 A = A", "divides by zero"),
        ("(2)⁻¹ A = A", "the number that it is"),
        ("I A = A", "1 for the identity"),
        ("inv(A) A = 1", "A⁻¹"),
        ("tr(A) = 0", "no product"),
        ("A != B", "refute"),
        ("A ≠ B", "refute"),
        ("A^0 = 1", "A\\^2"),
        ("A ⊗ B = 0", "transpose"),
        ("A.foo = A", "A\\^-1"),
    ],
)
def test_other_spellings_say_which_is_right(text: str, spelling: str) -> None:
    with pytest.raises(ValueError, match=spelling):
        prove([], text, types=SQUARE)


@pytest.mark.parametrize(
    "claim, spelling",
    [
        (Ne(A, B), "refute"),
        (eq(BlockMatrix([[A, B]]), BlockMatrix([[B, A]])), "one equation for each"),
        (eq(Adjoint(A), B), r"A\.T"),
        (eq(Float("0.5") * A, B), r"Rational\('0.5'\)"),
        (Q.orthogonal(A), "as equations"),
        (Eq(A, 1, evaluate=False), r"Identity\(n\)"),
        (Symbol("x"), "Eq"),
    ],
    ids=str,
)
def test_other_sympy_expressions_say_which_is_right(claim: object, spelling: str) -> None:
    with pytest.raises(TypeError, match=spelling):
        prove([], claim)


def test_a_kind_of_positive_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="A is declared 'nd'.*'psd'"):
        prove([], "A = A'", types=SQUARE, positive={"A": "nd"})


def test_inverses_of_products_are_broken_by_their_values() -> None:
    types = {"A": ("m", "n"), "B": ("n", "k")}
    assert refute([], "(A B)⁺ = B⁺ A⁺", types=types).check()
    assert prove("A' A = 1", "(A B)⁺ = B⁺ A⁺", types=types).check()
    assert refute([], "(1 + A)⁻¹ = 1 - A", types=SQUARE).check()
    with pytest.raises(TypeMismatch, match="only a square"):
        prove([], "(A B)⁻¹ A = 0", types={"A": ("n", "k"), "B": ("k", "n + 1")})


@pytest.mark.parametrize("kind", [list, tuple, set, iter], ids=lambda kind: kind.__name__)
def test_statements_come_in_any_collection(kind: type) -> None:
    assert prove(kind(["A = 0", "B = 0"]), kind(["A C = 0"]), types=SQUARE).check()


# --- theorems ----------------------------------------------------------------------------------------------------


@pytest.mark.what_if("statements", "a theorem claims X = X", "ValueError: it “says nothing”")
@pytest.mark.parametrize("claim", [eq(A * B, A * B), eq(A + B, B + A), eq((A * B).T, B.T * A.T), Eq(A, A)], ids=str)
def test_a_claim_that_says_nothing_is_refused_at_registration(claim: object) -> None:
    flow = theorems(["layer-flow"])["layer-flow"]
    with pytest.raises(ValueError, match="says nothing"):
        replace(flow, claims=(*flow.claims, claim))
