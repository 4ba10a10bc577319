"""One hidden layer of nonlinear units: where the Kronecker-factored Fisher matrix is exact, where not.

The output is V φ(U x) with φ applied per unit. Per example, h = φ(U x) and D = diag φ'(U x).
"""
from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sympy import Expr, Gt, KroneckerProduct, Lt, MatrixSymbol, Ne, Rational, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD
from ngdsym.theorems.differences import complex_slope, slope
from ngdsym.theorems.notation import o, size
from ngdsym.theorems.theorem import Theorem, eq

EXAMPLES = (1, 2, 3)
k, i = size("1"), size("0")
V, P, C, E, C_h = (MatrixSymbol("V", o, k), PD("P", o, o), PD("Lambda", i, i), PD("Lambda_tilde", k, k),
                   PD("Lambda_h", k, k))
x, h = ([MatrixSymbol(f"{name}_{a}", rows, 1) for a in EXAMPLES] for name, rows in (("x", i), ("h", k)))
D = [MatrixSymbol(f"D_{a}", k, k) for a in EXAMPLES]
F_11, F_21 = MatrixSymbol("F_11", k * i, k * i), MatrixSymbol("F_21", o * k, k * i)
F_22 = MatrixSymbol("F_22", o * k, o * k)


def network(flat: bool) -> Callable[[Draw], Mapping[Expr, object]]:
    """The network with φ = tanh in float64 and φ(z) = z + z² exactly, or with φ(z) = 2z."""
    def values(draw: Draw) -> Mapping[Expr, object]:
        def generic(rows: int, cols: int) -> np.ndarray:
            return np.array([[draw() for _ in range(cols)] for _ in range(rows)])

        exact = not isinstance(draw(), float)
        activation = (lambda z: 2 * z) if flat else (lambda z: z + z * z) if exact else np.tanh
        derivative = slope if exact else complex_slope
        U, last, root = generic(2, 2), generic(2, 2), generic(2, 2)
        metric, weights = root @ root.T, np.concatenate([U.T.reshape(-1), last.T.reshape(-1)])

        def output(theta: np.ndarray, input: np.ndarray) -> np.ndarray:
            return theta[4:].reshape(2, 2).T @ activation(theta[:4].reshape(2, 2).T @ input)

        fisher: np.ndarray = np.zeros((8, 8), dtype=int)
        found: dict[Expr, np.ndarray] = {V: last, P: metric}
        for x_a, h_a, D_a in zip(x, h, D):
            column = generic(2, 1)[:, 0]
            unit = np.eye(8, dtype=int)
            J = np.stack([derivative(lambda t: output(weights + t * axis, column)) for axis in unit], axis=1)
            fisher = fisher + J.T @ metric @ J / len(EXAMPLES)
            slopes = [derivative(lambda t: activation(z + t)) for z in U @ column]
            found |= {x_a: column[:, None], h_a: activation(U @ column)[:, None], D_a: np.diag(slopes)}
        return {**found, F_11: fisher[:4, :4], F_21: fisher[4:, :4], F_22: fisher[4:, 4:],
                C: average(found, x), C_h: average(found, h),
                E: sum(found[D_a] @ last.T @ metric @ last @ found[D_a] for D_a in D) / len(EXAMPLES)}

    return values


def average(found: Mapping[Expr, np.ndarray], columns: list[MatrixSymbol]) -> np.ndarray:
    """Second moment."""
    return sum(found[column] @ found[column].T for column in columns) / len(columns)


def mean(terms: list[Expr]) -> Expr:
    """Average over the examples."""
    return sum(terms[1:], terms[0]) / len(terms)


def S(D_a: MatrixSymbol) -> Expr:
    """Error covariance of one example."""
    return D_a * V.T * P * V * D_a


