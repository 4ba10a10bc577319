"""Section 2: a bias is the last column of W_i when the activations end with a one (homogeneous coordinates).

`J` embeds R^m in R^{m+1} and `u` is the added axis: the activation is J x + u, the weights are W Jᵀ + b uᵀ.
`mu` is ⟨x⟩, `S` the covariance ⟨x xᵀ⟩ − ⟨x⟩⟨x⟩ᵀ, `g` = ⟨e⟩ the negative gradient of the bias.
"""
from __future__ import annotations

from collections.abc import Mapping

from sympy import Identity, Inverse, MatrixSymbol, ZeroMatrix

from ngdsym.algebra import fields
from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PD
from ngdsym.theorems.notation import E, G, m, n, size
from ngdsym.theorems.theorem import Theorem, eq

h = size("h", "m")
J, u = MatrixSymbol("J", h, m), MatrixSymbol("u", h, 1)
W, G_h = MatrixSymbol("W", n, m), MatrixSymbol("G_h", n, h)
x, mu, b, g = (MatrixSymbol(name, rows, 1) for name, rows in (("x", m), ("mu", m), ("b", n), ("g", n)))
S, C_h = PD("S", m, m), PD("Lambda_h", h, h)
AXES = (eq(J.T * J, Identity(m)), eq(J.T * u, ZeroMatrix(m, 1)), eq(u.T * u, Identity(1)),
        eq(J * J.T + u * u.T, Identity(h)))
FACTOR = eq(C_h, J * (S + mu * mu.T) * J.T + J * mu * u.T + u * mu.T * J.T + u * u.T)


def axes(draw: Draw) -> Mapping[MatrixSymbol, object]:
    """J and u for two inputs."""
    identity = fields.identity(3) if not isinstance(draw(), float) else fields.identity(3).astype(float)
    return {J: identity[:, :2], u: identity[:, 2:]}


COORDINATES = Theorem(
    name="homogeneous-coordinates",
    title="W x + b is linear in the activation with a one appended",
    equations=("1",),
    assumes=AXES,
    claims=(eq((W * J.T + b * u.T) * (J * x + u), W * x + b),),
    wrong=(eq((W * J.T + b * u.T) * (J * x + u), W * x - b), eq((W * J.T + b * u.T) * (J * x - u), W * x + b),
           eq((W * J.T + b * u.T) * (J * x), W * x + b)),
    values=axes,
)

INVERSE = (J * Inverse(S) * J.T - J * Inverse(S) * mu * u.T - u * mu.T * Inverse(S) * J.T
           + u * (Identity(1) + mu.T * Inverse(S) * mu) * u.T)
FACTOR_INVERSE = Theorem(
    name="bias-factor-inverse",
    title="The inverse factor of [x; 1] contains the inverse covariance of x, free of its mean",
    equations=("1", "15"),
    given="Λ_h = ⟨[x; 1][x; 1]ᵀ⟩.",
    assumes=(*AXES, FACTOR),
    claims=(eq(Inverse(C_h), INVERSE), eq(J.T * Inverse(C_h) * J, Inverse(S))),
    wrong=(eq(Inverse(C_h), J * Inverse(S) * J.T + u * u.T),
           eq(J.T * Inverse(C_h) * J, Inverse(S + mu * mu.T)),
           eq(Inverse(C_h), INVERSE - 2 * u * u.T), eq(J.T * Inverse(C_h) * u, Inverse(S) * mu)),
    values=axes,
)

STEP = Inverse(E) * G_h * Inverse(C_h)
UPDATE = Theorem(
    name="bias-update",
    title="Weights learn from the gradient at centred inputs; the bias takes back what they do to the mean",
    equations=("1", "10"),
    given="[G g] is the negative gradient of weights and bias: dW = Λ̃⁻¹ (G − g μᵀ) S⁻¹, db = Λ̃⁻¹ g − dW μ.",
    assumes=(*AXES, FACTOR, eq(G_h, G * J.T + g * u.T)),
    claims=(eq(STEP * J, Inverse(E) * (G - g * mu.T) * Inverse(S)),
            eq(STEP * u, Inverse(E) * g - STEP * J * mu)),
    wrong=(eq(STEP * J, Inverse(E) * (G + g * mu.T) * Inverse(S)), eq(STEP * J, Inverse(E) * G * Inverse(S)),
           eq(STEP * u, Inverse(E) * g), eq(STEP * u, Inverse(E) * g + STEP * J * mu)),
    values=axes,
)

CENTRED = Theorem(
    name="bias-decouples",
    title="If ⟨x⟩ = 0, weights and bias decouple: dW = Λ̃⁻¹ G S⁻¹, db = Λ̃⁻¹ g",
    equations=("1", "9", "10"),
    assumes=(*AXES, FACTOR, eq(G_h, G * J.T + g * u.T), eq(mu, ZeroMatrix(m, 1))),
    claims=(eq(STEP * J, Inverse(E) * G * Inverse(S)), eq(STEP * u, Inverse(E) * g)),
    wrong=(eq(STEP * J, -Inverse(E) * G * Inverse(S)), eq(STEP * u, E * g), eq(STEP * u, 2 * Inverse(E) * g)),
    values=axes,
)

COUPLED = Theorem(
    name="bias-decouples-only-if-centred",
    title="They decouple only if ⟨x⟩ = 0: what couples them in Λ_h⁻¹ is −S⁻¹ ⟨x⟩",
    equations=("9",),
    assumes=(*AXES, FACTOR),
    claims=(eq(J.T * C_h * u, mu), eq(J.T * Inverse(C_h) * u, -Inverse(S) * mu),
            eq(S * J.T * Inverse(C_h) * u, -mu)),
    wrong=(eq(J.T * C_h * u, ZeroMatrix(m, 1)), eq(J.T * Inverse(C_h) * u, Inverse(S) * mu),
           eq(S * J.T * Inverse(C_h) * u, mu), eq(u.T * C_h * u, 2 * u.T * u)),
    values=axes,
)

THEOREMS = (COORDINATES, FACTOR_INVERSE, UPDATE, CENTRED, COUPLED)
