"""The damped step in the space of samples, and with a memory of the last step (SPRING)."""
from __future__ import annotations

from sympy import Identity, Inverse, MatrixSymbol, Symbol

from ngdsym.algebra.symbols import PD
from ngdsym.theorems.theorem import Theorem, eq

N, p = Symbol("N", integer=True, positive=True), Symbol("p", integer=True, positive=True)
J, H, r, before = MatrixSymbol("J", N, p), PD("H", N, N), MatrixSymbol("r", N, 1), MatrixSymbol("delta_0", p, 1)
l_p, l_N = PD("lambda_p", p, p), PD("lambda_N", N, N)
mu, lam = MatrixSymbol("mu", p, p), Symbol("lambda", positive=True)
DAMPED = {l_p: lam * Identity(p), l_N: lam * Identity(N)}
SCALAR = "λ_p and λ_N are λ times I; of that is only used that they pass through J and H."

DUAL = Theorem(
    name="sample-space",
    title="(Jᵀ H J + λ)⁻¹ Jᵀ H = Jᵀ (J Jᵀ + λ H⁻¹)⁻¹: the damped step from a matrix of the size of the samples",
    equations=("4", "20"),
    given=SCALAR + " Guzmán-Cordero et al. 2025 (arXiv 2505.12149) for H = I. Without the H on the left it is false "
                   "unless H = I.",
    assumes=(eq(l_p * J.T, J.T * l_N), eq(l_N * Inverse(H), Inverse(H) * l_N)),
    claims=(eq(Inverse(J.T * H * J + l_p) * J.T * H, J.T * Inverse(J * J.T + l_N * Inverse(H))),),
    wrong=(eq(Inverse(J.T * H * J + l_p) * J.T, J.T * Inverse(J * J.T + l_N * Inverse(H))),
           eq(Inverse(J.T * H * J + l_p) * J.T * H, J.T * Inverse(J * J.T + l_N * H)),
           eq(Inverse(J.T * H * J + l_p) * J.T * H, -J.T * Inverse(J * J.T + l_N * Inverse(H)))),
    recipes=DAMPED,
    points=True,
)

STEP = mu * before + J.T * Inverse(J * J.T + l_N) * (r - J * mu * before)
SPRING = Theorem(
    name="spring",
    title="μ δ_0 + Jᵀ(J Jᵀ + λ)⁻¹(r − μ J δ_0) minimises ‖J δ − r‖² + λ ‖δ − μ δ_0‖²",
    equations=("20",),
    given=SCALAR + " δ_0 is the last step, μ a number times I. The claim is that the gradient vanishes: the normal "
                   "equations (JᵀJ + λ) δ = Jᵀ r + λ μ δ_0 of SPRING (Goldshlager et al. 2024), H = I.",
    assumes=(eq(l_p * J.T, J.T * l_N),),
    claims=(eq((J.T * J + l_p) * STEP, J.T * r + l_p * mu * before),),
    wrong=(eq((J.T * J + l_p) * STEP, J.T * r), eq((J.T * J + l_p) * STEP, J.T * r - l_p * mu * before),
           eq((J.T * J) * STEP, J.T * r)),
    recipes={**DAMPED, mu: Symbol("m", positive=True) * Identity(p)},
    points=True,
)

THEOREMS = (DUAL, SPRING)
