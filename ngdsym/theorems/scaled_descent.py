"""Two layers: scaled gradient descent is K-FAC, twice Eq. 19, and overshoots by P_a Z P_b."""
from __future__ import annotations

from sympy import Inverse, MatrixSymbol, Rational, Symbol

from ngdsym.algebra.symbols import PD
from ngdsym.theorems.notation import P, Sigma, W, Wstar, Z, d, o
from ngdsym.theorems.theorem import Theorem, eq

r = Symbol("r", integer=True, positive=True)
X, Y = MatrixSymbol("W_2", o, r), MatrixSymbol("W_1", r, d)
E, C = PD("Lambda_tilde", r, r), PD("Lambda", r, r)
a, b = MatrixSymbol("P_a", o, o), MatrixSymbol("P_b", d, d)
LAYERS = (eq(E, X.T * P * X), eq(C, Y * Sigma * Y.T), eq(a, X * Inverse(E) * X.T * P),
          eq(b, Sigma * Y.T * Inverse(C) * Y), eq(Z, Wstar - W), eq(W, X * Y))
MOVED = X * (Inverse(E) * X.T * P * Z) + (Z * Sigma * Y.T * Inverse(C)) * Y
TANGENT = a * Z + Z * b - a * Z * b

SCALED = Theorem(
    name="scaled-descent",
    title="Scaled gradient descent moves W by twice Eq. 19, and by P_a Z P_b more than the natural gradient",
    equations=("10", "19"),
    given="W = W_2 W_1 with factors of full rank r; dW_2 = Z Σ W_1ᵀ Λ⁻¹ and dW_1 = Λ̃⁻¹ W_2ᵀ Σ̃⁻¹ Z: each gradient "
          "divided by the other factor's Gram matrix (Tong, Ma & Chi 2021, for Σ = Σ̃ = I), which is K-FAC with two "
          "layers. The last claim is the natural gradient, P_a Z + Z P_b − P_a Z P_b.",
    assumes=LAYERS,
    claims=(eq(MOVED, 2 * (Rational(1, 2) * (a * Wstar + Wstar * b) - W)), eq(MOVED, TANGENT + a * Z * b)),
    wrong=(eq(MOVED, TANGENT), eq(MOVED, Rational(1, 2) * (a * Wstar + Wstar * b) - W),
           eq(MOVED, TANGENT - a * Z * b), eq(MOVED, 2 * TANGENT)),
    recipes={Wstar: MatrixSymbol("X_0", o, d)},
    sizes={o: 3, d: 3, r: 1},
    points=True,
)

THEOREMS = (SCALED,)
