"""How ill-conditioned the Fisher matrix of a deep linear network is: bounds, and where they are reached."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Ge, Identity, Le, MatrixSymbol, Symbol

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


def circle(net: Net, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Commuting symmetric K > 0 and X with K² + X² = radius² I: radius · (2S, 1 − S²)/(1 + S²)."""
    root, eye = net.generic(2, 2), net.eye(2)
    S = root @ root.T + eye
    inverse = net.inv(eye + S @ S)
    return S @ inverse * net.number(2 * radius), (eye - S @ S) @ inverse * net.number(radius)


def wide(net: Net, K: np.ndarray) -> np.ndarray:
    """Twice as many columns, with the same K Kᵀ."""
    return np.hstack([K * net.number(3, 5), K * net.number(4, 5)])


def below(draw: Draw) -> Mapping[Expr, Any]:
    """H = K² and JJᵀ exceed the numbers h and a by the squares X² and Y Yᵀ."""
    net = Net((1, 1), draw)
    root, rest, eye, low = net.generic(2, 2), net.generic(2, 2), net.eye(2), net.number(3)
    basis = root @ root.T + eye
    other = net.inv(basis) * low
    return {K: (basis + other) * net.number(1, 2), X: (basis - other) * net.number(1, 2), h: eye * low,
            Y: rest, J: np.hstack([eye * low, rest]), a: eye * low * low}


def above(draw: Draw) -> Mapping[Expr, Any]:
    """H = K² and JJᵀ fall short of the numbers h = 9 and a = 4 by the squares X² and Y Yᵀ."""
    net = Net((1, 1), draw)
    (root, rest), (square, missing) = circle(net, 3), circle(net, 2)
    return {K: root, X: rest, h: net.eye(2) * net.number(9), J: wide(net, square), Y: missing,
            a: net.eye(2) * net.number(4)}


def eigenvalue_bound(sign: int, **text: Any) -> Theorem:
    """F² − a h F is `sign` times two squares, where H − h and J Jᵀ − a are `sign` times one."""
    excess = F * F - J.T * H * a * h * J
    first, second = (X * K * J).T * a * (X * K * J), (Y.T * H * J).T * (Y.T * H * J)
    return Theorem(
        equations=("22",),
        assumes=(eq(H, K * K), eq(X * X, sign * (H - h)), eq(X * K, K * X), eq(X.T, X), eq(J * J.T, a + sign * Y * Y.T),
                 eq(F, J.T * H * J), eq(h * H, H * h), eq(a * H, H * a), eq(a * K, K * a), eq(a * X, X * a),
                 eq(a * h, h * a)),
        claims=(eq(excess, sign * (first + second)),),
        wrong=(eq(excess, sign * second), eq(excess, sign * first), eq(excess, -sign * (first + second)),
               eq(F * F - J.T * H * h * J, sign * (first + second))),
        points=True, **text)


EIGENVALUES = eigenvalue_bound(
    1,
    name="fisher-eigenvalue-bounds",
    title="If H ≥ h and J Jᵀ ≥ a then F² ≥ a h F: the non-zero eigenvalues of F = Jᵀ H J are at least a h",
    given="h, a are numbers times I; H = K², H − h = X² and J Jᵀ − a = Y Yᵀ. On the right stand two squares. "
          "The smallest and largest eigenvalue of H = Σ ⊗ Σ̃⁻¹ have the ratio κ(Σ) κ(Σ̃).",
    values=below,
)
EIGENVALUES_ABOVE = eigenvalue_bound(
    -1,
    name="fisher-eigenvalue-bounds-above",
    title="If H ≤ h and J Jᵀ ≤ a then F² ≤ a h F: the eigenvalues of F = Jᵀ H J are at most a h",
    given="h, a are numbers times I; H = K², h − H = X² and a − J Jᵀ = Y Yᵀ. On the right stand two squares, negative.",
    values=above,
)

V, X_B, Y_A = MatrixSymbol("V", o, d), MatrixSymbol("X", d, d), MatrixSymbol("Y", o, o)
alpha, beta = PD("alpha", o, o), PD("beta", d, d)


