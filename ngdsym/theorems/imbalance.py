"""Gradient descent in two layers with W_2ᵀ W_2 − W_1 W_1ᵀ = λ I: its flow is closed, and solved, for any λ."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from sympy import Expr, Inverse, MatrixSymbol, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import W, Wstar, Z, d, n, o
from ngdsym.theorems.theorem import Theorem, eq

SOURCE = ("Σ = Σ̃ = I. λ is kept (balance-is-conserved); λ > 0 needs rank W_2 = n ≤ n_L, λ < 0 rank W_1 = n ≤ n_0, so "
          "only λ = 0 is possible in a hidden layer wider than both. Dominé et al. 2025 (arXiv 2409.14623).")
W_2, W_1 = MatrixSymbol("W_2", o, n), MatrixSymbol("W_1", n, d)
V_2, V_1 = MatrixSymbol("V_2", o, n), MatrixSymbol("V_1", n, d)
h_o, h, h_d = MatrixSymbol("h_o", o, o), MatrixSymbol("h", n, n), MatrixSymbol("h_d", d, d)
R, S = MatrixSymbol("R", o, o), MatrixSymbol("S", d, d)
DESCENT = (eq(W, W_2 * W_1), eq(Z, Wstar - W), eq(V_1, W_2.T * Z), eq(V_2, Z * W_1.T),
           eq(W_2.T * W_2, W_1 * W_1.T + 2 * h),
           eq(h.T, h), eq(h_o.T, h_o), eq(h_d.T, h_d), eq(W_2 * h, h_o * W_2), eq(h * W_1, W_1 * h_d),
           eq(h_o * Wstar, Wstar * h_d))


def imbalanced(draw: Draw) -> Mapping[Expr, Any]:
    """One hidden unit, so that λ is a number whatever the weights are: |W_2|² − |W_1|² = λ = 2h."""
    net = Net((2, 1, 2), draw)
    half = ((net.W[1].T @ net.W[1] - net.W[0] @ net.W[0].T) * net.number(1, 2))[0, 0]
    return {W_1: net.W[0], W_2: net.W[1], Wstar: net.Wstar, V_1: net.W[1].T @ net.Z, V_2: net.Z @ net.W[0].T,
            h: net.eye(1) * half, h_o: net.eye(2) * half, h_d: net.eye(2) * half}


CLOSED = Theorem(
    name="imbalanced-flow",
    title="With W_2ᵀW_2 − W_1W_1ᵀ = λ gradient descent has dW/dt = R Z + Z S, R² = W Wᵀ + λ²/4 and S² = Wᵀ W + λ²/4",
    equations=("3", "18"),
    given="R = W_2 W_2ᵀ − λ/2, S = W_1ᵀ W_1 + λ/2, and h is λ/2 times I. Where n = n_L and λ > 0 both are the positive "
          "roots: the flow is a function of W alone. For λ large against W it is λ (W* − W): gradient descent becomes "
          "the natural gradient (18), λ times as fast; for λ = 0 every mode has dv/dt = 2v(s − v). " + SOURCE,
    assumes=(*DESCENT, eq(R, W_2 * W_2.T - h_o), eq(S, W_1.T * W_1 + h_d)),
    claims=(eq(W_2 * V_1 + V_2 * W_1, R * Z + Z * S), eq(R * R, W * W.T + h_o * h_o), eq(S * S, W.T * W + h_d * h_d)),
    wrong=(eq(W_2 * V_1 + V_2 * W_1, R * Z - Z * S), eq(R * R, W * W.T), eq(S * S, W.T * W - h_d * h_d),
           eq(W_2 * V_1 + V_2 * W_1, Z)),
    values=imbalanced,
    points=True,
    scale=1,
)

Y_11, Y_22 = W_1.T * W_1, W_2 * W_2.T
RICCATI = Theorem(
    name="imbalanced-riccati",
    title="Q = (W_1, W_2ᵀ)ᵀ then moves by dY/dt = F Y + Y F − Y², Y = Q Qᵀ and F = (−λ/2, W*ᵀ; W*, λ/2)",
    equations=("3",),
    given="The three blocks of both sides, h is λ/2 times I. " + SOURCE,
    assumes=DESCENT,
    claims=(eq(V_1.T * W_1 + W_1.T * V_1,
               -2 * h_d * Y_11 + Wstar.T * W + W.T * Wstar - Y_11 * Y_11 - W.T * W),
            eq(W_2 * V_1 + V_2 * W_1, Wstar * Y_11 + h_o * W - W * h_d + Y_22 * Wstar - W * Y_11 - Y_22 * W),
            eq(V_2 * W_2.T + W_2 * V_2.T, 2 * h_o * Y_22 + Wstar * W.T + W * Wstar.T - W * W.T - Y_22 * Y_22)),
    wrong=(eq(V_1.T * W_1 + W_1.T * V_1, Wstar.T * W + W.T * Wstar - Y_11 * Y_11 - W.T * W),
           eq(W_2 * V_1 + V_2 * W_1, Wstar * Y_11 + Y_22 * Wstar),
           eq(V_2 * W_2.T + W_2 * V_2.T, -2 * h_o * Y_22 + Wstar * W.T + W * Wstar.T - W * W.T - Y_22 * Y_22)),
    values=imbalanced,
    points=True,
    scale=1,
)

N = Symbol("N", integer=True, positive=True)
F, X, X_dot = MatrixSymbol("F", N, N), MatrixSymbol("X", N, n), MatrixSymbol("X_dot", N, n)
M, M_dot, N_dot = PD("M", n, n), MatrixSymbol("M_dot", n, n), MatrixSymbol("N_dot", n, n)
Y = X * Inverse(M) * X.T
SOLUTION = Theorem(
    name="imbalanced-solution",
    title="It is solved by Y(t) = X M⁻¹ Xᵀ, X = e^{Ft} Q_0 and M = I + Q_0ᵀ ∫ e^{2Fs} ds Q_0, from 0 to t",
    equations=("3",),
    given="F is symmetric, dX/dt = F X and dM/dt = Xᵀ X; the derivative N' of M⁻¹ has M' M⁻¹ + M N' = 0. At t = 0 Y is "
          "Q_0 Q_0ᵀ. " + SOURCE,
    assumes=(eq(F.T, F), eq(X_dot, F * X), eq(M_dot, X.T * X), eq(M * N_dot, -M_dot * Inverse(M))),
    claims=(eq(X_dot * Inverse(M) * X.T + X * N_dot * X.T + X * Inverse(M) * X_dot.T, F * Y + Y * F - Y * Y),),
    wrong=(eq(X_dot * Inverse(M) * X.T + X * N_dot * X.T + X * Inverse(M) * X_dot.T, F * Y + Y * F + Y * Y),
           eq(X_dot * Inverse(M) * X.T + X * N_dot * X.T + X * Inverse(M) * X_dot.T, F * Y + Y * F),
           eq(X_dot * Inverse(M) * X.T + X * N_dot * X.T + X * Inverse(M) * X_dot.T, F * Y - Y * F - Y * Y)),
    recipes={F: MatrixSymbol("F_0", N, N) + MatrixSymbol("F_0", N, N).T, N_dot: -Inverse(M) * M_dot * Inverse(M)},
    points=True,
)

Y_t, E_t = MatrixSymbol("Y_t", 4, 4), MatrixSymbol("E_t", 4, 4)
E_0 = MatrixSymbol("E_0", 4, 4)


def integrated(draw: Draw) -> Mapping[Expr, Any]:
    """Y(0.4) of two layers with λ = 1.5 by integrating the weights, and by the formula with λ and without."""
    net, lam, end = Net((2, 2, 2), draw), 1.5, 0.4
    first, turn = net.W[0], np.linalg.qr(net.generic(2, 2))[0]
    values, basis = np.linalg.eigh(first @ first.T + lam * np.eye(2))
    second = turn @ (basis * np.sqrt(values)) @ basis.T

    def speed(_: float, weights: np.ndarray) -> np.ndarray:
        W_1, W_2 = weights.reshape(2, 2, 2)
        residual = net.Wstar - W_2 @ W_1
        return np.array([W_2.T @ residual, residual @ W_1.T]).ravel()

    def formula(lam: float) -> np.ndarray:
        half, zero = lam / 2 * np.eye(2), np.zeros((4, 4))
        F = np.block([[-half, net.Wstar.T], [net.Wstar, half]])
        start = np.vstack([first.T, second])
        integral = expm(np.block([[2 * F, np.eye(4)], [zero, zero]]) * end)[:4, 4:]
        X = expm(F * end) @ start
        return X @ np.linalg.inv(np.eye(2) + start.T @ integral @ start) @ X.T

    path = solve_ivp(speed, (0, end), np.array([first, second]).ravel(), rtol=1e-11, atol=1e-13)
    W_1, W_2 = path.y[:, -1].reshape(2, 2, 2)
    Q = np.vstack([W_1.T, W_2])
    return {Y_t: Q @ Q.T, E_t: formula(lam), E_0: formula(0)}


INTEGRATED = Theorem(
    name="imbalanced-solution-integrated",
    title="Weights integrated in time arrive where the closed form of imbalanced layers says",
    equations=("3",),
    given="λ = 1.5, sizes (2, 2, 2), t = 0.4. E_0 is the formula with λ = 0 in F.",
    claims=(eq(Y_t, E_t),),
    wrong=(eq(Y_t, E_0), eq(Y_t, 2 * E_t)),
    values=integrated,
    tolerance=1e-8,
    missing={"symbolic": "An integration in time; exact: imbalanced-riccati and imbalanced-solution.",
             "certificate": "Exponentials are no words; imbalanced-riccati and imbalanced-solution are certified."},
)

THEOREMS = (CLOSED, RICCATI, SOLUTION, INTEGRATED)
