"""How long the weights can follow the flow of W: in square networks W(t) may have to cross a singular matrix.

`u` is a direction with W* u = b W(0) u, so b is an eigenvalue of W* W(0)⁻¹, and s = e^{−t}.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Ge, Identity, Lt, MatrixSymbol, Symbol, ZeroMatrix

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import Pinv
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import (
    FACTORS,
    GRADIENT,
    NEIGHBOURS,
    WIDE_LAYER,
    A,
    A_j,
    B,
    B_i,
    C,
    E,
    G,
    R,
    S,
    Sigma,
    W,
    W_i,
    W_j,
    Wstar,
    Z,
    d,
    invertible,
    m,
    m_i,
    n,
    n_i,
    n_j,
    o,
)
from ngdsym.theorems.paths import follow, minimal_speed
from ngdsym.theorems.theorem import Theorem, eq

W_0, W_t = MatrixSymbol("W_0", o, d), MatrixSymbol("W_t", o, d)
u, b, s, s_d = MatrixSymbol("u", d, 1), MatrixSymbol("b", 1, 1), MatrixSymbol("s", 1, 1), MatrixSymbol("s_d",
                                                                                                       d, d)
one, beta = Identity(1), Symbol("beta", positive=True)

CROSSES = Theorem(
    name="flow-crosses-singular",
    title="If W* W(0)⁻¹ has an eigenvalue b < 0, W(t) is singular at t* = −log(−b/(1 − b))",
    equations=("18",),
    given="s = e^{−t*} = −b/(1 − b), which lies between 0 and 1 exactly for b < 0; s_d is s I, of which only "
          "is used "
          "that s_d u = u s.",
    assumes=(eq(W_t, Wstar + (W_0 - Wstar) * s_d), eq(s_d * u, u * s), eq(Wstar * u, W_0 * u * b),
             eq(b + s, b * s)),
    claims=(eq(W_t * u, ZeroMatrix(o, 1)),),
    wrong=(eq(W_0 * u, ZeroMatrix(o, 1)), eq(W_t * u, W_0 * u), eq(W_t * u, Wstar * u),
           eq((Wstar - (W_0 - Wstar) * s_d) * u, ZeroMatrix(o, 1))),
    recipes={b: -beta * one, s: beta / (1 + beta) * one, s_d: beta / (1 + beta) * Identity(d),
             Wstar: -beta * W_0 * u * Pinv(u) + MatrixSymbol("X", o, d) * (Identity(d) - u * Pinv(u))},
    points=True,
)

K_j, H_i = MatrixSymbol("K_j", n_j, o), MatrixSymbol("H_i", d, m_i)
dW_i, dW_j = MatrixSymbol("dW_i", n_i, m_i), MatrixSymbol("dW_j", n_j, n_i)
BALANCE = Theorem(
    name="square-net-balance",
    title="In a square network (10) moves neighbours alike: W_j dW_i = dW_j W_i",
    equations=("10", "16"),
    given="Layer j = i + 1. Both move W by Z/L; A_j has a left inverse K_j and B_i a right inverse H_i.",
    assumes=(*NEIGHBOURS, eq(K_j * A_j, Identity(n_j)), eq(B_i * H_i, Identity(m_i)),
             eq(NEIGHBOURS[0].rhs * dW_i * B_i, A_j * dW_j * NEIGHBOURS[1].rhs)),
    claims=(eq(W_j * dW_i, dW_j * W_i),),
    wrong=(eq(W_j * dW_i, -dW_j * W_i), eq(W_j * dW_i, 2 * dW_j * W_i), eq(W_j * dW_i, W_j * W_i)),
    recipes={K_j: Pinv(A_j), H_i: Pinv(B_i), dW_i: Pinv(W_j) * dW_j * W_i},
    points=True,
)

w_1, w_2, dw_1, dw_2, w_star, w_t, s_end, ratio = (
    Symbol(name) for name in ("w_1", "w_2", "dw_1", "dw_2", "w_star", "w_t", "s_end", "ratio"))


def paper_speed(net: Net) -> list[np.ndarray]:
    """dW_i/dt of (10) in a square network, in the form (16)."""
    return [net.inv(net.A(i)) @ net.Z @ net.inv(net.B(i)) / net.L for i in net.layers]


def crossing(net: Net, draw: Draw) -> Any:
    """Give the square `net` a target with one negative eigenvalue b of W* W(0)⁻¹; returns b."""
    size, start = net.sizes[0], net.product(1, net.L)
    basis = net.generic(size, size)
    values = [-abs(draw()) - net.number(1, 2)] + [abs(draw()) + net.number(1) for _ in range(size - 1)]
    net.Wstar = basis @ (net.eye(size) * np.array(values)) @ net.inv(basis) @ start
    return values[0]


def stopped(draw: Draw) -> Mapping[Expr, object]:
    """A scalar network at e^{−t} = ¼; in float64 also a (2, 2, 2) network, followed until singular."""
    net = Net((1, 1, 1), draw)
    net.W = [abs(w) for w in net.W]
    start, b = net.product(1, 2)[0, 0], -net.number(1)
    net.Wstar = net.product(1, 2) * b
    first, second = (update[0, 0] for update in net.paper_updates())
    target, reached = net.Wstar[0, 0], net.Wstar[0, 0] / (net.Wstar[0, 0] - start)
    if not net.exact:
        square = Net((2, 2, 2), draw)
        b = crossing(square, draw)
        reached = np.exp(-follow(square, paper_speed, 9.0, stop=1e-5))
    return {w_1: net.W[0][0, 0], w_2: net.W[1][0, 0], dw_1: first, dw_2: second, w_star: target,
            w_t: target + (start - target) * net.number(1, 4), s_end: reached, beta: -b,
            ratio: net.W[0][0, 0] / net.W[1][0, 0]}


STOPS = Theorem(
    name="weight-flow-can-stop",
    title="False: 'under (10) the weights can follow the flow of W for all time'; in square nets they stop "
          "at t*",
    equations=("10", "16", "18"),
    given="Sizes (1, 1, 1), W* = −W(0). (10) keeps the ratio w_1/w_2, so w_1² = ratio · w, and w(t) = W* + "
          "e^{−t}(w(0) "
          "− W*) is negative at e^{−t} = ¼: no real weights. On the way dw_1² grows as 1/w. "
          "Numerically, beside it, a (2, 2, 2) network stops at e^{−t*} = β/(1 + β), b = −β.",
    claims=(eq(dw_1 * w_2, w_1 * dw_2), eq(4 * w_1 * w_2 * dw_1**2, ratio * (w_star - w_1 * w_2)**2),
            Lt(ratio * w_t, 0), eq(s_end, beta / (1 + beta))),
    wrong=(Ge(ratio * w_t, 0), eq(dw_1 * w_2, -w_1 * dw_2), eq(s_end, beta / (2 + beta)),
           eq(2 * w_1 * w_2 * dw_1**2, ratio * (w_star - w_1 * w_2)**2)),
    values=stopped,
    points=True,
    tolerance=1e-5,
    missing={"certificate": "That a square is negative is no equation; square-net-balance certifies the kept "
                            "ratio."},
)

X, v = MatrixSymbol("X", o, d), MatrixSymbol("v", d, 1)
WIDE = Theorem(
    name="wide-nets-pass",
    title="Wide networks pass singular W: where W v = 0, the layer moves W v by W* v",
    equations=("10", "18"),
    given="A has a right inverse R and B a left inverse S, whatever the rank of W.",
    assumes=(*WIDE_LAYER, *FACTORS, GRADIENT, eq(Z, Wstar - W), eq(W * v, ZeroMatrix(o, 1)),
             invertible(Sigma)),
    claims=(eq(A * Pinv(E) * G * Pinv(C) * B * v, Wstar * v),),
    wrong=(eq(A * Pinv(E) * G * Pinv(C) * B * v, ZeroMatrix(o, 1)), eq(A * G * B * v, Wstar * v),
           eq(A * Pinv(E) * G * Pinv(C) * B * v, -Wstar * v)),
    recipes={R: Pinv(A), S: Pinv(B), W: X * (Identity(d) - v * Pinv(v))},
    sizes={n: 3, m: 3},
    points=True,
)

dW = MatrixSymbol("dW", o, d)


def passed(draw: Draw) -> Mapping[Expr, object]:
    """Flow of W under −F⁺∇ at a singular W_2, in float64 past t*; and Z as (18) predicts it."""
    net = Net((2, 2, 2), draw)
    if net.exact:
        net.W[1] = net.generic(2, 1) @ net.generic(1, 2)
        return {dW: net.exact_flow(), Z: net.Z}
    b = crossing(net, draw)
    time, begin = 1.5 * -np.log(-b / (1 - b)), net.Z
    follow(net, minimal_speed, time)
    return {dW: net.exact_flow(), Z: np.exp(-time) * begin}


PASSES = Theorem(
    name="moore-penrose-passes",
    title="Under F⁺ the same starts pass t* and keep following dW/dt = W* − W",
    equations=("18", "23"),
    given="Sizes (2, 2, 2). Exactly: W_2 of rank 1. In float64: at 1.5 t*, on the weights' own path from "
          "W(0).",
    claims=(eq(dW, Z),),
    wrong=(eq(dW, -Z), eq(dW, 2 * Z), eq(dW, Z.T)),
    values=passed,
    points=True,
    tolerance=1e-6,
    missing={"certificate": "The pseudo-inverse of all of F is no word in one layer's letters; tangent-full "
                            "is the proof."},
)

THEOREMS = (CROSSES, BALANCE, STOPS, WIDE, PASSES)