def squares(net: Net) -> Mapping[Expr, Any]:
    """A_i = (3 I, Y) and B_i = (2 I; X)."""
    rest, more = net.generic(2, 2), net.generic(2, 2)
    return {A_i: np.hstack([net.eye(2) * 3, rest]), Y_A: rest, alpha: net.eye(2) * net.number(9),
            B_i: np.vstack([net.eye(2) * 2, more]), X_B: more, beta: net.eye(2) * net.number(4)}


def missing_squares(net: Net) -> Mapping[Expr, Any]:
    """A_i A_iᵀ = 9 − Y Yᵀ and B_iᵀ B_i = 4 − Xᵀ X."""
    (left, rest), (right, more) = circle(net, 3), circle(net, 2)
    return {A_i: wide(net, left), Y_A: rest, alpha: net.eye(2) * net.number(9),
            B_i: wide(net, right).T, X_B: more, beta: net.eye(2) * net.number(4)}


def layer_bound(sign: int, **text: Any) -> Theorem:
    """What layer i adds is α β ‖V‖² plus `sign` times squares."""
    form = (A_i.T * V * B_i.T).T * (A_i.T * V * B_i.T)
    least, rest = B_i * V.T * alpha * V * B_i.T, (Y_A.T * V * B_i.T).T * (Y_A.T * V * B_i.T)
    inner, more = V * beta * V.T, (X_B * V.T).T * (X_B * V.T)
    return Theorem(
        equations=("22", "SM 37"),
        assumes=(eq(A_i * A_i.T, alpha + sign * Y_A * Y_A.T), eq(B_i.T * B_i, beta + sign * X_B.T * X_B)),
        claims=(eq(form, least + sign * rest), eq(V * B_i.T * B_i * V.T, inner + sign * more)),
        wrong=(eq(form, least), eq(form, sign * rest), eq(V * B_i.T * B_i * V.T, inner - sign * more)),
        points=True, **text)


LAYERS = layer_bound(
    1,
    name="layer-form-bounds",
    title="Layer i adds ‖A_iᵀ V B_iᵀ‖² to the form of J Jᵀ, at least α β ‖V‖² if A_i A_iᵀ ≥ α and B_iᵀ B_i ≥ β",
    given="α, β are numbers times I: the squares of the n_L-th singular value of A_i and of the n_0-th of B_i, so all "
          "layers of a wide net have α β > 0. A_i A_iᵀ = α + Y Yᵀ, B_iᵀ B_i = β + Xᵀ X. Take traces of both claims; "
          "then J Jᵀ ≥ a = Σ_i α_i β_i. " + SOURCE,
    values=lambda draw: squares(Net((2, 4, 2), draw)),
)
LAYERS_ABOVE = layer_bound(
    -1,
    name="layer-form-bounds-above",
    title="Layer i adds at most α β ‖V‖² to the form of J Jᵀ if A_i A_iᵀ ≤ α and B_iᵀ B_i ≤ β",
    given="α, β are ‖A_i‖² and ‖B_i‖² times I. A_i A_iᵀ = α − Y Yᵀ, B_iᵀ B_i = β − Xᵀ X. Take traces of both claims; "
          "then J Jᵀ ≤ a = Σ_i α_i β_i.",
    values=lambda draw: missing_squares(Net((2, 4, 2), draw)),
)

f_v, f_w = MatrixSymbol("v", p, 1), MatrixSymbol("w", p, 1)
R_v, R_w = MatrixSymbol("R_v", p, p), MatrixSymbol("R_w", p, p)
high, low, most, least = (MatrixSymbol(name, 1, 1) for name in ("lambda", "mu", "c_v", "c_w"))
GAP = eq(high * low * (low * most - high * least),
         low * low * (R_v * f_v).T * R_v * f_v + high * high * (R_w * f_w).T * R_w * f_w)


def eigenvectors(draw: Draw) -> Mapping[Expr, Any]:
    """F with eigenvalues 3 of v and 2 of w: F² is 10/3 F − 1 on v and 3/2 F + 1 on w."""
    net = Net((1, 1), draw)
    eye, turn = net.eye(2), net.generic(2, 2)
    turn = turn - turn.T
    basis = (eye - turn) @ net.inv(eye + turn)
    one = eye[:1, :1]
    return {F: basis @ np.diag([net.number(3), net.number(2)]) @ basis.T, f_v: basis[:, :1], f_w: basis[:, 1:],
            high: one * 3, low: one * 2, most: one * net.number(10, 3), least: one * net.number(3, 2), R_v: eye,
            R_w: eye}


