"""The flow of Muon on a deep linear network: every mode moves at the same speed."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sympy import Expr, Identity, MatrixSymbol, Symbol

from ngdsym.algebra.symbols import PD
from ngdsym.theorems.equivariance import rotation
from ngdsym.theorems.theorem import Theorem, eq

n = Symbol("n", integer=True, positive=True)
U, V, Q, Z, W_1, W_2, D_1, D_2 = (MatrixSymbol(name, n, n) for name in ("U", "V", "Q", "Z", "W_1", "W_2", "D_1", "D_2"))
S, S_1, S_2 = (PD(name, n, n) for name in ("S", "S_1", "S_2"))
G_1, G_2 = W_2.T * Z, Z * W_1.T
ORTHOGONAL = [eq(left, Identity(n)) for R in (U, V, Q) for left in (R.T * R, R * R.T)]


def modes(draw: Callable[[], Any]) -> Mapping[Expr, Any]:
    """Positive diagonal S, S_1, S_2 of two modes."""
    zero = draw() * 0
    return {letter: np.array([[draw() * draw() + 1 if a == b else zero for b in range(2)] for a in range(2)])
            for letter in (S, S_1, S_2)}


FLOW = Theorem(
    name="muon-flow",
    title="Muon moves every aligned mode of a layer at speed one: its layers keep the differences of singular values",
    equations=("17",),
    given="Σ = Σ̃ = I, two aligned layers W_2 = U S_2 Qᵀ, W_1 = Q S_1 Vᵀ, Z = U S Vᵀ with positive diagonal S, S_1, "
          "S_2, "
          "which commute. First two claims: D_1 = Q Vᵀ and D_2 = U Qᵀ, orthogonal, are the polar factors of the "
          "gradients, as "
          "D_iᵀ G_i is symmetric positive. Then W moves by S_1 + S_2 in every mode whatever S is, and S_2 − S_1 is "
          "kept, "
          "where gradient descent keeps S_2² − S_1² (balance-is-conserved). Near arXiv 2606.30509 and 2603.00742.",
    assumes=(*ORTHOGONAL, eq(Z, U * S * V.T), eq(W_2, U * S_2 * Q.T), eq(W_1, Q * S_1 * V.T), eq(D_1, Q * V.T),
             eq(D_2, U * Q.T), eq(S * S_1, S_1 * S), eq(S * S_2, S_2 * S)),
    claims=(eq(D_1.T * G_1, V * S_2 * S * V.T), eq(D_2.T * G_2, Q * S * S_1 * Q.T),
            eq(W_2 * D_1 + D_2 * W_1, U * (S_1 + S_2) * V.T), eq(U.T * D_2 * Q, Q.T * D_1 * V)),
    wrong=(eq(D_1.T * G_1, V * S_1 * S * V.T), eq(W_2 * D_1 + D_2 * W_1, Z), eq(U.T * D_2 * Q, -Q.T * D_1 * V),
           eq(W_2 * D_1 + D_2 * W_1, U * (S_1 - S_2) * V.T)),
    recipes={letter: rotation(n, f"{letter}_0") for letter in (U, V, Q)},
    values=modes,
    points=True,
    scale=1,
)

THEOREMS = (FLOW,)
