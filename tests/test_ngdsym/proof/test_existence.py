"""Existence of solutions: answered with the solution, which is proved."""

from __future__ import annotations

import pytest

from ngdsym.proof.existence import exists
from ngdsym.proof.prover import ProofNotFound

SIZES = {"A": ("m", "n"), "B": ("m", "k"), "C": ("m", "l")}


@pytest.mark.parametrize("assumption", ["A = B K", "A A' = B B'", "A A' + C C' = B B'", "A A' = B K A'"])
def test_range_inclusion(assumption: str) -> None:
    found = exists({"X": ("k", "n")}, assumption, "A = B X", types={**SIZES, "K": ("k", "n")})
    assert str(found.witness["X"]) == "B⁺ A" and found.certificate.refusal() is None
    assert found.certificate.data["claims"] == [[["1", ["A"]], ["-1", ["B", "B⁺", "A"]]]]


def test_two_sided() -> None:
    found = exists(
        {"X": ("k", "n")},
        "C = B V A'",
        "2 B X A' = C",
        types={"A": ("l", "n"), "B": ("m", "k"), "C": ("m", "l"), "V": ("k", "n")},
        pinvs={"A": "Z"},
    )
    assert str(found.witness["X"]) == "1/2 B⁺ C Z'" and found.certificate.check()


def test_products_around_the_unknown() -> None:
    """A B X D = C: X is (A B)⁺ C D⁺."""
    found = exists(
        {"X": ("k", "p")},
        "C = A B V D",
        "A B X D = C",
        types={"A": ("m", "n"), "B": ("n", "k"), "C": ("m", "l"), "D": ("p", "l"), "V": ("k", "p")},
    )
    assert str(found.witness["X"]) == "(A*B)⁺ C D⁺" and found.certificate.check()


def test_two_unknowns() -> None:
    """Roth's equation."""
    found = exists(
        {"X": ("n", "l"), "Y": ("m", "k")},
        "C = A U - V B",
        "A X - Y B = C",
        types={"A": ("m", "n"), "B": ("k", "l"), "C": ("m", "l"), "U": ("n", "l"), "V": ("m", "k")},
    )
    assert str(found.witness["X"]) == "A⁺ C" and str(found.witness["Y"]) == "-C B⁺ + A A⁺ C B⁺"
    assert found.certificate.check()


def test_declared_inverse_is_used() -> None:
    found = exists({"X": ("n", "k")}, [], "A X = C", types={"A": ("n", "n"), "C": ("n", "k")}, inverses={"A": "a"})
    assert str(found.witness["X"]) == "a C" and found.certificate.check()


def test_no_solution_is_not_claimed() -> None:
    with pytest.raises(ProofNotFound, match="A A⁺ C|A⁺"):
        exists({"X": ("n", "l")}, [], "A X = C", types=SIZES)


@pytest.mark.parametrize("equation", ["A X X = C", "A X + A X A = A", "A = A", "A X + X' A = A", "A X' = A"])
def test_unknown_that_is_not_linear_is_refused(equation: str) -> None:
    with pytest.raises(ValueError, match="once and untransposed"):
        exists({"X": ("n", "n")}, [], equation, types={"A C": ("n", "n")})
