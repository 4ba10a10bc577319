"""Steps of finite size: which generalized inverse was used shows from order α² on, or not at all.

`D_j`, `D_i` are the updates of two layers j = i + 1, already times α.
"""
from __future__ import annotations

from collections.abc import Mapping

from scipy.linalg import fractional_matrix_power
from sympy import Eq, Expr, Identity, MatMul, MatrixSymbol, Ne, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import Pinv
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import (
    NEIGHBOURS,
    WIDE_LAYER,
    A,
    A_i,
    A_j,
    B,
    R,
    S,
    W,
    W_i,
    W_j,
    Wstar,
    Z,
    d,
    m,
    m_i,
    n,
    n_i,
    n_j,
    o,
)
from ngdsym.theorems.paths import minimal_speed
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

D_i, D_j = MatrixSymbol("D_i", n_i, m_i), MatrixSymbol("D_j", n_j, n_i)
E_i, E_j = MatrixSymbol("E_i", n_i, m_i), MatrixSymbol("E_j", n_j, n_i)
V_j, C_j = MatrixSymbol("V_j", n_j, n_i), MatrixSymbol("C_j", n_i, d)
T, X, Y, Q = MatrixSymbol("T", n_i, n_i), *(MatrixSymbol(name, n_i, d) for name in "XYQ")

ORDERS = Theorem(
    name="step-orders",
    title="To first order in α a step moves W along the flow; what is left over is of order α² and depends "
          "on the rule",
    equations=("17",),
    given="V_j is a layer W_j moved by D_j; C_j a product X moved by Y to first order and Q beyond: Y and "
          "D_j are O(α), "
          "Q is O(α²), so the second bracket is O(α²). Two layers have Q = 0.",
    assumes=(eq(V_j, W_j + D_j), eq(C_j, X + Y + Q)),
    claims=(eq(V_j * C_j, W_j * X + (D_j * X + W_j * Y) + (D_j * Y + W_j * Q + D_j * Q)),),
    wrong=(eq(V_j * C_j, W_j * X + (D_j * X + W_j * Y) + W_j * Q + D_j * Q),
           eq(V_j * C_j, W_j * X + (D_j * X - W_j * Y) + (D_j * Y + W_j * Q + D_j * Q)),
           eq(V_j * C_j, W_j * X + D_j * X + (D_j * Y + W_j * Q + D_j * Q))),
)

SAME_FLOW = Theorem(
    name="step-difference",
    title="Two rules with the same flow differ after one step by D_j D_i − E_j E_i alone",
    equations=("17", "23"),
    given="Two layers. The second claim names the difference: updates that differ in a direction T the map "
          "cannot see "
          "(gauge-directions) are off by the products of T with what the other layer does.",
    assumes=(eq(W_j * D_i + D_j * W_i, W_j * E_i + E_j * W_i), eq(E_j, D_j + W_j * T),
             eq(E_i, D_i - T * W_i)),
    claims=(eq((W_j + D_j) * (W_i + D_i) - (W_j + E_j) * (W_i + E_i), D_j * D_i - E_j * E_i),
            eq(D_j * D_i - E_j * E_i, D_j * T * W_i - W_j * T * D_i + W_j * T * T * W_i)),
    wrong=(eq((W_j + D_j) * (W_i + D_i), (W_j + E_j) * (W_i + E_i)), eq(D_j * D_i, E_j * E_i),
           eq((W_j + D_j) * (W_i + D_i) - (W_j + E_j) * (W_i + E_i), E_j * E_i - D_j * D_i),
           eq(D_j * D_i - E_j * E_i, D_j * T * W_i - W_j * T * D_i)),
)

V = MatrixSymbol("V", n, m)
D, F, MOVED_D, MOVED_F = (MatrixSymbol(name, o, d) for name in ("D", "F", "D_2", "F_2"))


def steps(draw: Draw) -> Mapping[Expr, object]:
    """First and second order of a step with (10) and with −F⁺∇, in a wide network of two layers."""
    net = Net((2, 3, 2), draw)
    paper, minimal = net.paper_updates(), minimal_speed(net)
    return {D: net.flow_of(paper), F: net.flow_of(minimal), MOVED_D: paper[1] @ paper[0],
            MOVED_F: minimal[1] @ minimal[0], Z: net.Z}


INVERSE_SHOWS = Theorem(
    name="inverse-shows-at-second-order",
    title="(23) and F⁺ move W alike to first order, differently to second",
    equations=("10", "23"),
    given="Sizes (2, 3, 2). D, F: first orders; D_2, F_2: second orders of a step with (10) and with −F⁺∇.",
    claims=(eq(D, F), eq(D, Z), Ne(MOVED_D, MOVED_F)),
    wrong=(eq(MOVED_D, MOVED_F), Ne(D, F), eq(D, -Z)),
    values=steps,
    points=True,
    missing={"certificate": COUNTEREXAMPLE + " Its first half is layer-flow."},
)

