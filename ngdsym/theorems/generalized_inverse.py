"""Section 3: every generalized inverse of the Fisher matrix gives the same dynamics.

Nothing here knows of layers: J is any Jacobian of the map, H = Σ ⊗ Σ̃⁻¹ any metric on maps, F = Jᵀ H J.
"""
from __future__ import annotations

from sympy import MatrixSymbol, Ne, symbols
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PD, PSD, Pinv
from ngdsym.theorems.notation import invertible
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

N, p, q, r = symbols("N p q r", integer=True, positive=True)
J, K = MatrixSymbol("J", N, p), MatrixSymbol("K", p, N)
H, F = PD("H", N, N), PSD("F", p, p)
X, Y = MatrixSymbol("X", p, p), MatrixSymbol("Y", p, p)
U, V = MatrixSymbol("U", p, p), MatrixSymbol("V", p, p)
g, h = MatrixSymbol("g", p, 1), MatrixSymbol("h", p, 1)


def any_inverse(F: MatrixExpr, V: MatrixExpr) -> MatrixExpr:
    """Every generalized inverse of F is of this form, for some V."""
    return Pinv(F) + V - Pinv(F) * F * V * F * Pinv(F)


FISHER = eq(F, J.T * H * J)
INVERSES = (eq(F * X * F, F), eq(F * Y * F, F))
ADJOINT = (eq(J * K * J, J), eq((H * J * K).T, H * J * K))
RANK_DEFICIENT = {J: MatrixSymbol("J_1", N, r) * MatrixSymbol("J_2", r, p)}
MADE = {**RANK_DEFICIENT, X: any_inverse(F, U), Y: any_inverse(F, V), K: Pinv(F) * J.T * H}
SIZES = {N: 3, p: 3, r: 2, q: 2}

INVARIANCE = Theorem(
    name="inverse-invariance",
    title="Any two generalized inverses of F move the map alike: J X Jᵀ = J Y Jᵀ",
    equations=("4",),
    given="K is the H-adjoint inverse of J, which exists because H is definite.",
    assumes=(FISHER, *INVERSES, *ADJOINT, invertible(H)),
    claims=(eq(J * X * J.T, J * Y * J.T),),
    wrong=(eq(J * X * J.T, -J * Y * J.T), eq(J * X, J * Y), eq(X, Y), eq(J * X * J.T, 2 * J * Y * J.T)),
    recipes=MADE,
    sizes=SIZES,
    points=True,
)

PROJECTOR = Theorem(
    name="inverse-projector",
    title="J X Jᵀ H is the H-orthogonal projector onto the range of J",
    equations=("4",),
    given="K is the H-adjoint inverse of J, which exists because H is definite.",
    assumes=(FISHER, INVERSES[0], *ADJOINT, invertible(H)),
    claims=(
        eq(J * X * J.T * H * J, J),
        eq(J * X * J.T * H, J * K),
        eq(J * X * J.T * H * J * X * J.T * H, J * X * J.T * H),
        eq(H * J * X * J.T * H, H * J * X.T * J.T * H),
    ),
    wrong=(
        eq(J * X * J.T * J, J),
        eq(J * X * J.T * H, -J * K),
        eq(J * X * J.T * H, H * J * X * J.T),
        eq(J * X * J.T * H * J * X * J.T * H, 2 * J * X * J.T * H),
    ),
    recipes=MADE,
    sizes=SIZES,
    points=True,
)

ROOT = MatrixSymbol("N", q, N)
SINGULAR = "H = NᵀN may be singular (dead inputs, fewer examples than inputs)."
SINGULAR_MADE = {X: any_inverse(F, U), Y: any_inverse(F, V)}
K_q = MatrixSymbol("K", p, q)

SINGULAR_INVARIANCE = Theorem(
    name="inverse-invariance-singular",
    title="With singular Σ the inverses agree on dW·Σ, which is all the loss sees",
    equations=("4",),
    assumes=(eq(F, J.T * ROOT.T * ROOT * J), *INVERSES, eq(ROOT * J * K_q * ROOT * J, ROOT * J),
             eq((ROOT * J * K_q).T, ROOT * J * K_q)),
    claims=(eq(ROOT * J * X * J.T * ROOT.T, ROOT * J * Y * J.T * ROOT.T),
            eq(ROOT.T * ROOT * J * X * J.T * ROOT.T, ROOT.T * ROOT * J * Y * J.T * ROOT.T)),
    wrong=(eq(J * X * J.T * ROOT.T, J * Y * J.T * ROOT.T),
           eq(ROOT * J * X * J.T * ROOT.T, -ROOT * J * Y * J.T * ROOT.T),
           eq(ROOT * J * X * J.T * ROOT.T, ROOT * J * J.T * ROOT.T)),
    given=SINGULAR + " K inverts N J orthogonally.",
    recipes={**SINGULAR_MADE, K_q: Pinv(F) * J.T * ROOT.T},
    sizes=SIZES,
    points=True,
)

SINGULAR_DIFFERS = Theorem(
    name="inverse-differs-singular",
    title="With singular Σ the inverses do not agree on dW itself",
    equations=("4",),
    assumes=(eq(F, J.T * ROOT.T * ROOT * J), *INVERSES),
    claims=(Ne(J * X * J.T * ROOT.T * ROOT, J * Y * J.T * ROOT.T * ROOT),),
    wrong=(Ne(ROOT * J * X * J.T * ROOT.T, ROOT * J * Y * J.T * ROOT.T), Ne(F * X * F, F * Y * F)),
    missing={"certificate": COUNTEREXAMPLE},
    given=SINGULAR,
    recipes=SINGULAR_MADE,
    sizes=SIZES,
    points=True,
)

THEOREMS = (INVARIANCE, PROJECTOR, SINGULAR_INVARIANCE, SINGULAR_DIFFERS)
