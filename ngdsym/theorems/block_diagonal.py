"""What keeping a band of the Fisher matrix does to the flow, and what K-FAC predicts (Eq. 22, footnote 1).

F_b keeps the blocks of F with |i − j| ≤ b: all of them for b = L − 1, those on the diagonal (K-FAC) for b = 0.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Ge, Identity, Le, MatMul, MatrixSymbol, Max, Symbol, lambdify
from sympy.core.relational import Relational

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD, PSD, Pinv
from ngdsym.theorems.dense import Net, unvec, vec
from ngdsym.theorems.notation import (
    A_i,
    A_j,
    B_i,
    P,
    Sigma,
    Z,
    d,
    invertible,
    n_j,
    o,
    size,
)
from ngdsym.theorems.theorem import Theorem, eq

m_j = size("j", "m")
B_far = MatrixSymbol("B_j", m_j, d)
R_j, S_j, c = MatrixSymbol("R_j", n_j, o), MatrixSymbol("S_j", d, m_j), MatrixSymbol("c_j", d, d)

ACTION = Theorem(
    name="banded-action",
    title="In wide nets V_j = c_j A_j⁻ Z B_j⁻ moves W by c_j Z and adds c_j G_i to row i of F V",
    equations=("17", "22", "SM 37"),
    given="R_j is a right inverse of A_j, S_j a left inverse of B_j; c_j is a number times I. Row i of F_b V is then "
          "G_i "
          "times the sum of c_j over |i − j| ≤ b: V solves F_b V = G if all these sums are 1, and moves W by (Σ c_j) "
          "Z.",
    assumes=(eq(A_j * R_j, Identity(o)), eq(S_j * B_far, Identity(d)), eq(c * Sigma, Sigma * c)),
    claims=(eq(A_j * (R_j * Z * c * S_j) * B_far, Z * c),
            eq(A_i.T * P * A_j * (R_j * Z * c * S_j) * B_far * Sigma * B_i.T, A_i.T * P * Z * Sigma * c * B_i.T)),
    wrong=(eq(A_j * (R_j * Z * c * S_j) * B_far, Z), eq(A_j * (R_j * Z * c * S_j) * B_far, -Z * c),
           eq(A_i.T * P * A_j * (R_j * Z * c * S_j) * B_far * Sigma * B_i.T, A_i.T * P * Z * Sigma * B_i.T)),
    recipes={R_j: Pinv(A_j), S_j: Pinv(B_far), c: Symbol("gamma", positive=True) * Identity(d)},
    sizes={n_j: 3, m_j: 3},
    points=True,
)


b, r = Symbol("b", integer=True), Symbol("r", integer=True)
first = Max(1, r - b)


def at_least_zero(linear: Expr) -> bool:
    """Whether a linear function is ≥ 0 where 1 ≤ r ≤ 2b + 1: at the corner (b, r) = (0, 1), along both edges."""
    return linear.subs({b: 0, r: 1}) >= 0 and linear.diff(b) >= 0 and linear.diff(b) + 2 * linear.diff(r) >= 0


def everywhere(claim: Relational) -> bool:
    """Whether Max(x, y) ≤ z, by both x and y, or Max(x, y) ≥ z, by one of them, for all b and r."""
    each = [at_least_zero(claim.gts - claim.lts) for claim in (claim.func(x, claim.rhs, evaluate=False)
                                                               for x in claim.lhs.args)]
    return all(each) if claim.gts == claim.rhs else any(each)


def counted(claim: Relational) -> float:
    """0 if a claim is true for b < 8 and every r, else ∞."""
    gap = lambdify((b, r), claim.gts - claim.lts, "math")
    return 0.0 if all(gap(i, k) >= 0 for i in range(8) for k in range(1, 2 * i + 2)) else float("inf")


PARTED = Theorem(
    name="bands-part-the-layers",
    title="Neighbourhoods |i − j| ≤ b of ⌈L/(2b + 1)⌉ layers, 2b + 1 apart, part the layers 1 … L, for all L and b",
    given="Let w = 2b + 1, κ = ⌈L/w⌉, r = L − (κ − 1) w, so 1 ≤ r ≤ w; the centres are j = c + k w, k = 0 … κ − 1, "
          "with c = max(1, r − b). |i − j| ≤ b says 0 ≤ i − c + b − k w < w: k is the quotient of i − c + b by w, and "
          "there is one. It is ≥ 0 for i ≥ 1 if c ≤ b + 1, and ≤ κ − 1 for i ≤ L if c ≥ r − b. All centres are layers "
          "if c ≥ 1 and c ≤ r. Claims: these four.",
    equations=("22",),
    claims=(Le(first, b + 1, evaluate=False), Ge(first, r - b, evaluate=False), Ge(first, 1, evaluate=False),
            Le(first, r, evaluate=False)),
    wrong=(Le(first, b, evaluate=False), Ge(first, r, evaluate=False), Ge(first, 2, evaluate=False),
           Le(first, r - b, evaluate=False)),
    symbolic=everywhere,
    numeric=counted,
    missing={"certificate": "Linear inequalities between whole numbers are no equations of words; they are decided for "
                            "all b and r at a corner and along two edges."},
)


def centres(L: int, b: int) -> range:
    """The layers of bands-part-the-layers."""
    width = 2 * b + 1
    return range(max(1, (L - 1) % width + 1 - b), L + 1, width)


N, p = Symbol("N", integer=True, positive=True), Symbol("p", integer=True, positive=True)
J, H, F_b = MatrixSymbol("J", N, p), PD("H", N, N), MatrixSymbol("F_b", p, p)
U, V, kappa, z = MatrixSymbol("U", p, N), MatrixSymbol("V", p, 1), MatrixSymbol("kappa", N, N), MatrixSymbol("z", N, 1)


def masked(net: Net, b: int) -> np.ndarray:
    """F with the blocks outside the band set to zero."""
    rows = [[net.block(i, j) * int(abs(i - j) <= b) for j in net.layers] for i in net.layers]
    return np.block(rows)


def banded_values(draw: Draw) -> Mapping[Expr, Any]:
    """Four layers, b = 1: the bands part them in two; V is a solution of another U and a vector of the kernel."""
    net = Net((1, 2, 1, 2, 1) if not isinstance(draw(), float) else (2, 3, 2, 3, 2), draw)
    F, inputs = masked(net, 1), net.J.T @ net.H
    inverse, target = net.pinv(F), net.generic(net.sizes[0] * net.sizes[-1], 1)
    free = net.generic(len(F), 1)
    return {J: net.J, H: net.H, F_b: F, U: inverse @ inputs, kappa: net.eye(len(net.H)) * net.number(2), z: target,
            V: inverse @ inputs @ target + free - inverse @ F @ free}


BANDED = Theorem(
    name="banded-fisher",
    title="In wide nets, inverting the band |i − j| ≤ b of F gives dW/dt = ⌈L/(2b + 1)⌉ (W* − W)",
    equations=("18", "22", "SM 37"),
    given="κ = ⌈L/(2b + 1)⌉, times I. With c_j = 1 at the centres of bands-part-the-layers and 0 elsewhere every sum "
          "of banded-action has one term, so the stack U of its V_j, over all targets Z, has F_b U = Jᵀ H and J U = κ. "
          "F_b may be singular and indefinite: this proves that *every* V with F_b V = Jᵀ H z moves W by κ z. b = 0: "
          "K-FAC.",
    assumes=(eq(F_b.T, F_b), invertible(H), eq(F_b * U, J.T * H), eq(J * U, kappa), eq(kappa.T * H, H * kappa),
             eq(F_b * V, J.T * H * z)),
    claims=(eq(J * V, kappa * z),),
    wrong=(eq(J * V, z), eq(J * V, -kappa * z), eq(J * V, 2 * kappa * z)),
    values=banded_values,
    points=True,
)


CASES = tuple((L, b) for L in (3, 4, 5, 6) for b in (0, 1, 2))
FLOWS = {case: MatrixSymbol("dW_{}_{}".format(*case), o, d) for case in CASES}
RESIDUALS = {case: MatrixSymbol("Z_{}_{}".format(*case), o, d) for case in CASES}


def dense_bands(draw: Draw) -> Mapping[Expr, Any]:
    """−J F_b⁺ ∇ with the dense matrix of every case."""
    values: dict[Expr, Any] = {}
    for L, b in CASES:
        net = Net((1, 2) + (1,) * (L - 1), draw)
        if not net.exact:
            net = Net((2, 3) + (2,) * (L - 1), draw)
            net.W = [np.eye(*W.shape) + W / 4 for W in net.W]
        step = net.J @ net.pinv(masked(net, b)) @ net.J.T @ net.H @ vec(net.Z)
        values |= {FLOWS[L, b]: unvec(step, net.sizes[-1]), RESIDUALS[L, b]: net.Z}
    return values


COUNTED = Theorem(
    name="banded-fisher-dense",
    title="Measured on the whole matrix: bands move W by ⌈L/(2b + 1)⌉ Z for 3 to 6 layers and b = 0, 1, 2",
    equations=("18", "22"),
    given="F_b formed in full and pseudo-inverted.",
    claims=tuple(eq(FLOWS[L, b], MatMul(-(-L // (2 * b + 1)), RESIDUALS[L, b])) for L, b in CASES),
    wrong=(eq(FLOWS[3, 0], RESIDUALS[3, 0]), eq(FLOWS[4, 1], RESIDUALS[4, 1]), eq(FLOWS[5, 1], 3 * RESIDUALS[5, 1])),
    values=dense_bands,
    points=True,
    missing={"certificate": "The pseudo-inverse of all of F_b is no word; banded-fisher is the proof."},
)

Delta, g, F_d = MatrixSymbol("Delta", p, 1), MatrixSymbol("g", p, 1), PSD("F_d", p, p)
F, ell = PSD("F", p, p), MatrixSymbol("ell", 1, 1)


def predicted_values(draw: Draw) -> Mapping[Expr, Any]:
    """Three layers of a wide network, a full step of Eq. 10."""
    net = Net((1, 2, 1, 1) if not isinstance(draw(), float) else (2, 3, 4, 2), draw)
    step = np.concatenate([vec(update) for update in net.paper_updates()])[:, None]
    gradient = (net.J.T @ net.H @ vec(net.Z))[:, None]
    return {Delta: step, g: gradient, F_d: masked(net, 0), F: net.F, ell: net.eye(1) * net.number(3)}


PREDICTED = Theorem(
    name="block-diagonal-prediction",
    title="With the block-diagonal F in the quadratic model the predicted change is (−α + α²/(2L)) gᵀΔ, not "
          "(−α + α²/2) gᵀΔ",
    equations=("footnote 1", "21"),
    given="Δ is Eq. 10's step for α = 1, g the negative gradient. Blockwise, L F_d Δ = g (F_ii N_i = G_i and Δ = N/L); "
          "with all of F, F Δ = g. Claims: Δᵀ F_d Δ times L, and Δᵀ F Δ, are gᵀΔ. Source of the first model: the "
          "code of "
          "Bernacchia et al. (hennequin-lab/bernacchia-nips-2018); footnote 1 has the second.",
    assumes=(eq(F_d * Delta * ell, g), eq(F * Delta, g)),
    claims=(eq(Delta.T * F_d * Delta * ell, g.T * Delta), eq(Delta.T * F * Delta, g.T * Delta)),
    wrong=(eq(Delta.T * F_d * Delta, g.T * Delta), eq(Delta.T * F * Delta * ell, g.T * Delta),
           eq(Delta.T * F_d * Delta * ell, -g.T * Delta)),
    values=predicted_values,
    points=True,
)


alpha, depth, actual, predicted = (Symbol(name) for name in ("alpha", "L", "a", "b"))


def ratio_values(draw: Draw) -> Mapping[Expr, Any]:
    """Actual and predicted change of the quadratic ½ ΔᵀFΔ − gᵀΔ of three layers, at the step α = ⅓."""
    at = predicted_values(draw)
    step, length = at[Delta], at[ell][0, 0] / 9
    change = {model: (step.T @ at[model] @ step)[0, 0] * length * length / 2 - (at[g].T @ step)[0, 0] * length
              for model in (F, F_d)}
    return {actual: change[F], predicted: change[F_d], alpha: length, depth: at[ell][0, 0]}


RATIO = Theorem(
    name="block-diagonal-ratio",
    title="On an exact quadratic the block-diagonal prediction gives ρ = (1 − α/2)/(1 − α/(2L)), below one",
    equations=("footnote 1", "21"),
    given="a is the change of the quadratic model with all of F, b that with F_d; ρ = a/b. At α = 1 and L large it "
          "is near "
          "½, between the thresholds ¼ and ¾ of Eq. 21, where λ stays: the authors' code stops lowering λ there.",
    claims=(eq(actual * (1 - alpha / (2 * depth)), predicted * (1 - alpha / 2)),),
    wrong=(eq(actual, predicted), eq(actual * (1 - alpha / 2), predicted * (1 - alpha / (2 * depth))),
           eq(actual * (1 - alpha / depth), predicted * (1 - alpha / 2))),
    values=ratio_values,
    points=True,
    missing={"certificate": "A quotient of two numbers; block-diagonal-prediction certifies both of them."},
)

THEOREMS = (ACTION, PARTED, BANDED, COUNTED, PREDICTED, RATIO)