RATIO = Theorem(
    name="fisher-condition-from-eigenvectors",
    title="From c_w F ≤ F² on w and F² ≤ c_v F on v follows λ/μ ≤ c_v/c_w for the eigenvalues λ of v and μ of w",
    equations=("22",),
    given="F v = v λ and F w = w μ for unit vectors; F² w = F w c_w + R_wᵀ R_w w and F² v = F v c_v − R_vᵀ R_v v, with "
          "c_w and c_v the products a h of fisher-eigenvalue-bounds and fisher-eigenvalue-bounds-above. On the right "
          "stand two squares, so for λ, μ > 0 the bracket on the left is not negative. λ largest and μ smallest: κ(F).",
    assumes=(eq(F * f_v, f_v * high), eq(F * f_w, f_w * low), eq(f_v.T * f_v, Identity(1)),
             eq(f_w.T * f_w, Identity(1)), eq(F * F * f_w, F * f_w * least + R_w.T * R_w * f_w),
             eq(F * F * f_v, F * f_v * most - R_v.T * R_v * f_v)),
    claims=(GAP,),
    wrong=(eq(GAP.lhs, low * low * (R_v * f_v).T * R_v * f_v), eq(high * (low * most - high * least), GAP.rhs),
           eq(high * low * (high * most - low * least), GAP.rhs)),
    values=eigenvectors,
    points=True,
)


kappa, bound, data, lower = (Symbol(name) for name in ("kappa", "b", "kappa_H", "c"))


def condition(draw: Draw) -> Mapping[Expr, Any]:
    """κ(F) over its non-zero eigenvalues, and the bound, in a wide net with ill-conditioned weights.

    Exactly where all matrices are diagonal, so that F has rational eigenvalues; in floating point for generic ones.
    """
    net = aligned(draw, 3)
    if net.exact:
        net.W = [np.diag([1 + draw() * draw(), draw()]) for _ in net.layers]
        net.Sigma, net.Sigma_tilde = (np.diag([1 + draw() * draw(), net.number(1)]) for _ in range(2))
        net.P = net.inv(net.Sigma_tilde)
        values = sorted(np.diag(net.J @ net.J.T @ net.H))
        singular = [[sorted(abs(np.diag(part)))[::-1] for part in (net.A(i), net.B(i))] for i in net.layers]
        covariances = [sorted(np.diag(S)) for S in (net.Sigma, net.Sigma_tilde)]
    else:
        net = Net((2, 3, 4, 3), draw)
        net.W = [W * net.number(1, 4) + np.eye(*W.shape) for W in net.W]
        values = np.linalg.eigvalsh(net.F)[-6:]
        singular = [[np.linalg.svd(part)[1] for part in (net.A(i), net.B(i))] for i in net.layers]
        covariances = [np.linalg.eigvalsh(S) for S in (net.Sigma, net.Sigma_tilde)]
    tops, bottoms = ([A[k]**2 * B[k]**2 for A, B in singular] for k in (0, -1))
    spread = np.prod([spectrum[-1] / spectrum[0] for spectrum in covariances])
    return {kappa: values[-1] / values[0], data: spread, bound: sum(tops) / sum(bottoms),
            lower: max(tops) / sum(tops)}


CONDITION = Theorem(
    name="fisher-condition",
    title="In wide nets κ(F) ≤ κ(Σ) κ(Σ̃) Σ_i ‖A_i‖² ‖B_i‖² / Σ_i σ_min(A_i)² σ_min(B_i)²",
    equations=("22",),
    given="κ(F) counts the non-zero eigenvalues, n_0 n_L of them. Exactly: sizes (2, 2, 2, 2), all matrices diagonal. "
          + SOURCE,
    claims=(Le(kappa, data * bound), Ge(kappa, 1)),
    wrong=(Le(data * bound, kappa), Le(kappa, lower)),
    values=condition,
    points=True,
    missing={"certificate": "Eigenvalues are no words. Certified are the bounds of F and of each layer from both sides "
                            "(fisher-eigenvalue-bounds, layer-form-bounds, …-above), and the step from them to κ "
                            "(fisher-condition-from-eigenvectors)."},
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

THEOREMS = (EIGENVALUES, EIGENVALUES_ABOVE, LAYERS, LAYERS_ABOVE, RATIO, CONDITION, MODE, BALANCED)
