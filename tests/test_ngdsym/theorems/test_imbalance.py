"""Gradient descent in two layers of unequal size: both signs of λ, and its natural-gradient limit."""

from __future__ import annotations

import numpy as np
import pytest

from ngdsym.proof.problem import Problem
from ngdsym.proof.prover import certify
from ngdsym.proof.translate import translate
from ngdsym.theorems import theorems
from ngdsym.theorems.imbalance import CLOSED, h_d, h_o
from ngdsym.theorems.notation import Wstar, Z
from ngdsym.theorems.theorem import eq


def layers(lam: float, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """W_1 `hidden × 3` and W_2 `3 × hidden` with W_2ᵀ W_2 − W_1 W_1ᵀ = λ I, both drawn."""
    draw = np.random.default_rng(0)
    one, basis = draw.standard_normal((hidden, 3)) / 4, np.linalg.qr(draw.standard_normal((3, 3)))[0][:, :hidden]
    values, vectors = np.linalg.eigh(one @ one.T + abs(lam) * np.eye(hidden))
    other = basis @ (vectors * np.sqrt(values)) @ vectors.T
    return (one, other) if lam >= 0 else (other.T, one.T)


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("lam", [-2.0, 0.5, 2.0])
def test_roots(lam: float, hidden: int) -> None:
    W_1, W_2 = layers(lam, hidden)
    np.testing.assert_allclose(W_2.T @ W_2 - W_1 @ W_1.T, lam * np.eye(hidden), atol=1e-12)
    W = W_2 @ W_1
    R, S = W_2 @ W_2.T - lam / 2 * np.eye(3), W_1.T @ W_1 + lam / 2 * np.eye(3)
    np.testing.assert_allclose(R @ R, W @ W.T + lam**2 / 4 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(S @ S, W.T @ W + lam**2 / 4 * np.eye(3), atol=1e-12)


def test_with_one_large_layer_gradient_descent_is_the_natural_gradient() -> None:
    residual = np.random.default_rng(1).standard_normal((3, 3))

    def distance(lam: float) -> float:
        W_1, W_2 = layers(lam, 3)
        moved = (W_2 @ W_2.T @ residual + residual @ W_1.T @ W_1) / lam
        return float(np.linalg.norm(moved - residual) / np.linalg.norm(residual))

    assert distance(100) < 0.01 and distance(1000) < 0.2 * distance(100)


def test_the_closed_form_without_lambda_is_another_one() -> None:
    stated = theorems()["imbalanced-solution-integrated"]
    found = stated.instance(0).values
    values = {str(letter): value for letter, value in found.items()}
    assert np.linalg.norm(values["E_0"] - values["E_t"]) > 0.05 * np.linalg.norm(values["E_t"])


def test_a_claim_that_becomes_provable_while_squares_are_sought_is_proved() -> None:
    """Nothing was left of it then, and a search for squares among no matrices ended in an error."""
    about_Z = [eq(h_o * Z, Z * h_d) if a == eq(h_o * Wstar, Wstar * h_d) else a for a in CLOSED.assumes]
    assert certify(Problem(*translate(about_Z, list(CLOSED.claims[:1])))).check()
