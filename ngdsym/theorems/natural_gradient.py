"""Section 2: the Fisher matrix as a metric, steepest descent in it, invariance, cost (Eqs. 4, 5)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Inverse, MatrixSymbol, Ne, Trace, ZeroMatrix, lambdify, symbols

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PSD, Lambda, Lambda_tilde, Pinv
from ngdsym.algebra.symbols import G as rule_G
from ngdsym.rules.rule import Rule
from ngdsym.rules.zoo import K, K_tilde, natural
from ngdsym.theorems.dense import Net, vec
from ngdsym.theorems.differences import curvature
from ngdsym.theorems.generalized_inverse import ADJOINT, FISHER, INVERSES, MADE, SIZES, F, H, J, X, p
from ngdsym.theorems.notation import GRADIENT, A, B, G, P, Sigma, Sigma_tilde, Z, d, invertible, m, n, o
from ngdsym.theorems.theorem import Theorem, eq

D = MatrixSymbol("D", o, d)
KL, BEND, LOSS_BEND = symbols("KL KL'' loss''")
delta, D_2 = MatrixSymbol("delta", p, 1), MatrixSymbol("D_2", o, d)


def divergence(draw: Draw) -> Mapping[Expr, object]:
    """⟨log p_θ − log p_θ'⟩ over p_θ with θ' = θ + t δ: by a design of examples with the moments of p_θ."""
    net = Net((2, 3, 2), draw)
    weights = [w.copy() for w in net.W]
    change = [net.generic(*w.shape) for w in net.W]
    map_0 = net.product(1, 2)

    def move(t: object) -> np.ndarray:
        net.W = [w + t * c for w, c in zip(weights, change)]
        return net.product(1, 2)

    def kl(t: object) -> Any:
        gap = map_0 - move(t)
        terms = [noise @ net.P @ (sign * gap @ x) + (gap @ x) @ net.P @ (gap @ x) * net.number(1, 2)
                 for x in net.input_root.T for noise in net.output_root.T for sign in (1, -1)]
        return sum(terms) * net.number(1, 2 * len(net.output_root))

    def loss(t: Any) -> Any:
        move(t)
        return net.loss()

    found = {KL: kl(1), BEND: curvature(kl), LOSS_BEND: curvature(loss), D: move(1) - map_0}
    move(0)
    step = np.concatenate([vec(c) for c in change])[:, None]
    return {**found, F: net.F, delta: step, D_2: 2 * change[1] @ change[0], Sigma: net.Sigma,
            Sigma_tilde: net.Sigma_tilde, Z: net.Z}


METRIC = Theorem(
    name="fisher-is-hessian-of-kl",
    title="F is the Hessian of the KL divergence, and of the loss where the residual vanishes: F is "
          "Gauss–Newton",
    equations=("2", "5"),
    given="KL(p_θ ‖ p_θ') for θ' = θ + tδ moves W by D at t = 1; the primes are second derivatives in t, "
          "D_2 that of W.",
    claims=(eq(KL, Trace(P * D * Sigma * D.T) / 2), eq(BEND, Trace(F * delta * delta.T)),
            eq(LOSS_BEND, BEND - Trace(P * Z * Sigma * D_2.T))),
    wrong=(eq(KL, Trace(P * D * Sigma * D.T)), eq(KL, Trace(Sigma_tilde * D * Sigma * D.T) / 2),
           eq(LOSS_BEND, BEND), eq(LOSS_BEND, BEND + Trace(P * Z * Sigma * D_2.T))),
    values=divergence,
    points=True,
    missing={"certificate": "A divergence is an average of logarithms and its Hessian a derivative: no "
                            "matrix words."},
)

g, v = MatrixSymbol("g", p, 1), MatrixSymbol("v", p, 1)
IN_RANGE = eq(g, F * v)
best = X * g
LACK = delta.T * F * delta + g.T * X * g - g.T * delta - delta.T * g
STEEPEST = Theorem(
    name="steepest-descent",
    title="Among steps of the same KL the natural gradient goes down most",
    equations=("4",),
    given="X is any generalized inverse of F, g the negative gradient, δ any step. What δ gains, gᵀδ, "
          "exceeds neither "
          "½ δᵀFδ + ½ gᵀXg, as the square on the right is not negative; it vanishes for δ = X g.",
    assumes=(eq(F, F.T), INVERSES[0], IN_RANGE),
    claims=(eq(LACK, (delta - best).T * F * (delta - best)),),
    wrong=(eq(LACK, -(delta - best).T * F * (delta - best)),
           eq(delta.T * F * delta + g.T * X * g, (delta - best).T * F * (delta - best)),
           eq(LACK, (delta - g).T * F * (delta - g))),
    recipes={**MADE, F: J.T * H * J},
    sizes=SIZES,
    scale=2,
    points=True,
)

R = MatrixSymbol("R", H.rows, H.rows)
DESCENT = Theorem(
    name="loss-never-rises",
    title="−∂L/∂t = gᵀ X g = ‖R J X g‖² ≥ 0: under any generalized inverse the loss never rises",
    equations=("4",),
    given="Σ ⊗ Σ̃⁻¹ = H = Rᵀ R. The loss changes by −gᵀ X g per unit of time.",
    assumes=(FISHER, eq(H, R.T * R), INVERSES[0], IN_RANGE),
    claims=(eq(g.T * X * g, (R * J * X * g).T * (R * J * X * g)),),
    wrong=(eq(g.T * X * g, -(R * J * X * g).T * (R * J * X * g)),
           eq(g.T * X * g, (J * X * g).T * (J * X * g)),
           eq(g.T * X * g, g.T * g)),
    recipes=MADE,
    sizes=SIZES,
    points=True,
)

T, Y = MatrixSymbol("T", p, p), MatrixSymbol("Y", p, p)
NEW = T.T * F * T
REPARAMETRIZED = Theorem(
    name="parametrization-invariance",
    title="In other parameters, with Jacobian T, the natural gradient moves the map in the same way",
    equations=("4",),
    given="θ = θ(φ), T = ∂θ/∂φ invertible, so J becomes J T, g becomes Tᵀ g and F becomes Tᵀ F T. X and Y "
          "are any "
          "generalized inverses of F and Tᵀ F T.",
    assumes=(FISHER, INVERSES[0], eq(NEW * Y * NEW, NEW), invertible(T), *ADJOINT, invertible(H)),
    claims=(eq(J * T * Y * (J * T).T, J * X * J.T),),
    wrong=(eq(J * T * Y * (J * T).T, -J * X * J.T), eq(J * Y * J.T, J * X * J.T), eq(T * Y * T.T, X),
           eq(J * T.T * Y * T * J.T, J * X * J.T)),
    recipes={**MADE, Y: Pinv(NEW)},
    sizes=SIZES,
    points=True,
)

# --- all weights zero ------------------------------------------------------------------------------

STUCK = Theorem(
    name="zero-weights-stuck",
    title="Where all weights are zero every gradient and every step vanishes",
    equations=("10", "13"),
    given="L ≥ 2, a layer with A_i = 0; the same holds for B_i = 0. K and M are any matrices in place of "
          "the inverses.",
    assumes=(GRADIENT, eq(A, ZeroMatrix(o, n))),
    claims=(eq(G, ZeroMatrix(n, m)),
            eq(MatrixSymbol("K", n, n) * G * MatrixSymbol("M", m, m), ZeroMatrix(n, m)),
            eq(A.T * P * A, ZeroMatrix(n, n))),
    wrong=(eq(B * Sigma * B.T, ZeroMatrix(m, m)), eq(Z, ZeroMatrix(o, d)), eq(B.T * B, ZeroMatrix(d, d))),
    recipes={A: ZeroMatrix(o, n)},
)

up, down, slope_0 = symbols("curvature curvature_flipped slope")


def at_zero(draw: Draw) -> Mapping[Expr, object]:
    """Second derivatives of the loss at zero weights along [dW_1, dW_2] and [dW_1, −dW_2]."""
    net = Net((2, 3, 2), draw)
    change, bends = [net.generic(3, 2), net.generic(2, 3)], []
    for sign in (1, -1):
        def loss(t: Any) -> Any:
            net.W = [t * change[0], sign * t * change[1]]
            return net.loss()
        bends.append(curvature(loss))
        first = (8 * (loss(1) - loss(-1)) - (loss(2) - loss(-2))) / 12
    loss(0)
    return {up: bends[0], down: bends[1], slope_0: first,
            Z: net.Z, Sigma: net.Sigma, Sigma_tilde: net.Sigma_tilde, D_2: 2 * change[1] @ change[0]}


SADDLE = Theorem(
    name="zero-weights-saddle",
    title="Zero weights are a saddle: flipping the sign of one layer's change flips the curvature",
    equations=("6", "9"),
    given="Two layers; D_2 = 2 dW_2 dW_1.",
    claims=(eq(up, -Trace(P * Z * Sigma * D_2.T)), eq(down, -up), eq(slope_0, 0), Ne(up, 0)),
    wrong=(eq(up, Trace(P * Z * Sigma * D_2.T)), eq(down, up), eq(up, 0)),
    values=at_zero,
    points=True,
    missing={"certificate": "A curvature is a trace and a derivative; that the flow is stuck is "
                            "zero-weights-stuck."},
)

# --- units and cost --------------------------------------------------------------------------------

T_x, T_y = MatrixSymbol("T_x", d, d), MatrixSymbol("T_y", o, o)
A_y, B_x, Z_yx = MatrixSymbol("A_y", o, n), MatrixSymbol("B_x", m, d), MatrixSymbol("Z_yx", o, d)
P_y, Sigma_x = PSD("P_y", o, o), PSD("Sigma_x", d, d)
UNITS = Theorem(
    name="units",
    title="Other units, or any other axes, for input and output leave factors and gradients of hidden "
          "layers alone",
    equations=("10",),
    given="x becomes T_x x and y becomes T_y y. With `covariant`, for hidden units, it says that dW has "
          "the units of W.",
    assumes=(eq(A_y, T_y * A), eq(B_x, B * Inverse(T_x)), eq(Z_yx, T_y * Z * Inverse(T_x)),
             eq(P_y, Inverse(T_y).T * P * Inverse(T_y)), eq(Sigma_x, T_x * Sigma * T_x.T)),
    claims=(eq(A_y.T * P_y * A_y, A.T * P * A), eq(B_x * Sigma_x * B_x.T, B * Sigma * B.T),
            eq(A_y.T * P_y * Z_yx * Sigma_x * B_x.T, A.T * P * Z * Sigma * B.T)),
    wrong=(eq(A_y.T * P * A_y, A.T * P * A), eq(B_x * Sigma_x * B_x.T, -B * Sigma * B.T),
           eq(A_y.T * P_y * Z * Sigma_x * B_x.T, A.T * P * Z * Sigma * B.T)),
    points=True,
)

times_F, times_inverse, one_example = symbols("ops_fisher ops_inverse ops_running")


def flops(expression: Expr) -> Expr:
    """Leading FLOPs per step of the program that a rule is compiled to."""
    return Rule("cost", expression).flops()[1]


def costs(draw: Draw) -> Mapping[Expr, object]:
    """FLOPs at random sizes; an example has one error (a column of G) and one activation (a row)."""
    numbers = abs(draw()), abs(draw())
    counts = {
        times_F: flops(Lambda_tilde * rule_G * Lambda),
        times_inverse: flops(natural.expression),
        one_example: flops(K_tilde * rule_G).subs(m, 1) + flops(rule_G * K).subs(n, 1),
    }
    values = {name: lambdify((n, m), count)(*numbers) for name, count in counts.items()}
    return {n: numbers[0], m: numbers[1], **values}


COST = Theorem(
    name="inverse-as-cheap-as-fisher",
    title="Per layer F⁻¹v costs what F v costs; for one example two matrix–vector products",
    equations=("10", "20"),
    given="Leading FLOPs per step, the Cholesky factors being known, of the programs the formulas are "
          "compiled to. "
          "The rank-1 update itself is the gradient's.",
    claims=(eq(times_inverse, times_F), eq(times_inverse, 2 * n * m * (n + m)),
            eq(one_example, 2 * n**2 + 2 * m**2)),
    wrong=(eq(times_inverse, 2 * times_F), eq(times_inverse, n * m * (n + m)),
           eq(one_example, times_inverse)),
    values=costs,
    points=True,
    missing={"certificate": "Operations are counted; they are not matrices."},
)

THEOREMS = (METRIC, STEEPEST, DESCENT, REPARAMETRIZED, STUCK, SADDLE, UNITS, COST)
