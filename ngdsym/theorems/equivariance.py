"""Which changes of variables an update rule survives: all of them, rotations, or scalings (Eqs. 10, 20).

Neurons of layer i are replaced by T times themselves, so W_i becomes T_i W_i T_{i-1}⁻¹. `T` acts on the layer
written into, `U` on the layer read from.
"""
from __future__ import annotations

from sympy import Identity, Inverse, MatrixSymbol, Ne, Symbol
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.theorems.notation import A, B, C, E, G, P, Sigma, Z, d, m, n, o
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

T, U = MatrixSymbol("T", n, n), MatrixSymbol("U", m, m)
A_T, B_U, G_T = MatrixSymbol("A_T", o, n), MatrixSymbol("B_U", m, d), MatrixSymbol("G_T", n, m)
E_T, C_U = PSD("Lambdatilde_T", n, n), PSD("Lambda_U", m, m)
CHANGED = (eq(A_T, A * Inverse(T)), eq(B_U, U * B))
TRANSFORMED = (eq(E_T, Inverse(T).T * E * Inverse(T)), eq(C_U, U * C * U.T), eq(G_T, Inverse(T).T * G * U.T))
ROTATED = (eq(E_T, T * E * T.T), eq(C_U, U * C * U.T), eq(G_T, T * G * U.T))
ORTHOGONAL = (eq(T * T.T, Identity(n)), eq(T.T * T, Identity(n)),
              eq(U * U.T, Identity(m)), eq(U.T * U, Identity(m)))
s_n, s_m, s = MatrixSymbol("s_n", n, n), MatrixSymbol("s_m", m, m), Symbol("s", positive=True)


def rotation(size: Symbol, name: str) -> MatrixExpr:
    """A generic rotation (Cayley 1846)."""
    skew = MatrixSymbol(name, size, size) - MatrixSymbol(name, size, size).T
    return (Identity(size) - skew) * Inverse(Identity(size) + skew)


def singular(name: str, size: Symbol) -> MatrixExpr:
    """A positive semidefinite matrix of rank 1."""
    column = MatrixSymbol(name, size, 1)
    return column * column.T


ROTATIONS = {T: rotation(n, "T_0"), U: rotation(m, "U_0")}

FACTORS = Theorem(
    name="factors-transform",
    title="Λ̃ becomes T⁻ᵀ Λ̃ T⁻¹, Λ becomes U Λ Uᵀ and G becomes T⁻ᵀ G Uᵀ",
    equations=("14", "15"),
    given="The map W does not change: A_T (T W_i U⁻¹) B_U = A W_i B. G = Aᵀ Σ̃⁻¹ Z Σ Bᵀ.",
    assumes=CHANGED,
    claims=(eq(A_T.T * P * A_T, Inverse(T).T * (A.T * P * A) * Inverse(T)),
            eq(B_U * Sigma * B_U.T, U * (B * Sigma * B.T) * U.T),
            eq(A_T.T * P * Z * Sigma * B_U.T, Inverse(T).T * (A.T * P * Z * Sigma * B.T) * U.T),
            eq(A_T * (T * G * Inverse(U)) * B_U, A * G * B)),
    wrong=(eq(A_T.T * P * A_T, T * (A.T * P * A) * T.T),
           eq(B_U * Sigma * B_U.T, U.T * (B * Sigma * B.T) * U),
           eq(A_T * (T * G * U) * B_U, A * G * B),
           eq(A_T.T * P * Z * Sigma * B_U.T, -Inverse(T).T * (A.T * P * Z * Sigma * B.T) * U.T)),
    points=True,
)

STEP, STEP_T = Inverse(E) * G * Inverse(C), Inverse(E_T) * G_T * Inverse(C_U)
GENERAL = Theorem(
    name="covariant",
    title="Undamped, (10) is covariant under every invertible T: dW becomes T dW U⁻¹",
    equations=("10",),
    given="Factors and gradient transform as in factors-transform; Λ̃ and Λ are invertible.",
    assumes=TRANSFORMED,
    claims=(eq(STEP_T, T * STEP * Inverse(U)),),
    wrong=(eq(STEP_T, Inverse(T).T * STEP * U.T), eq(STEP_T, STEP), eq(STEP_T, -T * STEP * Inverse(U)),
           eq(G_T, T * G * Inverse(U))),
    points=True,
)

PSEUDO = Theorem(
    name="covariant-rotations-pseudo-inverse",
    title="With pseudo-inverses (10) is covariant under rotations",
    equations=("10", "19"),
    given="T and U are orthogonal, the factors may be singular.",
    assumes=(*ORTHOGONAL, *ROTATED),
    claims=(eq(Pinv(E_T) * G_T * Pinv(C_U), T * Pinv(E) * G * Pinv(C) * U.T),),
    wrong=(eq(Pinv(E_T) * G_T * Pinv(C_U), T.T * Pinv(E) * G * Pinv(C) * U),
           eq(Pinv(E_T) * G_T * Pinv(C_U), Pinv(E) * G * Pinv(C)),
           eq(Pinv(E_T) * G_T * Pinv(C_U), 2 * T * Pinv(E) * G * Pinv(C) * U.T)),
    recipes={**ROTATIONS, E: singular("e", n), C: singular("x", m)},
    sizes={n: 2, m: 2},
    points=True,
    scale=2,
)

