"""Counterexamples are exact, checkable and found for what the prover cannot prove."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from sympy import QQ, Eq, MatrixSymbol, symbols
from sympy.polys.matrices import DomainMatrix

from ngdsym import refute
from ngdsym.algebra.symbols import PD, PSD, Pinv
from ngdsym.proof.instances import pinv
from ngdsym.proof.refute import CounterexampleNotFound
from ngdsym.theorems.textbook import FACTS, FALSEHOODS


@pytest.mark.parametrize("name", FALSEHOODS)
def test_falsehood_is_refuted(name: str) -> None:
    assumptions, claim, letters = FALSEHOODS[name]
    found = refute(assumptions, claim, **letters)
    assert found.check()
    assert all(isinstance(x, Fraction) for rows in found.matrices.values() for row in rows for x in row)
    assert str(found) == str(refute(assumptions, claim, **letters))


@pytest.mark.parametrize("name", FACTS)
def test_fact_is_not_refuted(name: str) -> None:
    assumptions, claim, letters = FACTS[name]
    with pytest.raises(CounterexampleNotFound, match="proves nothing"):
        refute(assumptions, claim, attempts=40, **letters)


def test_check_notices_changed_matrices() -> None:
    found = refute(["P P = P", "Q Q = Q"], "P Q = Q P", types={"P Q": ("n", "n")})
    assert found.check()
    n = found.sizes["n"]
    one = [[Fraction(i == j) for j in range(n)] for i in range(n)]
    assert not replace(found, matrices=found.matrices | {"P": one}).check()
    twice = replace(found, matrices=found.matrices | {"P": [[2 * x for x in row] for row in found.matrices["P"]]})
    assert not twice.keeps_claims() and not twice.check()
    assert not replace(found, matrices=found.matrices | {"P": [row[:1] for row in one]}).check()


def test_symmetry_and_positivity_are_kept() -> None:
    n = symbols("n")
    S, P, A = PSD("S", n, n), PD("P", n, n), MatrixSymbol("A", n, n)
    found = refute([], Eq(S * P, P * S))
    assert found.check()
    opposite = replace(found, matrices=found.matrices | {"P": [[-x for x in row] for row in found.matrices["P"]]})
    assert not opposite.keeps_claims() and not opposite.check()
    assert refute([], Eq(Pinv(A * P), Pinv(P) * Pinv(A))).check()
    with pytest.raises(CounterexampleNotFound):
        refute([Eq(P * A, 0 * A)], Eq(A, 0 * A), attempts=40)


def test_a_projector_need_not_commute_with_a_matrix_it_fixes() -> None:
    assert refute(["P P = P", "P A = A"], "A P = A", types={"P A": ("n", "n")}).check()


def test_given_sizes_are_kept() -> None:
    found = refute([], "A A' = 1", types={"A": (2, 3)})
    assert found.check() and found.sizes == {"2": 2, "3": 3}


def test_pseudo_inverse_is_exact() -> None:
    rng = Random(1)
    for rows, cols, rank in [(3, 2, 1), (2, 4, 2), (3, 3, 2), (2, 2, 0)]:
        C, R = (
            DomainMatrix([[QQ(rng.randint(-3, 3)) for _ in range(width)] for _ in range(height)], (height, width), QQ)
            for height, width in ((rows, rank), (rank, cols))
        )
        A = (C * R).to_dense()
        X = pinv(A)
        assert (A * X * A - A).is_zero_matrix and (X * A * X - X).is_zero_matrix
        assert ((A * X).transpose() - A * X).is_zero_matrix and ((X * A).transpose() - X * A).is_zero_matrix
