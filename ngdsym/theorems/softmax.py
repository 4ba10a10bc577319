"""A softmax output: its Fisher blocks do not factor, and the error of factoring them is a covariance.

Per example, p are the class probabilities, A = A_i, and S = diag p − p pᵀ takes the place of Σ̃⁻¹.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Identity, KroneckerProduct, MatrixSymbol, Ne, ZeroMatrix, symbols

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PSD
from ngdsym.theorems.differences import complex_slope
from ngdsym.theorems.notation import C, E, m, n, o
from ngdsym.theorems.theorem import Theorem, eq

p, ones = MatrixSymbol("p", o, 1), MatrixSymbol("u", o, 1)
D, S = PSD("D", o, o), PSD("S", o, o)
NORMALISED = (eq(S, D - p * p.T), eq(D * ones, p), eq(ones.T * p, Identity(1)))


def probabilities(draw: Draw, classes: int = 3) -> np.ndarray:
    """Positive numbers that sum to one."""
    weights = np.array([draw() for _ in range(classes)])
    weights = weights * weights
    return weights / weights.sum()


def one_output(draw: Draw) -> Mapping[Expr, object]:
    """Probabilities, their diagonal matrix, and the covariance of the score by its definition."""
    q = probabilities(draw)
    labels = np.diag(q / q)
    scores = [label - q for label in labels]
    covariance = sum(q[k] * np.outer(score, score) for k, score in enumerate(scores))
    return {p: q[:, None], D: np.diag(q), ones: (q / q)[:, None], S: covariance}


SINGULAR = Theorem(
    name="softmax-output-covariance",
    title="S = diag p − p pᵀ is the covariance of the label; adding a constant to all logits is invisible "
          "to it",
    equations=("5",),
    given="The score of a logit is label − p; u is the vector of ones, D = diag p.",
    assumes=NORMALISED,
    claims=(eq(S * ones, ZeroMatrix(o, 1)),
            eq((Identity(o) - p * ones.T) * D * (Identity(o) - ones * p.T), S)),
    wrong=(eq(S * p, ZeroMatrix(o, 1)), eq((Identity(o) - p * ones.T) * D * (Identity(o) - ones * p.T), D),
           eq((Identity(o) - p * ones.T) * D * (Identity(o) - ones * p.T), D + p * p.T)),
    values=one_output,
)

nM, mM = symbols("n_M m_M", integer=True, positive=True)
Left, Right, V = MatrixSymbol("S", n, nM), MatrixSymbol("X", mM, m), MatrixSymbol("V", n, m)
V_all, COUNT = MatrixSymbol("V_M", nM, mM), 3
spread_n, spread_m = MatrixSymbol("u_n", nM, n), MatrixSymbol("u_m", mM, m)
mean_n, mean_m = MatrixSymbol("a_n", n, nM), MatrixSymbol("a_m", m, mM)


def stacked(draw: Draw) -> Mapping[Expr, object]:
    """Three examples stacked: [S_1 S_2 S_3]/3, [X_1; X_2; X_3], V three times on a diagonal, and averages."""
    def generic(rows: int, cols: int) -> np.ndarray:
        return np.array([[draw() for _ in range(cols)] for _ in range(rows)])

    change, number = generic(2, 2), draw()
    same, spread = np.eye(COUNT, dtype=int), np.kron(np.ones((COUNT, 1), dtype=int), np.eye(2, dtype=int))
    spread = spread * (number / number)
    return {Left: generic(2, 2 * COUNT), Right: generic(2 * COUNT, 2),
            V: change, V_all: np.kron(same, change), spread_n: spread, spread_m: spread,
            mean_n: spread.T / COUNT, mean_m: spread.T / COUNT}


MEAN = Left * V_all * Right
CENTRED = (Left - E * mean_n) * V_all * (Right - spread_m * C)
FACTORING = Theorem(
    name="factoring-error",
    title="The error of replacing ⟨x xᵀ ⊗ S⟩ by ⟨x xᵀ⟩ ⊗ ⟨S⟩ is the covariance of x xᵀ and S",
    equations=("22",),
    given="Acting on a change V of the weights. The M examples are stacked, S = [S_1 … S_M]/M and X "
          "likewise as rows; "
          "u repeats a matrix M times, a averages M of them, V_M is V for each example. Nothing else is "
          "used of S and X.",
    assumes=(eq(E, Left * spread_n), eq(C, mean_m * Right), eq(V_all * spread_m, spread_n * V),
             eq(mean_n * V_all, V * mean_m), eq(mean_m * spread_m, Identity(m))),
    claims=(eq(MEAN - E * V * C, CENTRED),),
    wrong=(eq(MEAN - E * V * C, -CENTRED), eq(MEAN, E * V * C), eq(MEAN + E * V * C, CENTRED)),
    values=stacked,
)

S_1, S_2, X_1, X_2 = PSD("S_1", n, n), PSD("S_2", n, n), PSD("X_1", m, m), PSD("X_2", m, m)
F = MatrixSymbol("F", n * m, n * m)


def log_softmax(z: np.ndarray, label: int) -> Any:
    """log p of a label."""
    return z[label] - np.log(np.exp(z).sum())


def block(draw: Draw) -> Mapping[Expr, object]:
    """F_ii of two examples from the covariance of the score, differentiated to rounding in float64."""
    exact = not isinstance(draw(), float)
    A, W = (np.array([[draw() for _ in range(c)] for _ in range(r)]) for r, c in ((3, 2), (2, 2)))
    fisher: Any = 0
    values: dict[Expr, np.ndarray] = {}
    for S_k, X_k in ((S_1, X_1), (S_2, X_2)):
        x = np.array([draw() for _ in range(2)])
        q = probabilities(draw) if exact else np.exp(A @ W @ x) / np.exp(A @ W @ x).sum()

        def score(label: int) -> np.ndarray:
            if exact:
                return np.outer(x, A[label] - q @ A).reshape(-1)
            moves = [unit * input for input in x for unit in np.eye(2)]
            return np.array([complex_slope(lambda t: log_softmax(A @ (W @ x + t * move), label))
                             for move in moves])

        fisher = fisher + sum(q[k] * np.outer(score(k), score(k)) for k in range(3)) / 2
        values |= {S_k: A.T @ (np.diag(q) - np.outer(q, q)) @ A, X_k: np.outer(x, x)}
    return {F: fisher, E: (values[S_1] + values[S_2]) / 2, C: (values[X_1] + values[X_2]) / 2, **values}


TRUE = (KroneckerProduct(X_1, S_1) + KroneckerProduct(X_2, S_2)) / 2
COVARIANCE = (KroneckerProduct(X_1 - C, S_1 - E) + KroneckerProduct(X_2 - C, S_2 - E)) / 2
SWAPPED = (KroneckerProduct(X_2, S_1) + KroneckerProduct(X_1, S_2)) / 2
BLOCK = Theorem(
    name="softmax-fisher-block",
    title="F_ii = ⟨x xᵀ ⊗ Aᵀ(diag p − p pᵀ)A⟩ ≠ ⟨x xᵀ⟩ ⊗ Λ̃: with a softmax output the blocks do not factor",
    equations=("5", "22"),
    given="Two examples; F_ii is the covariance of the score under the model. The exact check takes p as "
          "free.",
    claims=(eq(F, TRUE), eq(F - KroneckerProduct(C, E), COVARIANCE),
            Ne(F, KroneckerProduct(C, E))),
    wrong=(eq(F, KroneckerProduct(C, E)), eq(F - KroneckerProduct(C, E), -COVARIANCE),
           eq(F, 2 * TRUE), eq(F, SWAPPED)),
    values=block,
    points=True,
    missing={"certificate": "The score is a derivative; the error of factoring has a certificate in "
                            "factoring-error."},
)

THEOREMS = (SINGULAR, FACTORING, BLOCK)