ONE_LAYER = Theorem(
    name="one-layer-lands",
    title="A component moved in one layer only has no error of higher order: R Z S in layer i alone lands W "
          "on W*",
    equations=("17", "18"),
    given="A_i has a right inverse R and B_i a left inverse S; W = A_i V B_i and Z = W* − W.",
    assumes=(*WIDE_LAYER, eq(W, A * V * B), eq(Z, Wstar - W)),
    claims=(eq(A * (V + R * Z * S) * B, Wstar),),
    wrong=(eq(A * (V + R * Z * S) * B, W), eq(A * (V - R * Z * S) * B, Wstar),
           eq(A * (V + A.T * Z * B.T) * B, Wstar)),
    recipes={R: Pinv(A), S: Pinv(B)},
    sizes={n: 3, m: 3},
    points=True,
)

K, Kpower = MatrixSymbol("K", o, o), MatrixSymbol("K_i", o, o)
H_j = MatrixSymbol("H_j", n_j, o)


def retracted(L: int) -> tuple[tuple[Eq, ...], tuple[Eq, ...]]:
    """A_i V_i = K A_i W_i in every layer and C_i = V_i ⋯ V_1; the claim is C_L = K^L W."""
    sizes = [d, *(Symbol(f"n_{i}") for i in range(1, L)), o]
    above, old, moved = ([MatrixSymbol(f"{x}_{i}", rows, cols) for i, (rows, cols) in enumerate(shapes, 1)]
                         for x, shapes in (("A", [(o, k) for k in sizes[1:]]),
                                           ("W", list(zip(sizes[1:], sizes))),
                                           ("V", list(zip(sizes[1:], sizes)))))
    products = [moved[0], *(MatrixSymbol(f"C_{i}", sizes[i], d) for i in range(2, L + 1))]
    maps = [W, *above]
    assumes = [eq(above[-1], Identity(o))]
    for i in range(L):
        assumes += [eq(maps[i], MatMul(above[i], old[i])),
                    eq(MatMul(above[i], moved[i]), MatMul(K, above[i], old[i]))]
        assumes += [eq(products[i], MatMul(moved[i], products[i - 1]))] if i else []
    return tuple(assumes), (eq(products[-1], MatMul(*[K] * L, W)),)


TELESCOPES = Theorem(
    name="retraction-telescopes",
    title="W_i ← A_i⁻¹ K A_i W_i in every layer, with the A_i from before the step, makes W ← K^L W",
    equations=("9",),
    given="Step, j = i + 1: after the layers up to i the map is A_i C_j = K^i W, K_i = K^i and C_j the "
          "product of the new "
          "weights; V_j is the new W_j and H_j a right inverse of A_j. At depth L, used of V_i is A_i V_i = "
          "K A_i W_i.",
    assumes=(NEIGHBOURS[0], eq(A_i * C_j, Kpower * W), eq(A_j * H_j, Identity(o)),
             eq(V_j, H_j * K * A_j * W_j)),
    claims=(eq(A_j * V_j * C_j, K * Kpower * W),),
    wrong=(eq(A_j * V_j * C_j, Kpower * W), eq(A_j * V_j * C_j, -K * Kpower * W),
           eq(A_j * V_j * C_j, Kpower * K * W), eq(A_j * W_j * C_j, K * Kpower * W)),
    recipes={H_j: Pinv(A_j), W: Pinv(Kpower) * A_i * C_j},
    sizes={n_j: 3},
    points=True,
    instances=retracted,
)

L = 3
W_new = MatrixSymbol("W_new", o, d)


def landed(draw: Draw) -> Mapping[Expr, object]:
    """Weights of a (2, 2, 2, 2) network moved by K = (W* W⁻¹)^{1/3}, in exact numbers W* = K³ W."""
    net = Net((2, 2, 2, 2), draw)
    start = net.product(1, L)
    root = net.generic(2, 2)
    target = root @ root @ root @ start
    if not net.exact:
        target = (root @ root.T + net.eye(2)) @ start
        root = fractional_matrix_power(target @ net.inv(start), 1 / L)
    net.W = [net.inv(net.A(i)) @ root @ net.A(i) @ net.W[i - 1] for i in net.layers]
    return {K: root, W: start, Wstar: target, W_new: net.product(1, L)}


LANDS = Theorem(
    name="retraction-lands",
    title="With K = (W* W⁻¹)^{α/L} the step is W ← (W* W⁻¹)^α W: α = 1 lands on W* with no discretization "
          "error",
    equations=("18",),
    given="Sizes (2, 2, 2, 2), α = 1. The principal power K is real unless W* W⁻¹ has an eigenvalue "
          "b ≤ 0, where (10) gets stuck as well.",
    claims=(eq(W_new, Wstar), eq(K * K * K * W, Wstar)),
    wrong=(eq(W_new, W), eq(W_new, K * K * W), eq(K * K * K * K * W, Wstar), eq(W_new, -Wstar)),
    values=landed,
    points=True,
    missing={"certificate": "A root of a matrix is no word; retraction-telescopes is the certified part."},
)

THEOREMS = (ORDERS, SAME_FLOW, INVERSE_SHOWS, ONE_LAYER, TELESCOPES, LANDS)
