"""How ill-conditioned the Fisher matrix of a deep linear network is: bounds, and where they are reached."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Ge, Le, MatrixSymbol, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD, PSD
from ngdsym.theorems.dense import Net
from ngdsym.theorems.gradient_descent_flow import aligned
from ngdsym.theorems.notation import A_i, A_j, B_i, d, o, size
from ngdsym.theorems.theorem import Theorem, eq

SOURCE = "After Zhao, Singh & Lucchi 2024 (arXiv 2411.02139), who have Σ̃ = I."
N, p = (Symbol(name, integer=True, positive=True) for name in ("N", "p"))
J, K, X, Y = MatrixSymbol("J", N, p), PD("K", N, N), MatrixSymbol("X", N, N), MatrixSymbol("Y", N, N)
H, F, h, a = PD("H", N, N), PSD("F", p, p), PD("h", N, N), PD("a", N, N)


def above(draw: Draw) -> Mapping[Expr, Any]:
    """H = K² and JJᵀ exceed the numbers h and a by the squares X² and Y Yᵀ."""
    net = Net((1, 1), draw)
    root, rest, eye, low = net.generic(2, 2), net.generic(2, 2), net.eye(2), net.number(3)
    basis = root @ root.T + eye
    other = net.inv(basis) * low
    return {K: (basis + other) * net.number(1, 2), X: (basis - other) * net.number(1, 2), h: eye * low,
            Y: rest, J: np.hstack([eye * low, rest]), a: eye * low * low}


EIGENVALUES = Theorem(
    name="fisher-eigenvalue-bounds",
    title="If H ≥ h and J Jᵀ ≥ a then F² ≥ a h F: the non-zero eigenvalues of F = Jᵀ H J are at least a h",
    equations=("22",),
    given="h, a are numbers times I; H = K², H − h = X² and J Jᵀ − a = Y Yᵀ. On the right stand two squares. Likewise "
          "F² ≤ a h F with upper bounds. The smallest and largest eigenvalue of H = Σ ⊗ Σ̃⁻¹ have the ratio κ(Σ) κ(Σ̃).",
    assumes=(eq(H, K * K), eq(X * X, H - h), eq(X * K, K * X), eq(X.T, X), eq(J * J.T, a + Y * Y.T),
             eq(F, J.T * H * J), eq(h * H, H * h),
             eq(a * H, H * a), eq(a * K, K * a), eq(a * X, X * a), eq(a * h, h * a)),
    claims=(eq(F * F - J.T * H * a * h * J, (X * K * J).T * a * (X * K * J) + (Y.T * H * J).T * (Y.T * H * J)),),
    wrong=(eq(F * F - J.T * H * a * h * J, (Y.T * H * J).T * (Y.T * H * J)),
           eq(F * F - J.T * H * a * h * J, (X * K * J).T * a * (X * K * J)),
           eq(F * F - J.T * H * h * J, (X * K * J).T * a * (X * K * J) + (Y.T * H * J).T * (Y.T * H * J))),
    values=above,
    points=True,
)

V, X_B, Y_A = MatrixSymbol("V", o, d), MatrixSymbol("X", d, d), MatrixSymbol("Y", o, o)
alpha, beta = PD("alpha", o, o), PD("beta", d, d)
LAYERS = Theorem(
    name="layer-form-bounds",
    title="Layer i adds ‖A_iᵀ V B_iᵀ‖² to the form of J Jᵀ, at least α β ‖V‖² if A_i A_iᵀ ≥ α and B_iᵀ B_i ≥ β",
    equations=("22", "SM 37"),
    given="α, β are numbers times I: the squares of the n_L-th singular value of A_i and of the n_0-th of B_i, so all "
          "layers of a wide net have α β > 0. A_i A_iᵀ = α + Y Yᵀ, B_iᵀ B_i = β + Xᵀ X. Take traces of both claims. "
          "Likewise from above: then a = Σ_i α_i β_i, and κ(F) ≤ κ(Σ) κ(Σ̃) Σ_i ‖A_i‖² ‖B_i‖² / Σ_i α_i β_i. " + SOURCE,
    assumes=(eq(A_i * A_i.T, alpha + Y_A * Y_A.T), eq(B_i.T * B_i, beta + X_B.T * X_B)),
    claims=(eq((A_i.T * V * B_i.T).T * (A_i.T * V * B_i.T),
               B_i * V.T * alpha * V * B_i.T + (Y_A.T * V * B_i.T).T * (Y_A.T * V * B_i.T)),
            eq(V * B_i.T * B_i * V.T, V * beta * V.T + (X_B * V.T).T * (X_B * V.T))),
    wrong=(eq((A_i.T * V * B_i.T).T * (A_i.T * V * B_i.T), B_i * V.T * alpha * V * B_i.T),
           eq((A_i.T * V * B_i.T).T * (A_i.T * V * B_i.T), (Y_A.T * V * B_i.T).T * (Y_A.T * V * B_i.T)),
           eq(V * B_i.T * B_i * V.T, V * beta * V.T - (X_B * V.T).T * (X_B * V.T))),
    values=lambda draw: squares(Net((2, 4, 2), draw)),
    points=True,
)


def squares(net: Net) -> Mapping[Expr, Any]:
    """A_i = (3 I, Y) and B_i = (2 I; X)."""
    rest, more = net.generic(2, 2), net.generic(2, 2)
    return {A_i: np.hstack([net.eye(2) * 3, rest]), Y_A: rest, alpha: net.eye(2) * net.number(9),
            B_i: np.vstack([net.eye(2) * 2, more]), X_B: more, beta: net.eye(2) * net.number(4)}


kappa, bound, data, lower = (Symbol(name) for name in ("kappa", "b", "kappa_H", "c"))


def condition(draw: Draw) -> Mapping[Expr, Any]:
    """κ(F) over its non-zero eigenvalues, and the bound, in a wide net with ill-conditioned weights."""
    net = Net((2, 3, 4, 3), draw)
    net.W = [W * net.number(1, 4) + np.eye(*W.shape) for W in net.W]
    values = np.linalg.eigvalsh(net.F)[-6:]
    tops, bottoms = ([np.linalg.svd(net.A(i))[1][k]**2 * np.linalg.svd(net.B(i))[1][k]**2 for i in net.layers]
                     for k in (0, -1))
    covariances = [np.linalg.eigvalsh(S) for S in (net.Sigma, net.Sigma_tilde)]
    spread = np.prod([spectrum[-1] / spectrum[0] for spectrum in covariances])
    return {kappa: values[-1] / values[0], data: spread, bound: sum(tops) / sum(bottoms),
            lower: max(tops) / sum(tops)}


CONDITION = Theorem(
    name="fisher-condition",
    title="In wide nets κ(F) ≤ κ(Σ) κ(Σ̃) Σ_i ‖A_i‖² ‖B_i‖² / Σ_i σ_min(A_i)² σ_min(B_i)²",
    equations=("22",),
    given="κ(F) counts the non-zero eigenvalues, n_0 n_L of them. " + SOURCE,
    claims=(Le(kappa, data * bound), Ge(kappa, 1)),
    wrong=(Le(data * bound, kappa), Le(kappa, lower)),
    values=condition,
    missing={"symbolic": "Eigenvalues of a generic matrix are no rational functions; exact: fisher-condition-balanced.",
             "certificate": "Eigenvalues are no words; fisher-eigenvalue-bounds and layer-form-bounds are certified."},
)

B_j, u, v = MatrixSymbol("B_j", size("j", "m"), d), MatrixSymbol("u", o, 1), MatrixSymbol("v", d, 1)
a_j, b_j = MatrixSymbol("alpha_j", 1, 1), MatrixSymbol("beta_j", 1, 1)
MODE = Theorem(
    name="fisher-modes",
    title="Aligned layers: Δ_i = A_iᵀ u vᵀ B_iᵀ is an eigenvector of F, of eigenvalue Σ_j α_j β_j",
    equations=("22",),
    given="Σ = Σ̃ = I; u is an eigenvector of every A_j A_jᵀ and v of every B_jᵀ B_j, with eigenvalues α_j and β_j. The "
          "claim is block (i, j) of F times Δ_j. In balanced layers A_j A_jᵀ = (W Wᵀ)^{(L−j)/L}, B_jᵀ B_j = "
          "(Wᵀ W)^{(j−1)/L}.",
    assumes=(eq(A_j * A_j.T * u, u * a_j), eq(v.T * B_j.T * B_j, b_j * v.T)),
    claims=(eq(A_i.T * A_j * (A_j.T * u * v.T * B_j.T) * B_j * B_i.T, A_i.T * u * a_j * b_j * v.T * B_i.T),),
    wrong=(eq(A_i.T * A_j * (A_j.T * u * v.T * B_j.T) * B_j * B_i.T, A_i.T * u * a_j * v.T * B_i.T),
           eq(A_i.T * A_j * (A_j.T * u * v.T * B_j.T) * B_j * B_i.T, -A_i.T * u * a_j * b_j * v.T * B_i.T),
           eq(A_i.T * A_j * (A_j.T * u * v.T * B_j.T) * B_j * B_i.T, A_i.T * u * (a_j + b_j) * v.T * B_i.T)),
    values=lambda draw: singular(Net((2, 2, 2), draw)),
    points=True,
)


def singular(net: Net) -> Mapping[Expr, Any]:
    """u and v are unit vectors, A_j has orthogonal rows and B_j orthogonal columns."""
    (top, other), eye = net.generic(2, 1), net.eye(2)
    A = np.array([[top[0], other[0]], [-other[0], top[0]]])
    square = np.array([[top[0] * top[0] + other[0] * other[0]]])
    return {A_j: A, B_j: A.T * 2, u: eye[:, :1], v: eye[:, 1:], a_j: square, b_j: square * 4,
            A_i: net.generic(2, 2), B_i: net.generic(2, 2)}


M, D, ratio = MatrixSymbol("M", 4, 4), MatrixSymbol("D", 4, 4), Symbol("r")


def balanced(draw: Draw) -> Mapping[Expr, Any]:
    """J Jᵀ and F of three equal diagonal layers, r the ratio of their entries."""
    net = aligned(draw, 3)
    square = np.sort(np.diag(net.W[0]))**2
    modes = [a * a + a * b + b * b for b in square for a in square]
    gram = net.J @ net.J.T
    order = np.argsort(np.diag(net.W[0]))
    places = [2 * j + i for j in order for i in order]
    spectrum = modes if net.exact else np.linalg.eigvalsh(net.F)[-4:]
    return {M: gram[np.ix_(places, places)], D: np.diag(np.array(modes)), kappa: max(spectrum) / min(spectrum),
            ratio: max(square) / min(square)}


BALANCED = Theorem(
    name="fisher-condition-balanced",
    title="In balanced layers κ(F) = κ(W)^{2−2/L}: the bound is reached, and depth makes F worse up to κ(W)²",
    equations=("22",),
    given="L = 3, Σ = Σ̃ = I, all layers one positive diagonal matrix with squared entries a ≤ b, r = b/a = κ(W)^{2/3}. "
          "M = J Jᵀ has the non-zero eigenvalues of F: Σ_i a^{L−i} b^{i−1} for each pair of modes. L = 1 has κ = 1.",
    claims=(eq(M, D), eq(kappa, ratio**2)),
    wrong=(eq(kappa, ratio**3), eq(kappa, ratio), eq(M, 3 * D)),
    values=balanced,
    points=True,
    missing={"certificate": "Eigenvalues are no words; fisher-modes is certified."},
)

THEOREMS = (EIGENVALUES, LAYERS, CONDITION, MODE, BALANCED)
