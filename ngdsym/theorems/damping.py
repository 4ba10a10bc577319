"""Section 5: what √λ on both factors does to the step, to its prediction and to λ itself (Eqs. 20, 21)."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sympy import Ge, Identity, Inverse, KroneckerProduct, MatrixSymbol, Ne, Rational, Symbol, Trace
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PSD, lam
from ngdsym.rules.control import levenberg_marquardt, rho
from ngdsym.theorems.dense import Net
from ngdsym.theorems.generalized_inverse import any_inverse, p
from ngdsym.theorems.notation import C, E, G, m, n
from ngdsym.theorems.theorem import Theorem, eq

I_n, I_m = Identity(n), Identity(m)
s, pi, best = (Symbol(name, positive=True) for name in ("s", "pi", "pi_0"))
s_n, s_m, X = MatrixSymbol("s_n", n, n), MatrixSymbol("s_m", m, m), MatrixSymbol("X", n, m)
ROOTS = {s_n: s * I_n, s_m: s * I_m}
N, M = Inverse(E + s_n), Inverse(C + s_m)
SCALAR = "s_n and s_m are √λ I, of which only is used that "

LIMIT = Theorem(
    name="damping-tends-to-gradient-descent",
    title="λ times the damped step is the gradient up to terms like 1/√λ: (20) tends to SGD with small steps",
    equations=("20",),
    given=SCALAR + "they commute with the factors. N = (Λ̃ + √λ I)⁻¹ = I/√λ − Λ̃/λ + Λ̃NΛ̃/λ is the "
                   "second claim.",
    assumes=(eq(s_n * E, E * s_n), eq(s_m * C, C * s_m)),
    claims=(eq(s_n * (N * G * M) * s_m, G - E * N * G - G * M * C + E * N * G * M * C),
            eq(s_n * N * s_n, s_n - E + E * N * E)),
    wrong=(eq(s_n * (N * G * M) * s_m, G + E * N * G + G * M * C + E * N * G * M * C),
           eq(s_n * (N * G * M) * s_m, G), eq(s_n * N * s_n, s_n - E - E * N * E),
           eq(s_n * N * s_n, s_n - E)),
    recipes=ROOTS,
)


def remainders(draw: Draw) -> Mapping[MatrixExpr, object]:
    """Positive semidefinite factors."""
    roots = [np.array([[draw() for _ in range(2)] for _ in range(2)]) for _ in range(2)]
    return {E: roots[0] @ roots[0].T, C: roots[1] @ roots[1].T}


def squared(matrix: MatrixExpr) -> MatrixExpr:
    """Squared Frobenius norm."""
    return Trace(matrix * matrix.T)


R, REMAINDER = MatrixSymbol("R", n, m), s**2 * Inverse(E + s * I_n) * G * Inverse(C + s * I_m) - G
SQUARES = squared(E * G) + squared(G * C) + squared(E * G * C) / s**2
BOUND = Theorem(
    name="damping-remainder",
    title="The remainder is at most of size (‖Λ̃G‖ + ‖GΛ‖)/√λ + ‖Λ̃GΛ‖/λ",
    equations=("20",),
    given="Λ̃, Λ positive semidefinite, s = √λ, R = s² (Λ̃ + s I)⁻¹ G (Λ + s I)⁻¹ − G. "
          "Stated squared, with (a + b + c)² ≤ 3 (a² + b² + c²).",
    claims=(Ge(3 * SQUARES / s**2, squared(R)),),
    wrong=(Ge(squared(R), 3 * SQUARES / s**2), Ge(-3 * SQUARES / s**2, squared(R))),
    recipes={R: REMAINDER},
    values=remainders,
    points=True,
    missing={"certificate": "An inequality of traces is no equation; its terms: "
                            "damping-tends-to-gradient-descent."},
)

EXPANSION = Theorem(
    name="damping-expansion",
    title="√λ on both factors adds the cross terms √λ (Λ̃ X + X Λ) to λ X",
    equations=("20", "22"),
    given=SCALAR + "s_n X = X s_m.",
    assumes=(eq(s_n * X, X * s_m), eq(s_n * E, E * s_n)),
    claims=(eq((E + s_n) * X * (C + s_m), E * X * C + s_n * (E * X + X * C) + s_n * s_n * X),),
    wrong=(eq((E + s_n) * X * (C + s_m), E * X * C + s_n * s_n * X),
           eq((E + s_n) * X * (C + s_m), E * X * C + s_n * (E * X - X * C) + s_n * s_n * X),
           eq((E + s_n) * X * (C + s_m), E * X * C + s_n * (E * X + X * C) + s_n * X)),
    recipes=ROOTS,
)

KRONECKER = KroneckerProduct(C + s * I_m, E + s * I_n)
NOT_TIKHONOV = Theorem(
    name="damping-is-not-tikhonov",
    title="√λ on both factors is not λ on F: Λ ⊗ Λ̃ + √λ (Λ ⊗ I + I ⊗ Λ̃) + λ I ≠ Λ ⊗ Λ̃ + λ I",
    equations=("20", "22"),
    given="s = √λ.",
    claims=(eq(KRONECKER, KroneckerProduct(C, E) + s * (KroneckerProduct(C, I_n) + KroneckerProduct(I_m, E))
               + s**2 * KroneckerProduct(I_m, I_n)),
            Ne(KRONECKER, KroneckerProduct(C, E) + s**2 * KroneckerProduct(I_m, I_n))),
    wrong=(eq(KRONECKER, KroneckerProduct(C, E) + s**2 * KroneckerProduct(I_m, I_n)),
           eq(KRONECKER, KroneckerProduct(C, E) + s * (KroneckerProduct(C, I_n) - KroneckerProduct(I_m, E))
              + s**2 * KroneckerProduct(I_m, I_n)),
           eq(KRONECKER, KroneckerProduct(E + s * I_n, C + s * I_m))),
    missing={"certificate": "A Kronecker product is no word in its factors; its action is in "
                            "damping-expansion."},
)


def shares(draw: Draw) -> Mapping[MatrixExpr, object]:
    """Factors of sizes 2 and 3, scaled so that the best π is a drawn number; another π, and s = √λ."""
    roots = [np.array([[draw() for _ in range(k)] for _ in range(k)]) for k in (2, 3)]
    tilde, plain = (root @ root.T for root in roots)
    values = {name: abs(draw()) for name in (s, pi, best)}
    return {**values, E: tilde, C: plain * (np.trace(tilde) * 3 * values[best] ** 2 / (np.trace(plain) * 2))}


def cross(split: Symbol) -> MatrixExpr:
    """Trace of what π √λ on Λ and √λ/π on Λ̃ add beyond Λ ⊗ Λ̃ + λ I."""
    damped = KroneckerProduct(C + split * s * I_m, E + s / split * I_n)
    return Trace(damped) - Trace(KroneckerProduct(C, E)) - s**2 * Trace(KroneckerProduct(I_m, I_n))


SHARE = Theorem(
    name="best-share-of-damping",
    title="π² = (tr Λ / n_{i-1}) / (tr Λ̃ / n_i) minimises the trace of the cross terms",
    equations=("20",),
    given="Martens & Grosse 2015. π_0 satisfies the equation in the title, π is any other; s = √λ.",
    claims=(eq(Trace(I_n) * Trace(C), best**2 * Trace(I_m) * Trace(E)),
            eq(cross(pi) - cross(best), s * Trace(I_m) * Trace(E) * (pi - best)**2 / pi),
            Ge(cross(pi), cross(best))),
    wrong=(eq(Trace(I_m) * Trace(C), best**2 * Trace(I_n) * Trace(E)), Ge(cross(best), cross(pi)),
           eq(cross(pi) - cross(best), -s * Trace(I_m) * Trace(E) * (pi - best)**2 / pi)),
    values=shares,
    points=True,
    missing={"certificate": "A trace of a Kronecker product is no word in the matrices."},
)

F, J, K, g, a = PSD("F", p, p), *(MatrixSymbol(name, *shape) for name, shape in (
    ("J", (1, p)), ("K", (p, p)), ("g", (p, 1)), ("alpha", (1, 1))))
D = K * g
half = Rational(1, 2)
PREDICTED = Theorem(
    name="predicted-decrease",
    title="A fraction α of the natural gradient Δ changes the quadratic model by (−α + α²/2) gᵀΔ",
    equations=("20",),
    given="Footnote 1. Δ = K g, K any generalized inverse of F, g in the range of F, α a 1 × 1 matrix.",
    assumes=(eq(F * K * F, F), eq(g, F * MatrixSymbol("v", p, 1))),
    claims=(eq(-a * g.T * D + half * a * a * D.T * F * D, (-a + half * a * a) * g.T * D),),
    wrong=(eq(-a * g.T * D + half * a * a * D.T * F * D, (-a + a * a) * g.T * D),
           eq(-a * g.T * D + half * a * a * D.T * F * D, (-a + half * a * a) * g.T * D * a),
           eq(-a * g.T * D + half * a * a * D.T * F * D, (a - half * a * a) * g.T * D)),
    recipes={F: J.T * J, K: any_inverse(F, MatrixSymbol("U", p, p))},
    points=True,
)

actual, alpha, slope = (Symbol(name) for name in ("actual", "alpha", "slope"))
Delta = MatrixSymbol("Delta", n, m)


def one_layer(draw: Draw) -> Mapping[MatrixExpr, object]:
    """Change of the loss of a linear regression by α times the damped step, and the change predicted."""
    net = Net((3, 2), draw)
    rate, root = abs(draw()), abs(draw())
    before, G_1 = net.loss(), net.gradient(1)
    step = net.inv(net.P + root * net.eye(2)) @ G_1 @ net.inv(net.Sigma + root * net.eye(3))
    net.W[0] = net.W[0] + rate * step
    return {actual: net.loss() - before, slope: np.trace(step.T @ G_1), alpha: rate,
            s: root, E: net.P, C: net.Sigma, Delta: step}


EXCESS = s * (Trace(Delta.T * E * Delta) + Trace(Delta * C * Delta.T)) + s**2 * Trace(Delta.T * Delta)
RATIO = Theorem(
    name="ratio-at-least-one",
    title="With one layer and the full batch the loss falls at least as predicted: ρ ≥ 1, ρ = 1 only at λ "
          "= 0",
    equations=("20", "21"),
    given="Footnote 1. Δ is the update for α = 1, slope = tr ΔᵀG, s = √λ; the excess is a sum of squares.",
    claims=(eq((-alpha + alpha**2 / 2) * slope - actual, alpha**2 * EXCESS / 2),
            Ge((-alpha + alpha**2 / 2) * slope, actual)),
    wrong=(eq((-alpha + alpha**2 / 2) * slope, actual), Ge(actual, (-alpha + alpha**2 / 2) * slope),
           eq((-alpha + alpha**2 / 2) * slope * alpha - actual, alpha**2 * EXCESS / 2),
           eq((-alpha + alpha**2 / 2) * slope - actual, -alpha**2 * EXCESS / 2)),
    values=one_layer,
    points=True,
    missing={"certificate": "The loss is a trace; damping-expansion has the terms of the excess."},
)

first, last = Symbol("lambda_0"), Symbol("lambda_k")


def trajectory(draw: Draw) -> Mapping[MatrixExpr, object]:
    """λ after five steps of linear regression on the full batch, α = 1, by the rule (21)."""
    net, damping = Net((3, 2), draw), 1.0
    for _ in range(5):
        G_1, root, before = net.gradient(1), np.sqrt(damping), net.loss()
        step = net.inv(net.P + root * net.eye(2)) @ G_1 @ net.inv(net.Sigma + root * net.eye(3))
        net.W[0] = net.W[0] + step
        ratio = (net.loss() - before) / (-np.trace(step.T @ G_1) / 2)
        damping = float(levenberg_marquardt.value.subs({lam: damping, rho: ratio}))
    return {first: 1.0, last: damping}


TRAJECTORY = Theorem(
    name="damping-trajectory",
    title="So (21) shrinks λ at every step: λ_k = λ_0 (2/3)^k",
    equations=("20", "21"),
    given="One layer, full batch; shown for k = 5.",
    claims=(eq(last, Rational(32, 243) * first),),
    wrong=(eq(last, Rational(16, 81) * first), eq(last, Rational(243, 32) * first), eq(last, first)),
    values=trajectory,
    missing={"symbolic": "√λ is irrational after one step; ratio-at-least-one is exact at any rational √λ.",
             "certificate": "A chain of comparisons is no equation; ρ ≥ 1 is ratio-at-least-one."},
)

THEOREMS = (LIMIT, BOUND, EXPANSION, NOT_TIKHONOV, SHARE, PREDICTED, RATIO, TRAJECTORY)
