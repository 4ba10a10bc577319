"""Section 2: log-density, loss and back-propagation (Eqs. 1, 2, 6–8)."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sympy import Expr, MatrixSymbol, Symbol, diff, exp, log, pi, simplify, sqrt, symbols
from sympy.core.relational import Relational

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD, PSD
from ngdsym.theorems.differences import complex_slope, slope
from ngdsym.theorems.notation import size
from ngdsym.theorems.theorem import Theorem, eq

n_0, n_1, n_2 = map(size, "012")
x, x_1, x_2, y = (MatrixSymbol(name, rows, 1) for name, rows in (
    ("x", n_0), ("x_1", n_1), ("x_2", n_2), ("y", n_2)))
V_1, V_2, U_1, U_2 = (MatrixSymbol(name, *shape) for name, shape in (
    ("W_1", (n_1, n_0)), ("W_2", (n_2, n_1)), ("dW_1", (n_1, n_0)), ("dW_2", (n_2, n_1))))
D_1, D_2, P_2 = PSD("D_1", n_1, n_1), PSD("D_2", n_2, n_2), PD("P", n_2, n_2)
e_1, e_2, dx_1, dx_2 = (MatrixSymbol(name, rows, 1) for name, rows in (
    ("e_1", n_1), ("e_2", n_2), ("dx_1", n_1), ("dx_2", n_2)))
dl = MatrixSymbol("dl", 1, 1)


def perturbed(draw: Draw) -> Mapping[Expr, object]:
    """Two nonlinear layers, and how activations and log-density change along [U_1, U_2]; e by (8)."""
    def generic(rows: int, cols: int) -> np.ndarray:
        return np.array([[draw() for _ in range(cols)] for _ in range(rows)])

    exact = not isinstance(draw(), float)
    activation = (lambda z: z + z * z) if exact else np.tanh
    derivative = slope if exact else complex_slope
    first, second, root = generic(2, 2), generic(2, 2), generic(2, 2)
    change, input, target = (generic(2, 2), generic(2, 2)), generic(2, 1), generic(2, 1)
    metric = root @ root.T

    def states(t: object) -> tuple[np.ndarray, np.ndarray]:
        hidden = activation((first + t * change[0]) @ input)
        return hidden, activation((second + t * change[1]) @ hidden)

    def log_density(t: object) -> np.ndarray:
        error = target - states(t)[1]
        return error.T @ metric @ error / -2

    hidden, output = states(0)
    gain = [np.diag([derivative(lambda t: activation(z + t)) for z in inputs[:, 0]])
            for inputs in (first @ input, second @ hidden)]
    error = gain[1] @ metric @ (target - output)
    return {x: input, x_1: hidden, x_2: output, y: target,
            V_1: first, V_2: second, U_1: change[0], U_2: change[1],
            P_2: metric, D_1: gain[0], D_2: gain[1], dx_1: derivative(lambda t: states(t)[0]),
            dx_2: derivative(lambda t: states(t)[1]), dl: derivative(log_density), e_2: error,
            e_1: gain[0] @ second.T @ error}


CHAIN = (eq(dx_1, D_1 * U_1 * x), eq(dx_2, D_2 * (U_2 * x_1 + V_2 * dx_1)), eq(dl, (y - x_2).T * P_2 * dx_2))
ERRORS = (eq(e_2, D_2 * P_2 * (y - x_2)), eq(e_1, D_1 * V_2.T * e_2))
BACK_PROPAGATION = Theorem(
    name="nonlinear-backpropagation",
    title="∂ log q/∂W_i = e_i x_{i-1}ᵀ with e_i = φ'_i ∘ W_{i+1}ᵀ e_{i+1} and e_L = φ'_L ∘ Σ̃⁻¹ (y − x_L)",
    equations=("1", "6", "7", "8"),
    given="Two layers; D_i = diag φ'_i, P = Σ̃⁻¹, dl is the change of log q along dW. "
          "Numeric: φ = tanh; exact: φ(z) = z + z².",
    assumes=(*CHAIN, *ERRORS),
    claims=(eq(dl, e_2.T * U_2 * x_1 + e_1.T * U_1 * x),),
    wrong=(eq(dl, -e_2.T * U_2 * x_1 - e_1.T * U_1 * x), eq(dl, e_2.T * U_2 * x_1 + e_2.T * V_2 * U_1 * x),
           eq(dl, e_2.T * U_2 * x_1), eq(dl, e_2.T * D_2 * U_2 * x_1 + e_1.T * U_1 * x)),
    values=perturbed,
    points=True,
)

mean, target = symbols("f y", real=True)
variance = Symbol("v", positive=True)
log_q = log(exp(-(target - mean)**2 / (2 * variance)) / sqrt(2 * pi * variance))


def same_function(claim: Relational) -> bool:
    """Whether both sides have the same derivative in f and agree at f = y."""
    difference = claim.lhs - claim.rhs
    return simplify(diff(difference, mean)) == 0 and simplify(difference.subs(mean, target)) == 0


def at_random_points(claim: Relational) -> float:
    """Largest difference of the two sides at random numbers."""
    rows = np.random.default_rng(0).uniform(0.5, 2, (5, 3))
    difference = claim.lhs - claim.rhs
    return max(abs(float(difference.subs(dict(zip((mean, target, variance), row))))) for row in rows)


LOG_DENSITY = Theorem(
    name="gaussian-loss",
    title="−log q is the squared error weighted by 1/Σ̃, up to a constant that does not depend on the output",
    equations=("2", "6"),
    given="One output f with noise variance v; several are independent after a rotation.",
    claims=(eq(-log_q, (target - mean)**2 / (2 * variance) + log(2 * pi * variance) / 2),),
    wrong=(eq(-log_q, (target - mean)**2 / variance + log(2 * pi * variance) / 2),
           eq(-log_q, -(target - mean)**2 / (2 * variance) + log(2 * pi * variance) / 2),
           eq(-log_q, (target - mean)**2 / (2 * variance))),
    symbolic=same_function,
    numeric=at_random_points,
    missing={"certificate": "A logarithm is no matrix word."},
)

THEOREMS = (LOG_DENSITY, BACK_PROPAGATION)
