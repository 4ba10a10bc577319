"""Gradients made equally long in all directions, in the metric of the factors."""
from __future__ import annotations

from sympy import Identity, Inverse, MatrixSymbol, Rational, Symbol

from ngdsym.algebra.symbols import PD
from ngdsym.theorems.equivariance import rotation
from ngdsym.theorems.notation import invertible, n
from ngdsym.theorems.theorem import Theorem, eq

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

G_1, G_2 = MatrixSymbol("G_1", n, n), MatrixSymbol("G_2", n, n)
MEAN = Theorem(
    name="equalised-in-expectation",
    title="If C is the mean of G̃ᵀG̃, the mean of (G̃ C^−½)ᵀ(G̃ C^−½) is I: on average all directions are equally long",
    equations=("10",),
    given="R = C^−½ and two gradients of equal weight, which the factor √½ is taken into. The rule fisher_shampoo "
          "with its memory; after arXiv 2602.09314.",
    assumes=(eq(C, G_1.T * G_1 + G_2.T * G_2), eq(R * C * R, Identity(n))),
    claims=(eq((G_1 * R).T * G_1 * R + (G_2 * R).T * G_2 * R, Identity(n)),),
    wrong=(eq((G_1 * R).T * G_1 * R + (G_2 * R).T * G_2 * R, C), eq((G_1 * R).T * G_1 * R, Identity(n)),
           eq((G_1 * R).T * G_1 * R - (G_2 * R).T * G_2 * R, Identity(n)),
           eq(G_1.T * G_1 + G_2.T * G_2, Identity(n))),
    recipes={C: Inverse(R) * Inverse(R), G_1: Rational(3, 5) * Q * Inverse(R), G_2: Rational(4, 5) * Q.T * Inverse(R)},
)

THEOREMS = (EQUAL, SPREAD, MEAN)
