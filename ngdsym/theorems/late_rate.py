"""How fast a bottleneck comes to the best map of its rank: the gap in the spectrum sets the rate, not 1."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sympy import Expr, MatrixSymbol, Symbol, ZeroMatrix

from ngdsym.algebra import fields
from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import Z, d, o
from ngdsym.theorems.paths import follow, minimal_speed
from ngdsym.theorems.theorem import Theorem, eq

u_1, u_2, v_1, v_2 = (MatrixSymbol(f"{name}_{i}", dim, 1) for name,
                      dim in (("u", o), ("v", d)) for i in (1, 2))
W_plus, tau, rho = MatrixSymbol("W_plus", d, o), PD("tau", 1, 1), PD("rho", 1, 1)


def rotated(draw: Draw) -> Mapping[Expr, object]:
    """Singular vectors from a rotation (Cayley 1846), τ in Z and 1/σ = ρ in W⁺."""
    net = Net((2, 2), draw)
    skew = net.W[0] - net.W[0].T
    turned = (net.eye(2) - skew) @ net.inv(net.eye(2) + skew)
    first, second = turned[:, :1], turned[:, 1:]
    small, inverse = net.eye(1) * abs(draw()), net.eye(1) * abs(draw())
    return {u_1: first, u_2: second, v_1: second, v_2: first, tau: small, rho: inverse,
            Z: second @ small @ first.T, W_plus: second @ inverse @ first.T}


def linearized(change: Expr) -> Expr:
    """What the residual adds to −δ at a fixed point of the flow, Σ = I, Σ̃ = I."""
    return W_plus.T * change.T * Z + Z * change.T * W_plus.T


EVEN, ODD = u_2 * v_1.T + u_1 * v_2.T, u_2 * v_1.T - u_1 * v_2.T
MODES = Theorem(
    name="late-modes",
    title="Near the best map of rank r, u_2 v_1ᵀ ± u_1 v_2ᵀ decay at the rates 1 ∓ τ/σ",
    equations=("17",),
    given="Whitened, Σ = I and Σ̃ = I. The flow of a small tangent change δ of W is −δ + W⁺ᵀ δᵀ Z + Z δᵀ "
          "W⁺ᵀ. "
          "(u_1, v_1) belongs to a kept singular value σ = 1/ρ of W*, (u_2, v_2) to a lost one, τ.",
    assumes=(eq(Z * v_1, ZeroMatrix(o, 1)), eq(Z.T * u_1, ZeroMatrix(d, 1)), eq(Z * v_2, u_2 * tau),
             eq(Z.T * u_2, v_2 * tau), eq(W_plus * u_1, v_1 * rho), eq(W_plus.T * v_1, u_1 * rho),
             eq(W_plus * u_2, ZeroMatrix(d, 1)), eq(W_plus.T * v_2, ZeroMatrix(o, 1))),
    claims=(eq(linearized(EVEN), u_2 * tau * rho * v_1.T + u_1 * rho * tau * v_2.T),
            eq(linearized(ODD), -u_2 * tau * rho * v_1.T + u_1 * rho * tau * v_2.T)),
    wrong=(eq(linearized(EVEN), -u_2 * tau * rho * v_1.T - u_1 * rho * tau * v_2.T),
           eq(linearized(ODD), u_2 * tau * rho * v_1.T - u_1 * rho * tau * v_2.T),
           eq(linearized(EVEN), u_2 * tau * v_1.T + u_1 * tau * v_2.T), eq(linearized(EVEN),
                                                                           linearized(ODD))),
    values=rotated,
    points=True,
)

rate, loss_rate, kept, lost = (Symbol(name, positive=True)
                               for name in ("rate", "rate_loss", "sigma_r", "sigma_s"))


def late(draw: Draw) -> Mapping[Expr, object]:
    """Rates at which W and the loss approach their best: from the flow's derivatives or along a path."""
    return late_in_the_plane(draw) if not isinstance(draw(), float) else late_on_a_path(draw)


def late_in_the_plane(draw: Draw) -> Mapping[Expr, object]:
    """W* = diag(σ_1, σ_2) and W of rank 1, a small step off diag(σ_1, 0) along the slowest mode."""
    step, big, small = draw(), draw(), draw()
    column = np.array([[big], [step]])
    onto = column @ column.T / (big * big + step * step)
    rest = np.diag([big, small]) - column @ column.T / big
    speed = onto @ rest + rest @ onto - onto @ rest @ onto
    gap, fall = (np.trace(rest.T @ rest) - small * small) / 2, np.trace(rest.T @ speed)
    return {rate: -fields.at_zero(speed[1, 0] / step, step), loss_rate: fields.at_zero(fall / gap, step),
            kept: big, lost: small}


def late_on_a_path(draw: Draw) -> Mapping[Expr, object]:
    """Sizes (3, 1, 3) under −F⁺∇, between t = 20 and 23."""
    net, values = Net((3, 1, 3), draw), np.array([2, 1.2, 0.1])
    left, right = (np.linalg.qr(net.generic(3, 3))[0] for _ in range(2))
    best, net.Wstar = (net.output_root @ (left * kept_values) @ right @ net.inv(net.input_root)
                       for kept_values in (values * [1, 0, 0], values))
    least = sum(values[1:]**2) / 2
    gaps, loss_gaps = [], []
    for time in (20, 3):
        follow(net, minimal_speed, time)
        gaps.append(np.linalg.norm(net.product(1, 2) - best))
        loss_gaps.append(net.loss() - least)
    measured, measured_loss = (np.log(before / after) / 3 for before, after in (gaps, loss_gaps))
    return {rate: measured, loss_rate: measured_loss, kept: values[0], lost: values[1]}


LATE = Theorem(
    name="late-rate",
    title="In a bottleneck W converges at the rate 1 − σ_{r+1}/σ_r of Σ̃^{−1/2} W* Σ^{1/2}, not 1",
    equations=("18", "19"),
    given="Exactly: r = 1 in two dimensions, any σ_1, σ_2, the flow differentiated at its fixed point "
          "along the slowest mode. In float64: sizes (3, 1, 3) under −F⁺∇, the rate between t = 20 and 23.",
    claims=(eq(rate, 1 - lost / kept),),
    wrong=(eq(rate, 1 + lost / kept), eq(rate, kept / kept), eq(rate, 1 - kept / lost),
           eq(rate, 2 - 2 * lost / kept)),
    values=late,
    tolerance=1e-3,
    missing={"certificate": "A derivative of projectors is no word; late-modes certifies the modes."},
)

LATE_LOSS = Theorem(
    name="late-loss-rate",
    title="In a bottleneck the loss approaches its minimum at twice the rate of W: 2 (1 − σ_{r+1}/σ_r)",
    equations=("18", "19"),
    given="The minimum is that of maps of rank r: half the sum of the squares of the lost singular values. "
          "Instances as in late-rate; exactly, the loss gap and its rate of change to their leading order.",
    claims=(eq(loss_rate, 2 - 2 * lost / kept), eq(loss_rate, 2 * rate)),
    wrong=(eq(loss_rate, 1 - lost / kept), eq(loss_rate, 2 + 2 * lost / kept), eq(loss_rate, 2 * kept / kept),
           eq(loss_rate, 2 - lost / kept), eq(loss_rate, rate)),
    values=late,
    tolerance=1e-3,
    missing={"certificate": "A limit of quotients is no word; late-modes certifies the modes."},
)

THEOREMS = (MODES, LATE, LATE_LOSS)
