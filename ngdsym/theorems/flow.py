"""Section 4: the flow of the end-to-end map W under the natural gradient (Eqs. 10, 16–18)."""
from __future__ import annotations

from sympy import Eq, MatrixSymbol

from ngdsym.symbols import Pinv
from ngdsym.theorem import Theorem
from ngdsym.theorems.notation import A, B, C, E, I_d, I_o, P, Sigma, Sigma_tilde, W, Wstar, Z, d, invertible, m, n, o

R = MatrixSymbol("R", n, o)
S = MatrixSymbol("S", d, m)

FLOW = Theorem(
    name="layer-flow",
    title="Each layer moves W by Z/L: A_i Λ̃_i⁺ G_i Λ_{i-1}⁺ B_i = W* − W",
    equations=("10", "17", "18"),
    given="A_i has a right inverse R and B_i a left inverse S: no hidden layer is narrower than input or output.",
    assumes=(Eq(A * R, I_o), Eq(S * B, I_d), Eq(E, A.T * P * A), Eq(C, B * Sigma * B.T), Eq(Z, Wstar - W),
             invertible(Sigma)),
    claims=(Eq(A * Pinv(E) * A.T * P * Z * Sigma * B.T * Pinv(C) * B, Wstar - W),),
    wrong=(
        Eq(A * Pinv(E) * A.T * P * Z * Sigma * B.T * Pinv(C) * B, W - Wstar),
        Eq(A * E * A.T * P * Z * Sigma * B.T * Pinv(C) * B, Wstar - W),
        Eq(A * Pinv(E) * A.T * Sigma_tilde * Z * Sigma * B.T * Pinv(C) * B, Wstar - W),
        Eq(A * Pinv(E) * A.T * P * Z * Sigma * B.T * Pinv(C) * B, 2 * (Wstar - W)),
    ),
    recipes={R: Pinv(A), S: Pinv(B)},
    sizes={n: 3, m: 3, o: 2, d: 2},
    points=True,
)

THEOREMS = (FLOW,)
