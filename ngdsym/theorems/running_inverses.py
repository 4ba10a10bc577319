"""Inverses kept up to date instead of recomputed, and matrices seen through random vectors (Section 3)."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sympy import Expr, Ge, Identity, Inverse, MatrixSymbol, Rational, Symbol, Trace

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD
from ngdsym.theorems.notation import G, m, n
from ngdsym.theorems.theorem import Theorem, eq

k, g = Symbol("k", integer=True, positive=True), Symbol("gamma", positive=True)
C, K = PD("Lambda", m, m), PD("K", m, m)
x, X = MatrixSymbol("x", m, 1), MatrixSymbol("X", k, m)
g_m, g_k, g_1 = PD("gamma_m", m, m), PD("gamma_k", k, k), PD("gamma_1", 1, 1)
CURRENT = eq(K, Inverse(C))
FORGETTING = {g_m: g * Identity(m), g_k: g * Identity(k), g_1: g * Identity(1)}
SCALAR = "γ is a scalar, written as γ_m = γ I and the like; only used is that it moves past other letters. "

RANK_ONE = Theorem(
    name="sherman-morrison",
    title="One example x changes the inverse covariance by a matrix of rank 1",
    equations=("10",),
    given=SCALAR + "K = Λ⁻¹ before, γ Λ + x xᵀ is the covariance after (Sherman & Morrison 1950).",
    assumes=(CURRENT, eq(g_m * x, x * g_1), eq(g_m * C, C * g_m)),
    claims=(eq((g_m * C + x * x.T) * (K - K * x * Inverse(g_1 + x.T * K * x) * x.T * K), g_m),),
    wrong=(eq((g_m * C + x * x.T) * (K + K * x * Inverse(g_1 + x.T * K * x) * x.T * K), g_m),
           eq((g_m * C + x * x.T) * (K - K * x * Inverse(Identity(1) + x.T * K * x) * x.T * K), g_m),
           eq((g_m * C + x * x.T) * (K - K * x * Inverse(g_1 + x.T * x) * x.T * K), g_m)),
    recipes=FORGETTING,
)

AFTER = Inverse(g_m * C + X.T * X)
RANK_K = Theorem(
    name="woodbury",
    title="A batch of k examples needs the inverse of a k × k matrix only",
    equations=("10",),
    given=SCALAR + "K = Λ⁻¹ before, γ Λ + XᵀX is the covariance after (Woodbury 1950).",
    assumes=(CURRENT, eq(g_m * X.T, X.T * g_k), eq(g_m * C, C * g_m)),
    claims=(eq(g_m * AFTER, K - K * X.T * Inverse(g_k + X * K * X.T) * X * K),),
    wrong=(eq(g_m * AFTER, K + K * X.T * Inverse(g_k + X * K * X.T) * X * K),
           eq(g_m * AFTER, K - K * X.T * Inverse(Identity(k) + X * K * X.T) * X * K),
           eq(g_m * AFTER, K - K * X.T * Inverse(g_k + X * X.T) * X * K), eq(AFTER, K)),
    recipes=FORGETTING,
)

s_m, s_k, s = MatrixSymbol("s_m", m, m), MatrixSymbol("s_k", k, k), Symbol("s", positive=True)
PUSH_THROUGH = Theorem(
    name="push-through",
    title="(√λ I + XᵀX)⁻¹ Xᵀ = Xᵀ (√λ I + X Xᵀ)⁻¹: a batch smaller than the layer needs a small inverse only",
    equations=("20",),
    given="s_m and s_k are √λ I, of which only is used that s_m Xᵀ = Xᵀ s_k.",
    assumes=(eq(s_m * X.T, X.T * s_k),),
    claims=(eq(Inverse(s_m + X.T * X) * X.T, X.T * Inverse(s_k + X * X.T)),),
    wrong=(eq(Inverse(s_m + X.T * X) * X.T, -X.T * Inverse(s_k + X * X.T)),
           eq(Inverse(s_m + X.T * X) * X.T, X.T * Inverse(s_k - X * X.T)),
           eq(Inverse(s_m + X.T * X) * X.T, X.T * (s_k + X * X.T))),
    recipes={s_m: s * Identity(m), s_k: s * Identity(k)},
)

e, Q = MatrixSymbol("e", k, n), MatrixSymbol("K_tilde", n, n)
LOW_RANK = Theorem(
    name="low-rank-application",
    title="K̃ G K for G = eᵀx of k examples is (e K̃ᵀ)ᵀ (x K): no product of two layer-sized matrices",
    equations=("10", "20"),
    given="Rows of e and X are errors and activations of the examples.",
    assumes=(eq(G, e.T * X),),
    claims=(eq(Q * G * K, (e * Q.T).T * (X * K)),),
    wrong=(eq(Q * G * K, (e * Q).T * (X * K)), eq(Q * G * K, -(e * Q.T).T * (X * K)),
           eq(Q * G * K, 2 * (e * Q.T).T * (X * K))),
)

SIZE, RANK, EXTRA = 12, 3, 4
error, tail, optimum = (Symbol(name, positive=True) for name in ("error", "tail", "optimum"))
BOUND = (1 + Rational(RANK, EXTRA - 1)) * tail


def sketches(draw: Draw) -> Mapping[Expr, object]:
    """Mean of ‖A − Q Qᵀ A‖², Q an orthonormal basis of A Ω, over 200 random Ω with k + p columns."""
    def normal(*shape: int) -> np.ndarray:
        return np.array([draw() for _ in range(int(np.prod(shape)))]).reshape(shape)

    left, right = (np.linalg.qr(normal(SIZE, SIZE))[0] for _ in range(2))
    values = 2.0 ** -np.arange(SIZE)
    A = left * values @ right
    bases = [np.linalg.qr(A @ normal(SIZE, RANK + EXTRA))[0] for _ in range(200)]
    found = np.mean([np.linalg.norm(A - basis @ (basis.T @ A))**2 for basis in bases])
    return {error: found, tail: np.sum(values[RANK:]**2), optimum: np.sum(values[RANK + EXTRA:]**2)}


RANDOMIZED = Theorem(
    name="randomized-range",
    title="k + p random vectors catch A but for E‖A − QQᵀA‖² ≤ (1 + k/(p − 1)) Σ_{j>k} σ_j²",
    equations=(),
    given="Halko, Martinsson & Tropp 2011, Theorem 10.5. Squared Frobenius norm; k = 3, p = 4, σ_j = 2^{-j}, "
          "the mean over 200 draws. No basis of k + p vectors does better than the singular vectors.",
    claims=(Ge(BOUND, error), Ge(error, optimum)),
    wrong=(Ge(optimum, error), Ge(error, BOUND)),
    values=sketches,
    missing={"symbolic": "An expectation over Gaussian matrices is not evaluated at a point.",
             "certificate": "An inequality between norms is no equation between matrices."},
)

AFTER_CYCLE, STEADY, damping = MatrixSymbol("D", 3, 3), MatrixSymbol("D_0", 3, 3), Symbol("s", positive=True)


def cycles(draw: Draw) -> Mapping[Expr, object]:
    """Damping left by pseudo-observations in turn: after one cycle exactly, after 100 cycles in float64."""
    exact = not isinstance(draw(), float)
    one = draw()
    one = one / one
    level, keep = abs(draw()), one * 4 / 5
    steady = np.diag([level * 3 * (1 - keep) * keep**age / (1 - keep**3) for age in (2, 1, 0)])
    inverse = np.diag([1 / (steady[j, j] if exact else level) for j in range(3)])
    for j in [0, 1, 2] * (1 if exact else 100):
        column = inverse[:, j]
        weight = 3 * (1 - keep) * level
        inverse = (inverse - np.outer(column, column) * (weight / (keep + weight * inverse[j, j]))) / keep
    return {AFTER_CYCLE: np.diag([1 / inverse[j, j] for j in range(3)]), STEADY: steady, damping: level}


CYCLE = Theorem(
    name="cyclic-damping",
    title="Pseudo-observations of one coordinate at a time keep the damping of a running inverse at √λ on "
          "average",
    equations=("20",),
    given="With forgetting γ each step adds m (1 − γ) √λ e_j e_jᵀ by Sherman–Morrison, j in turn. A "
          "coordinate whose turn "
          "was a steps ago is then damped by √λ m (1 − γ) γ^a / (1 − γ^m): D_0, for m = 3, γ = 4/5, s = √λ.",
    claims=(eq(AFTER_CYCLE, STEADY), eq(Trace(AFTER_CYCLE), 3 * damping)),
    wrong=(eq(AFTER_CYCLE, damping * Identity(3)), eq(Trace(AFTER_CYCLE), damping),
           eq(AFTER_CYCLE, 2 * STEADY)),
    values=cycles,
    points=True,
    missing={"certificate": "A steady state is reached by iteration; each of its steps is sherman-morrison."},
)

THEOREMS = (RANK_ONE, RANK_K, PUSH_THROUGH, LOW_RANK, CYCLE, RANDOMIZED)
