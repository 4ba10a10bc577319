"""Gradient descent's own flow in a deep linear network (Saxe et al. 2013), against the natural gradient's.

A mode is a pair of singular vectors that W shares with W*; s is its singular value in W*, v in W, v^{1/L} in
each of L balanced layers.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from scipy.integrate import solve_ivp
from sympy import Expr, MatrixSymbol, Rational, ZeroMatrix, atanh, diff, exp, log, simplify, sqrt, symbols
from sympy.core.relational import Relational

from ngdsym.algebra.instance import Draw, Matrix
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import NEIGHBOURS, A_i, A_j, B_i, B_j, P, Sigma, W_i, W_j, Z, n_i
from ngdsym.theorems.theorem import Theorem, eq

G_i, G_j = A_i.T * P * Z * Sigma * B_i.T, A_j.T * P * Z * Sigma * B_j.T
CONSERVED = Theorem(
    name="balance-is-conserved",
    title="Under gradient descent W_i W_iᵀ − W_{i+1}ᵀ W_{i+1} never changes",
    equations=("3", "7"),
    given="Layer j = i + 1, dW/dt = G. The two rates of change are equal.",
    assumes=NEIGHBOURS,
    claims=(eq(W_i * G_i.T + G_i * W_i.T, W_j.T * G_j + G_j.T * W_j), eq(W_i * G_i.T, G_j.T * W_j)),
    wrong=(eq(W_i * G_i.T + G_i * W_i.T, -W_j.T * G_j - G_j.T * W_j), eq(W_i * G_i.T, W_j.T * G_j),
           eq(W_i * G_i.T + G_i * W_i.T, W_j.T * G_j), eq(W_i * G_i.T, ZeroMatrix(n_i, n_i))),
)

t, s, v, start = symbols("t s v v_0", positive=True)
W_dot, N_dot, w, S = (MatrixSymbol(name, 2, 2) for name in ("W_dot", "N_dot", "w", "S"))


def aligned(draw: Draw, L: int) -> Net:
    """Σ = Σ̃ = I, W* diagonal and positive, all layers the same diagonal matrix."""
    net = Net((2,) * (L + 1), draw)
    net.Sigma, net.P = net.eye(2), net.eye(2)
    net.Wstar = np.diag([1 + draw() * draw() for _ in range(2)])
    layer = np.diag([1 + draw() * draw() for _ in range(2)])
    net.W = [layer.copy() for _ in net.layers]
    return net


def descent(net: Net) -> list[Matrix]:
    """dW_i/dt = G_i."""
    return [net.gradient(i) for i in net.layers]


def speeds(draw: Draw) -> Mapping[Expr, object]:
    """dW/dt under gradient descent and under F⁺ in three aligned, balanced layers."""
    net = aligned(draw, 3)
    return {W_dot: net.flow_of(descent(net)), N_dot: net.exact_flow(), w: net.W[0], S: net.Wstar}


MODES = Theorem(
    name="modes-decouple",
    title="In aligned, balanced layers gradient descent has dv/dt = L v^{2−2/L} (s − v), the natural "
          "gradient s − v",
    equations=("3", "7", "18"),
    given="L = 3, Σ = Σ̃ = I, W* = S diagonal, all layers equal to the diagonal matrix w.",
    claims=(eq(W_dot, 3 * w**4 * (S - w**3)), eq(N_dot, S - w**3)),
    wrong=(eq(W_dot, S - w**3), eq(W_dot, 3 * w**2 * (S - w**3)), eq(W_dot, w**4 * (S - w**3)),
           eq(N_dot, 3 * (S - w**3))),
    values=speeds,
    points=True,
    missing={"certificate": "F⁺ of all layers is no word in one layer's letters; balance-is-conserved is "
                            "certified."},
)

END = 0.7


def distance(L: int, claim: Relational) -> float:
    """Distance between the two sides of a solution at the end of an integrated mode."""
    target, begin = 1.7, 0.2
    path = solve_ivp(lambda _, v: L * v**(2 - 2 / L) * (target - v), (0, END), [begin], rtol=1e-11,
                     atol=1e-13)
    known = {t: END, s: target, start: begin, v: path.y[0, -1]}
    return abs(float((claim.lhs - claim.rhs).subs(known)))


def logistic(claim: Relational) -> bool:
    """Whether v(t) on the right side starts at v_0 and obeys dv/dt = 2 v (s − v)."""
    value = claim.rhs
    return simplify(diff(value, t) - 2 * value * (s - value)) == 0 and simplify(value.subs(t, 0) - start) == 0


def inverts(L: int, claim: Relational) -> bool:
    """Whether t(v) on the right side is 0 at v_0 and obeys dt/dv = 1 / (L v^{2−2/L} (s − v))."""
    rate = L * v**(2 - Rational(2, L)) * (s - v)
    return simplify(diff(claim.rhs, v) * rate - 1) == 0 and simplify(claim.rhs.subs(v, start)) == 0


NO_WORD = {"certificate": "Functions of time are no matrix words; balance-is-conserved is certified."}
SOLUTION = s / (1 + (s / start - 1) * exp(-2 * s * t))
TWO = Theorem(
    name="two-layer-solution",
    title="Two layers: v(t) = s / (1 + (s/v_0 − 1) e^{−2st}): strong modes first, each after a plateau",
    equations=("3",),
    given="Σ = Σ̃ = I, aligned and balanced (Saxe et al. 2013).",
    claims=(eq(v, SOLUTION),),
    wrong=(eq(v, SOLUTION.subs(t, t / 2)), eq(v, s / (1 - (s / start - 1) * exp(-2 * s * t))),
           eq(v, s + exp(-t) * (start - s))),
    symbolic=logistic,
    numeric=partial(distance, 2),
    missing=NO_WORD,
)


def elapsed(value: Expr) -> Expr:
    """Antiderivative of 1 / (4 v^{3/2} (s − v))."""
    return atanh(sqrt(value / s)) / (2 * s**Rational(3, 2)) - 1 / (2 * s * sqrt(value))


FOUR = Theorem(
    name="four-layer-solution",
    title="Four layers: t = [artanh √(v/s) / (2 s^{3/2}) − 1/(2 s √v)] from v_0 to v, implicit in v",
    equations=("3",),
    given="Σ = Σ̃ = I, aligned and balanced.",
    claims=(eq(t, elapsed(v) - elapsed(start)),),
    wrong=(eq(t, elapsed(start) - elapsed(v)), eq(t, 2 * elapsed(v) - 2 * elapsed(start)),
           eq(t, log(v / start * (s - start) / (s - v)) / (2 * s))),
    symbolic=partial(inverts, 4),
    numeric=partial(distance, 4),
    missing=NO_WORD,
)

gd_weak, gd_strong, ng_weak, ng_strong, gd_time, ng_time = symbols("gd_weak gd_strong ng_weak ng_strong t_gd t_ng")


def half_times(draw: Draw) -> Mapping[Expr, object]:
    """Times at which modes of strength 1 and 4, started at 1/100 of it, are half learned."""
    net = aligned(draw, 2)
    net.Wstar = np.diag([1.0, 4.0])
    begin = [np.diag([0.1, 0.2]), np.diag([0.1, 0.2])]

    def run(update: Callable[[Net], list[np.ndarray]]) -> list[float]:
        def speed(_: float, theta: np.ndarray) -> np.ndarray:
            net.W = list(theta.reshape(2, 2, 2))
            return np.array(update(net)).ravel()

        def crossing(index: int) -> Callable[[float, np.ndarray], float]:
            return lambda _, theta: (theta[4:].reshape(2, 2) @ theta[:4].reshape(2, 2))[index, index] \
                - net.Wstar[index, index] / 2

        path = solve_ivp(speed, (0, 3), np.array(begin).ravel(), rtol=1e-9, atol=1e-12,
                         events=[crossing(0), crossing(1)])
        return [float(times[0]) for times in path.t_events]

    gradient, natural = run(descent), run(Net.paper_updates)
    closed = {gd_time: np.log(99) / 2, ng_time: np.log(99 / 50)}
    return {**dict(zip((gd_weak, gd_strong, ng_weak, ng_strong), (*gradient, *natural))), **closed}


UNIFORM = Theorem(
    name="natural-gradient-learns-uniformly",
    title="Gradient descent learns a mode in a time ∝ 1/s, the natural gradient all modes in the same time",
    equations=("3", "18"),
    given="Two layers, modes s = 1 and s = 4 with v_0 = s/100; time until v = s/2, by integrating the "
          "weights, against t_gd = ln 99 / 2 (for s = 1) and t_ng = ln 1.98 from the closed forms.",
    claims=(eq(gd_weak, gd_time), eq(gd_strong, gd_time / 4), eq(ng_weak, ng_time), eq(ng_strong, ng_time)),
    wrong=(eq(gd_weak, gd_strong), eq(ng_weak, 4 * ng_strong), eq(gd_strong, 4 * gd_weak)),
    values=half_times,
    tolerance=1e-6,
    missing={"symbolic": "Times by integration; exact: two-layer-solution and exponential-convergence.",
             **NO_WORD},
)

THEOREMS = (CONSERVED, MODES, TWO, FOUR, UNIFORM)
