"""Section 4: the flow when factors are pseudo-inverted (Eq. 19, SM 45), and where it is not natural."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from sympy import Expr, MatrixSymbol, Ne, ZeroMatrix

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import Pinv
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
    I_d,
    I_o,
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
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

K, T = MatrixSymbol("K", n, o), MatrixSymbol("T", d, m)
LEFT = A * Pinv(E) * A.T * P
RIGHT = Sigma * B.T * Pinv(C) * B
ADJOINT = (eq(A * K * A, A), eq((P * A * K).T, P * A * K), eq(B * T * B, B),
           eq((T * B * Sigma).T, T * B * Sigma))
MADE = {K: Pinv(E) * A.T * P, T: Sigma * B.T * Pinv(C)}
NARROW = {n: 1, m: 1, o: 2, d: 2}
V = MatrixSymbol("W_i", n, m)
GIVEN = "K is the Σ̃⁻¹-adjoint inverse of A_i and T the Σ-adjoint inverse of B_i, whatever their ranks."

PROJECTORS = Theorem(
    name="layer-projectors",
    title="P_i^a = A Λ̃⁺ Aᵀ Σ̃⁻¹ and P_i^b = Σ Bᵀ Λ⁺ B project onto range(A_i) and row(B_i), orthogonally "
          "in their metrics",
    equations=("19", "SM 45"),
    given=GIVEN,
    assumes=(*FACTORS, *ADJOINT, invertible(Sigma)),
    claims=(eq(LEFT * A, A), eq(LEFT * LEFT, LEFT), eq(A.T * P * (I_o - LEFT), ZeroMatrix(n, o)),
            eq(B * RIGHT, B), eq(RIGHT * RIGHT, RIGHT), eq((I_d - RIGHT) * Sigma * B.T, ZeroMatrix(d, m))),
    wrong=(eq(LEFT * A, -A), eq(LEFT, LEFT.T), eq(RIGHT, RIGHT.T), eq(RIGHT * RIGHT, 2 * RIGHT),
           eq(A * Pinv(E) * A.T * A, A), eq(A.T * (I_o - LEFT), ZeroMatrix(n, o))),
    recipes=MADE,
    sizes=NARROW,
    points=True,
)

WIDE = Theorem(
    name="projectors-trivial-when-wide",
    title="P_i^a = I when no later layer is narrower than the output, P_i^b = I when no earlier one is than "
          "the input",
    equations=("19",),
    given="A_i has a right inverse R, B_i a left inverse S.",
    assumes=(*WIDE_LAYER, *FACTORS, invertible(Sigma)),
    claims=(eq(LEFT, I_o), eq(RIGHT, I_d)),
    wrong=(eq(LEFT, 2 * I_o), eq(A * A.T, I_o), eq(Sigma * B.T * C * B, I_d)),
    recipes={R: Pinv(A), S: Pinv(B)},
    sizes={n: 3, m: 3},
    points=True,
)

FLOW = Theorem(
    name="pseudo-inverse-flow",
    title="Each layer moves W by (P_i^a W* P_i^b − W)/L under Eq. 10 with pseudo-inverses",
    equations=("19", "SM 45"),
    given=GIVEN + " The sum over layers with 1/L is Eq. 19.",
    assumes=(*FACTORS, *ADJOINT, GRADIENT, eq(W, A * V * B), eq(Z, Wstar - W), invertible(Sigma)),
    claims=(eq(A * Pinv(E) * G * Pinv(C) * B, LEFT * Wstar * RIGHT - W),),
    wrong=(eq(A * Pinv(E) * G * Pinv(C) * B, LEFT * Wstar * RIGHT + W),
           eq(A * Pinv(E) * G * Pinv(C) * B, Wstar - W),
           eq(A * Pinv(E) * G * Pinv(C) * B, LEFT.T * Wstar * RIGHT - W),
           eq(A * Pinv(E) * G * Pinv(C) * B, LEFT * Wstar - W)),
    recipes=MADE,
    sizes=NARROW,
    points=True,
)

PAPER, EXACT = MatrixSymbol("dW_paper", o, d), MatrixSymbol("dW_exact", o, d)


def flows(*sizes: int) -> Callable[[Draw], Mapping[Expr, object]]:
    """Flows of W under (10) with pseudo-inverses and under −F⁺∇, from dense matrices."""
    def values(draw: Draw) -> Mapping[Expr, object]:
        net = Net(sizes, draw)
        return {PAPER: net.flow_of(net.paper_updates()), EXACT: net.exact_flow(), Z: net.Z, Wstar: net.Wstar,
                W: net.Wstar - net.Z, A: net.W[-1], B: net.W[0], P: net.P, Sigma: net.Sigma,
                Sigma_tilde: net.Sigma_tilde, E: net.error_covariance(1), C: net.input_covariance(net.L)}
    return values


FALSE_BOTTLENECK = Theorem(
    name="pseudo-inverse-flow-not-natural",
    title="In a bottleneck Eq. 19 is not the natural gradient",
    equations=("19",),
    given="Sizes (2, 1, 2).",
    claims=(Ne(PAPER, EXACT),),
    wrong=(Ne(LEFT * Z + Z * RIGHT - LEFT * Z * RIGHT, EXACT),
           Ne(LEFT * Wstar + Wstar * RIGHT - 2 * W, 2 * PAPER)),
    values=flows(2, 1, 2),
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

NARROWING = Theorem(
    name="narrowing-flow",
    title="A merely narrowing net still follows dW/dt = W* − W, though Eq. 19 does not",
    equations=("18", "19"),
    given="Sizes (3, 2, 1): r = n_L.",
    claims=(eq(EXACT, Z), Ne(PAPER, Z)),
    wrong=(eq(EXACT, -Z), eq(PAPER, Z), Ne(EXACT, Z), eq(EXACT, PAPER)),
    values=flows(3, 2, 1),
    points=True,
    missing={"certificate": "The second half is a counterexample; tangent-full certifies the first."},
)

THEOREMS = (PROJECTORS, WIDE, FLOW, FALSE_BOTTLENECK, NARROWING)