DAMPED = Theorem(
    name="covariant-rotations-damped",
    title="With damping (20) is covariant under rotations",
    equations=("20",),
    given="s_n and s_m are √λ I, of which only is used that they commute with rotations.",
    assumes=(*ORTHOGONAL, *ROTATED, eq(T * s_n, s_n * T), eq(U * s_m, s_m * U)),
    claims=(eq(Inverse(E_T + s_n) * G_T * Inverse(C_U + s_m),
               T * Inverse(E + s_n) * G * Inverse(C + s_m) * U.T),),
    wrong=(eq(Inverse(E_T + s_n) * G_T * Inverse(C_U + s_m),
              T.T * Inverse(E + s_n) * G * Inverse(C + s_m) * U),
           eq(Inverse(E_T + s_n) * G_T * Inverse(C_U + s_m), Inverse(E + s_n) * G * Inverse(C + s_m)),
           eq(Inverse(E_T + s_n) * G_T * Inverse(C_U + s_m),
              -T * Inverse(E + s_n) * G * Inverse(C + s_m) * U.T)),
    recipes={**ROTATIONS, s_n: s * Identity(n), s_m: s * Identity(m)},
    sizes={n: 2, m: 2},
    points=True,
)

t, X = MatrixSymbol("t", n, n), PSD("X", n, n)
SCALINGS = Theorem(
    name="covariant-scalings-pseudo-inverse",
    title="Pseudo-inverses survive scalings: (t Λ̃ t)⁺ = t⁻¹ Λ̃⁺ t⁻¹",
    equations=("10", "19"),
    given="t is a scalar ≠ 0 times I, of which only is used that it commutes with Λ̃ and Λ̃⁺. "
          "X satisfies the four equations that define the pseudo-inverse of t Λ̃ t.",
    assumes=(eq(X, Inverse(t) * Pinv(E) * Inverse(t)), eq(t * E, E * t), eq(t * Pinv(E), Pinv(E) * t)),
    claims=(eq((t * E * t) * X * (t * E * t), t * E * t), eq(X * (t * E * t) * X, X),
            eq((t * E * t) * X, ((t * E * t) * X).T), eq(X * (t * E * t), (X * (t * E * t)).T)),
    wrong=(eq((t * E * t) * X * (t * E * t), E), eq(X * E * X, X), eq((t * E * t) * X, (t * X).T),
           eq((t * E * t) * X, -((t * E * t) * X).T)),
    recipes={t: s * Identity(n), E: singular("e", n)},
    points=True,
)

R = MatrixSymbol("R", n, n)
PSEUDO_FAILS = Theorem(
    name="pseudo-inverse-not-covariant",
    title="With pseudo-inverses (10) is not covariant under general T: (T⁻ᵀ Λ̃ T⁻¹)⁺ ≠ T Λ̃⁺ Tᵀ",
    equations=("10", "19"),
    given="Λ̃ of rank 1.",
    claims=(Ne(Pinv(Inverse(T).T * E * Inverse(T)), T * Pinv(E) * T.T),),
    wrong=(Ne(Pinv(Inverse(T).T * (E + Identity(n)) * Inverse(T)), T * Pinv(E + Identity(n)) * T.T),
           Ne(Pinv(R * E * R.T), R * Pinv(E) * R.T), Ne(Pinv(4 * E), Pinv(E) / 4)),
    recipes={E: singular("e", n), R: rotation(n, "R_0")},
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

DAMPED_FAILS = Theorem(
    name="damping-not-covariant",
    title="With damping (20) is not even covariant under scalings: (4 Λ̃ + √λ I)⁻¹ ≠ (Λ̃ + √λ I)⁻¹ / 4",
    equations=("20",),
    given="T = I/2, so that Λ̃ becomes 4 Λ̃; s = √λ.",
    claims=(Ne(Inverse(4 * E + s * Identity(n)), Inverse(E + s * Identity(n)) / 4),),
    wrong=(Ne(Inverse(4 * E + 4 * s * Identity(n)), Inverse(E + s * Identity(n)) / 4),
           Ne(Inverse(T * E * T.T + s * Identity(n)), T * Inverse(E + s * Identity(n)) * T.T)),
    recipes={T: rotation(n, "T_0")},
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

THEOREMS = (FACTORS, GENERAL, PSEUDO, DAMPED, SCALINGS, PSEUDO_FAILS, DAMPED_FAILS)