COVARIANCE = mean([KroneckerProduct(x_a * x_a.T - C, S(D_a) - E) for x_a, D_a in zip(x, D)])
TANH = Theorem(
    name="nonlinear-fisher",
    title="One hidden layer: the last block factors exactly, the first up to the covariance of x xᵀ and D "
          "Vᵀ Σ̃⁻¹ V D",
    equations=("5", "11", "12", "22"),
    given="P = Σ̃⁻¹, three examples, F from derivatives of the output. Numeric: φ = tanh; exact: φ(z) = z "
          "+ z².",
    claims=(eq(F_22, KroneckerProduct(C_h, P)), eq(F_11 - KroneckerProduct(C, E), COVARIANCE),
            eq(F_21, mean([KroneckerProduct(h_a * x_a.T, P * V * D_a) for x_a, h_a, D_a in zip(x, h, D)])),
            Ne(F_11, KroneckerProduct(C, E))),
    wrong=(eq(F_11, KroneckerProduct(C, E)), eq(F_11 - KroneckerProduct(C, E), -COVARIANCE),
           eq(F_22, KroneckerProduct(P, C_h)), eq(F_22, 2 * KroneckerProduct(C_h, P)),
           eq(F_21, mean([KroneckerProduct(x_a * h_a.T, P * V * D_a) for x_a, h_a, D_a in zip(x, h, D)]))),
    values=network(flat=False),
    points=True,
    missing={"certificate": "φ has derivatives, words have none; factoring-error certifies the algebra of "
                            "the error."},
)

LINEAR = Theorem(
    name="linear-units-factor",
    title="With linear units D is the same for all examples, and the first block factors exactly",
    equations=("22",),
    given="φ(z) = 2z.",
    claims=(eq(F_11, KroneckerProduct(C, E)), eq(F_11, KroneckerProduct(C, 4 * V.T * P * V))),
    wrong=(eq(F_11, KroneckerProduct(E, C)), eq(F_11, KroneckerProduct(C, V.T * P * V)),
           Ne(F_11, KroneckerProduct(C, E))),
    values=network(flat=True),
    points=True,
    missing={"certificate": "The derivative of φ is taken; fisher-action certifies the factors of linear "
                            "layers."},
)

FULL, SMALL, WIDTH, SAMPLES = 1.0, 2e-3, 4, 400
error = {scale: Symbol(f"error_{name}")
         for scale, name in ((FULL, "full"), (SMALL, "small"), (SMALL / 2, "half"))}


def kronecker_errors(draw: Draw) -> Mapping[Expr, object]:
    """‖F_11 − Λ ⊗ Λ̃‖ / ‖F_11‖ of a tanh network of width 4, weights into the hidden layer N(0, scale²/4)."""
    def normal(*shape: int) -> np.ndarray:
        return np.array([draw() for _ in range(int(np.prod(shape)))]).reshape(shape)

    U, last, inputs = normal(WIDTH, WIDTH) / 2, normal(WIDTH, WIDTH) / 2, normal(SAMPLES, WIDTH)
    moments = np.einsum("ai,aj->aij", inputs, inputs)

    def relative(scale: float) -> float:
        slopes = complex_slope(lambda t: np.tanh(scale * inputs @ U.T + t))
        errors = np.einsum("ai,ij,aj->aij", slopes, last.T @ last, slopes)
        true = np.einsum("aij,akl->ikjl", moments, errors) / SAMPLES
        factored = np.einsum("ij,kl->ikjl", moments.mean(0), errors.mean(0))
        return float(np.linalg.norm(true - factored) / np.linalg.norm(true))

    return {symbol: relative(scale) for scale, symbol in error.items()}


SIZE = Theorem(
    name="tanh-kronecker-error",
    title="One tanh layer: the factored block is 25 to 50 % off at usual weights, an error of second "
          "order in them",
    equations=("22",),
    given="Width 4, 400 standard normal inputs, Σ̃ = I, three random networks. Halving small weights into "
          "the "
          "hidden layer divides the relative error by four.",
    claims=(eq(error[SMALL] / error[SMALL / 2], 4), Gt(error[FULL], Rational(1, 4)),
            Lt(error[FULL], Rational(1, 2))),
    wrong=(eq(error[SMALL] / error[SMALL / 2], 2), Lt(error[FULL], Rational(1, 4)),
           Gt(error[SMALL], error[FULL])),
    values=kronecker_errors,
    tolerance=1e-4,
    missing={"symbolic": "The averages are over samples; the exact expression of the error is in "
                         "nonlinear-fisher.",
             "certificate": "A size is no equation; factoring-error certifies the algebra of the error."},
)

THEOREMS = (TANH, LINEAR, SIZE)
