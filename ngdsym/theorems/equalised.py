"""Gradients made equally long in all directions, in the metric of the factors."""
from __future__ import annotations

from sympy import Identity, Inverse, MatrixSymbol, Symbol

from ngdsym.algebra.symbols import PD
from ngdsym.theorems.theorem import Theorem, eq
from ngdsym.theorems.equivariance import rotation
from ngdsym.theorems.notation import invertible, n

E, C, U, V, R = (PD(name, n, n) for name in ("Lambda_tilde", "Lambda", "U", "V", "R"))
G, Q = MatrixSymbol("G", n, n), rotation(n, "Q_0")
H = U * G * V
STEP = U * H * R * V

EQUAL = Theorem(
    name="equalised-gradient",
    title="A whitened gradient times (G̃ᵀG̃)^−½ is orthogonal: the step is as long in every direction, from both sides",
    equations=("10",),
    given="U = Λ̃^−½, V = Λ^−½, G̃ = U G V, R = (G̃ᵀG̃)^−½ and ΔW = U G̃ R V: the rule fisher_shampoo with nothing but the "
          "present gradient in its memory. A layer with as many inputs as outputs, so G has an inverse.",
    assumes=(eq(U * E * U, Identity(n)), eq(V * C * V, Identity(n)), eq(R * H.T * H * R, Identity(n)), invertible(G)),
    claims=(eq(STEP.T * E * STEP, Inverse(C)), eq(STEP * C * STEP.T, Inverse(E))),
    wrong=(eq(STEP.T * E * STEP, C), eq(STEP.T * STEP, Inverse(C)),
           eq(STEP.T * E * STEP, -Inverse(C)), eq(STEP.T * C * STEP, Inverse(E)),
           eq((U * H * V).T * E * (U * H * V), Inverse(C))),
    recipes={E: Inverse(U) * Inverse(U), C: Inverse(V) * Inverse(V), G: Inverse(U) * Q * Inverse(R) * Inverse(V)},
)

SPREAD = Theorem(
    name="equalised-like-the-factors",
    title="If whitened gradients have no preferred direction, equalising them leaves the natural gradient as it is",
    equations=("10",),
    given="As in equalised-gradient, with R = r, a multiple of the identity, which moves past other letters.",
    assumes=(eq(U * E * U, Identity(n)), eq(V * C * V, Identity(n)), eq(R * V, V * R)),
    claims=(eq(STEP, Inverse(E) * G * Inverse(C) * R),),
    wrong=(eq(STEP, Inverse(E) * G * Inverse(C)), eq(STEP, -Inverse(E) * G * Inverse(C) * R), eq(STEP, U * G * V * R)),
    recipes={E: Inverse(U) * Inverse(U), C: Inverse(V) * Inverse(V), R: Symbol("r", positive=True) * Identity(n)},
)

THEOREMS = (EQUAL, SPREAD)
