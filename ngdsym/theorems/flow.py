"""Section 4: the flow of the end-to-end map W under the natural gradient (Eqs. 10, 16–18)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Eq, Expr, Inverse, MatAdd, MatMul, MatrixSymbol, Symbol
from sympy.core.relational import Relational

from ngdsym.algebra.fields import rational_functions
from ngdsym.algebra.instance import Draw, Instance
from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import (
    FACTORS,
    GRADIENT,
    WIDE_LAYER,
    A,
    B,
    C,
    E,
    G,
    P,
    R,
    S,
    Sigma,
    Sigma_tilde,
    W,
    Wstar,
    Z,
    d,
    invertible,
    m,
    n,
    o,
)
from ngdsym.theorems.paths import follow
from ngdsym.theorems.theorem import Theorem, eq

RESIDUAL = eq(Z, Wstar - W)
SIZES = {n: 3, m: 3}
WIDE = "No hidden layer is narrower than input or output: A_i has a right inverse R and B_i a left inverse S."

LAYER = Theorem(
    name="layer-flow",
    title="Each layer moves W by Z/L: A_i Λ̃_i⁺ G_i Λ_{i-1}⁺ B_i = W* − W",
    equations=("10", "17", "18"),
    given=WIDE + " Summed over L layers with 1/L: dW/dt = W* − W.",
    assumes=(*WIDE_LAYER, *FACTORS, GRADIENT, RESIDUAL, invertible(Sigma)),
    claims=(eq(A * Pinv(E) * G * Pinv(C) * B, Wstar - W),),
    wrong=(
        eq(A * Pinv(E) * G * Pinv(C) * B, W - Wstar),
        eq(A * E * G * Pinv(C) * B, Wstar - W),
        eq(A * Pinv(E) * A.T * Sigma_tilde * Z * Sigma * B.T * Pinv(C) * B, Wstar - W),
        eq(A * Pinv(E) * G * Pinv(C) * B, 2 * (Wstar - W)),
    ),
    recipes={R: Pinv(A), S: Pinv(B)},
    sizes=SIZES,
    points=True,
)

ERRORS = Theorem(
    name="errors-through-inverses",
    title="The update sends the error back through (pseudo-)inverses of the weights, not their transposes",
    equations=("16", "SM 34"),
    given=WIDE,
    assumes=(*WIDE_LAYER, *FACTORS, GRADIENT, invertible(Sigma)),
    claims=(eq(Pinv(E) * A.T * P, Pinv(A)), eq(Sigma * B.T * Pinv(C), Pinv(B)),
            eq(Pinv(E) * G * Pinv(C), Pinv(A) * Z * Pinv(B))),
    wrong=(eq(Pinv(E) * A.T, Pinv(A)), eq(B.T * Pinv(C), Pinv(B)),
           eq(Pinv(E) * G * Pinv(C), A.T * Z * B.T), eq(Pinv(E) * G * Pinv(C), -Pinv(A) * Z * Pinv(B))),
    recipes={R: Pinv(A), S: Pinv(B)},
    sizes=SIZES,
    points=True,
)

C_yx, C_yy = MatrixSymbol("C_yx", o, d), PSD("C_yy", o, o)
LEAST_SQUARES = Theorem(
    name="least-squares-target",
    title="W* = ⟨y xᵀ⟩ Σ⁻¹ is the least-squares map: the error covariance exceeds its minimum by Z Σ Zᵀ",
    equations=("6", "13", "18"),
    given="C_yx = ⟨y xᵀ⟩ and C_yy = ⟨y yᵀ⟩ over the data; the left side of the second claim is "
          "⟨(y−Wx)(y−Wx)ᵀ⟩.",
    assumes=(eq(Wstar, C_yx * Inverse(Sigma)), RESIDUAL),
    claims=(eq(C_yx - W * Sigma, Z * Sigma),
            eq(C_yy - W * C_yx.T - C_yx * W.T + W * Sigma * W.T,
               C_yy - C_yx * Inverse(Sigma) * C_yx.T + Z * Sigma * Z.T)),
    wrong=(eq(C_yx - W * Sigma, -Z * Sigma), eq(C_yx - W * Sigma, Z),
           eq(C_yy - W * C_yx.T - C_yx * W.T + W * Sigma * W.T,
              C_yy - C_yx * Inverse(Sigma) * C_yx.T - Z * Sigma * Z.T),
           eq(C_yy - W * C_yx.T - C_yx * W.T + W * Sigma * W.T,
              C_yy - C_yx * Inverse(Sigma) * C_yx.T + Z * Z.T)),
    points=True,
)


def chain(L: int) -> tuple[tuple[Eq, ...], tuple[Eq, ...]]:
    """W = W_L ⋯ W_1 and its first variation, built layer by layer; the claim is the sum of Eq. 17."""
    k = [Symbol(f"n_{i}") for i in range(L + 1)]
    weight = [MatrixSymbol(f"W_{i}", k[i], k[i - 1]) for i in range(1, L + 1)]
    change = [MatrixSymbol(f"dW_{i}", k[i], k[i - 1]) for i in range(1, L + 1)]
    total = [MatrixSymbol(f"D_{i}", k[i], k[0]) for i in range(1, L + 1)]
    below = [MatrixSymbol(f"B_{i}", k[i - 1], k[0]) for i in range(1, L + 1)]
    assumes = [eq(total[0], change[0])]
    for i in range(1, L):
        assumes.append(eq(below[i], MatMul(weight[i - 1], below[i - 1]) if i > 1 else weight[0]))
        assumes.append(eq(total[i], MatAdd(MatMul(change[i], below[i]), MatMul(weight[i], total[i - 1]))))
    back = [MatrixSymbol(f"A_{i}", k[L], k[i]) for i in range(1, L + 1)]
    assumes += [eq(back[i], MatMul(back[i + 1], weight[i + 1]) if i < L - 2 else weight[i + 1])
                for i in range(L - 1)]
    terms = [MatMul(*back[i:i + 1] * (i < L - 1), change[i], *below[i:i + 1] * (i > 0)) for i in range(L)]
    return tuple(assumes), (eq(total[-1], MatAdd(*terms) if L > 1 else terms[0]),)


X, dX, D = MatrixSymbol("X", m, d), MatrixSymbol("dX", m, d), MatrixSymbol("D", n, d)
V, dV = MatrixSymbol("V", n, m), MatrixSymbol("dV", n, m)
PRODUCT_RULE = Theorem(
    name="product-rule",
    title="dW/dt = Σ_i A_i (dW_i/dt) B_i",
    equations=("17",),
    given="Step: one layer V on top of a product X, D its derivative; A is the product of all layers above.",
    assumes=(eq(D, dV * X + V * dX),),
    claims=(eq(A * D, A * dV * X + (A * V) * dX),),
    wrong=(eq(A * D, A * dV * X - (A * V) * dX), eq(A * D, (A * V) * dX),
           eq(A * D, A * dV * dX + (A * V) * X)),
    instances=chain,
)

W_0, W_t, s = MatrixSymbol("W_0", o, d), MatrixSymbol("W_t", o, d), Symbol("s", positive=True)
MOMENT = Symbol("moment")
loss_0, loss_t = Symbol("loss_0"), Symbol("loss_t")


def integrated(draw: Draw) -> Mapping[Expr, object]:
    """The weights of a wide network integrated under (10) up to t = 1.5, with s = e^{−t}."""
    net, t = Net((2, 4, 3, 2), draw), 1.5
    start, before = net.product(1, net.L), net.loss()
    follow(net, Net.paper_updates, t)
    return {W_0: start, W_t: net.product(1, net.L), Wstar: net.Wstar, s: np.exp(-t), loss_0: before,
            loss_t: net.loss()}


def solves(claim: Relational) -> bool:
    """Whether the right side, a polynomial of degree ≤ 2 in s = e^{−t}, solves (18) and starts at W(0)."""
    at = Instance({}, rational_functions(16))
    rates = {W_t: lambda value: at(Wstar) - value, loss_t: lambda value: -2 * value}

    def right(value: object) -> Any:
        at.values[s] = value
        return at(claim.rhs)

    moment = at(MOMENT)
    slope = (right(moment + 1) - right(moment - 1)) / 2
    value = right(moment)
    begins = right(moment * 0 + 1) - at(W_0 if claim.lhs == W_t else loss_0)
    return bool(np.all(-moment * slope - rates[claim.lhs](value) == 0) and np.all(begins == 0))


SOLUTION = Theorem(
    name="exponential-convergence",
    title="W(t) = W* + e^{−t}(W(0) − W*), and the loss gap falls as e^{−2t}",
    equations=("18",),
    given="s = e^{−t}. The loss gap is ½ tr Σ̃⁻¹ Z Σ Zᵀ, which (18) multiplies by −2 per unit of time.",
    claims=(eq(W_t, Wstar + s * (W_0 - Wstar)), eq(loss_t, s**2 * loss_0)),
    wrong=(eq(W_t, Wstar - s * (W_0 - Wstar)), eq(W_t, Wstar + s**2 * (W_0 - Wstar)), eq(loss_t, s * loss_0),
           eq(W_t, s * W_0)),
    values=integrated,
    symbolic=solves,
    tolerance=1e-6,
    missing={"certificate": "e^{−t} is no matrix word; layer-flow certifies the equation it solves."},
)

THEOREMS = (LEAST_SQUARES, ERRORS, LAYER, PRODUCT_RULE, SOLUTION)
