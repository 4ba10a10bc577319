"""Statements in other spellings: understood, or refused with the right one."""

from __future__ import annotations

import pytest
from sympy import (
    Adjoint,
    BlockMatrix,
    Eq,
    Float,
    MatrixSymbol,
    Ne,
    Q,
    Symbol,
    symbols,
)

from ngdsym import prove, refute
from ngdsym.proof.words import TypeMismatch
from ngdsym.theorems.theorem import eq

n, k = symbols("n k", integer=True, positive=True)
A, B, K = (MatrixSymbol(name, n, n) for name in "ABK")
SQUARE = {"A B C": ("n", "n")}


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
        ("A.H = A", r"at \.H: .*A' is also the adjoint"),
        ("A^H = A", r"at \^H: .*A' is also the adjoint"),
        ("A† = A", "at †: .*A' is also the adjoint"),
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
