"""The Fisher matrix of a deep linear network: factors, blocks, rank, kernel (Eqs. 5, 14, 15, 22, SM 19)."""
from __future__ import annotations

from collections.abc import Mapping

from sympy import Expr, Identity, KroneckerProduct, Le, MatrixSymbol, Symbol, ZeroMatrix

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.network.linear_network import LinearNetwork
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import (
    B_,
    NEIGHBOURS,
    A,
    A_i,
    A_j,
    B_i,
    B_j,
    E,
    P,
    Sigma,
    Sigma_tilde,
    W_i,
    W_j,
    d,
    m,
    m_i,
    n,
    n_i,
    n_j,
    o,
    size,
)
from ngdsym.theorems.theorem import Theorem, eq

R = PSD("R", o, o)
C = PSD("Lambda", m_i, m_i)
T = MatrixSymbol("T", n_i, n_i)
m_j, B_far = size("j", "m"), B_("j")
F_ij = MatrixSymbol("F_ij", n_i * m_i, n_j * m_j)
E_ij, C_ij = MatrixSymbol("Lambda_tilde_ij", n_i, n_j), MatrixSymbol("Lambda_ij", m_i, m_j)
V = MatrixSymbol("V", n_j, m_j)
K, X = MatrixSymbol("K", n, o), MatrixSymbol("X", n, m)


ERRORS = Theorem(
    name="error-covariance",
    title="Λ̃_i = A_iᵀ Σ̃⁻¹ A_i, and it follows from the layer above",
    equations=("12", "14"),
    given="R = ⟨(y − Wx)(y − Wx)ᵀ⟩ under the model, e_i = A_iᵀ Σ̃⁻¹ (y − W x), layer j = i + 1.",
    assumes=(eq(R, Sigma_tilde), NEIGHBOURS[0]),
    claims=(eq(A_i.T * P * R * P * A_i, A_i.T * P * A_i), eq(A_i.T * P * A_i, W_j.T * A_j.T * P * A_j * W_j)),
    wrong=(eq(A_i.T * P * R * P * A_i, A_i.T * R * A_i), eq(A_i.T * P * R * P * A_i, A_i.T * A_i),
           eq(A_i.T * P * A_i, -W_j.T * A_j.T * P * A_j * W_j)),
)

ACTIVATIONS = Theorem(
    name="activation-covariance",
    title="Λ_{i-1} = B_i Σ B_iᵀ, and Λ_i follows from it",
    equations=("11", "15"),
    given="x_{i-1} = B_i x, layer j = i + 1; an average over inputs is linear, so ⟨B x xᵀ Bᵀ⟩ = B Σ Bᵀ.",
    assumes=(NEIGHBOURS[1], eq(C, B_i * Sigma * B_i.T)),
    claims=(eq(B_j * Sigma * B_j.T, W_i * C * W_i.T),),
    wrong=(eq(B_j * Sigma * B_j.T, W_i * W_i.T), eq(B_j * Sigma * B_j.T, 2 * W_i * C * W_i.T),
           eq(B_j * B_j.T, W_i * C * W_i.T)),
)


def blocks(draw: Draw) -> Mapping[Expr, object]:
    """Blocks of the covariance of the score: the log-density differentiated and averaged."""
    if not isinstance(draw(), float):
        symbols = LinearNetwork((1, 2, 1, 2))
        f = symbols.formulas
        return {F_ij: symbols.derivatives.covariance[:2, 4:], Sigma: f.input_covariance, A_i: f.A(1), A_j: f.A(3),
                Sigma_tilde: symbols.field.exact(symbols.output_covariance), B_i: f.B(1), B_far: f.B(3)}
    net = Net((2, 3, 1, 2), draw)
    ends = [net.sizes[k] * net.sizes[k - 1] for k in net.layers]
    F = net.fisher_from_scores()
    return {F_ij: F[:ends[0], ends[0] + ends[1]:], Sigma: net.Sigma, Sigma_tilde: net.Sigma_tilde,
            A_i: net.A(1), A_j: net.A(3), B_i: net.B(1), B_far: net.B(3)}


BLOCKS = Theorem(
    name="fisher-blocks",
    title="F_ij = ⟨x_{i-1} x_{j-1}ᵀ⟩ ⊗ ⟨e_i e_jᵀ⟩, from the covariance of the score",
    equations=("5", "22", "SM 19"),
    claims=(eq(F_ij, KroneckerProduct(B_i * Sigma * B_far.T, A_i.T * P * A_j)),),
    wrong=(
        eq(F_ij, KroneckerProduct(B_i * Sigma * B_far.T, A_i.T * Sigma_tilde * A_j)),
        eq(F_ij, 2 * KroneckerProduct(B_i * Sigma * B_far.T, A_i.T * P * A_j)),
        eq(F_ij, -KroneckerProduct(B_i * Sigma * B_far.T, A_i.T * P * A_j)),
        eq(F_ij, KroneckerProduct(B_i * B_far.T, A_i.T * P * A_j)),
    ),
    given="Exact: sizes (1, 2, 1, 2), layers 1 and 3, every number an indeterminate.",
    values=blocks,
    missing={"certificate": "The score is a derivative, ⟨·⟩ an integral; fisher-action certifies the rest."},
)

ACTION = Theorem(
    name="fisher-action",
    title="Block (i, j) of F sends a change V of W_j to ⟨e_i e_jᵀ⟩ V ⟨x_{j-1} x_{i-1}ᵀ⟩",
    equations=("22",),
    given="The left side is the gradient of layer i when the output is off by A_j V B_j x.",
    assumes=(eq(E_ij, A_i.T * P * A_j), eq(C_ij, B_i * Sigma * B_far.T)),
    claims=(eq(A_i.T * P * (A_j * V * B_far) * Sigma * B_i.T, E_ij * V * C_ij.T),),
    wrong=(eq(A_i.T * P * (A_j * V * B_far) * Sigma * B_i.T, -E_ij * V * C_ij.T),
           eq(A_i.T * Sigma_tilde * (A_j * V * B_far) * Sigma * B_i.T, E_ij * V * C_ij.T),
           eq(A_i.T * P * (A_j * V * B_far) * B_i.T, E_ij * V * C_ij.T)),
)

GAUGE = Theorem(
    name="gauge-directions",
    title="Sliding an invertible map between two layers changes nothing, so F is singular",
    equations=("9",),
    given="W_j moves along W_j T and W_i along −T W_i, layer j = i + 1; T is any n_i × n_i matrix.",
    assumes=NEIGHBOURS,
    claims=(eq(A_j * (W_j * T) * B_j - A_i * (T * W_i) * B_i, ZeroMatrix(o, d)),),
    wrong=(eq(A_j * (W_j * T) * B_j + A_i * (T * W_i) * B_i, ZeroMatrix(o, d)),
           eq(A_j * (W_j * T) * B_j - A_i * (T.T * W_i) * B_i, ZeroMatrix(o, d)),
           eq(A_j * (W_j * T) * B_j - 2 * A_i * (T * W_i) * B_i, ZeroMatrix(o, d))),
)

KERNEL = Theorem(
    name="factor-kernel",
    title="Λ̃_i X = 0 exactly when A_i X = 0: Λ̃_i is singular as soon as a later layer is narrower",
    equations=("14", "15"),
    given="K is the Σ̃⁻¹-adjoint inverse of A_i. The same holds for Λ_{i-1} and B_iᵀ, with Σ for Σ̃⁻¹.",
    assumes=(eq(E, A.T * P * A), eq(A * K * A, A), eq((P * A * K).T, P * A * K), eq(E * X, ZeroMatrix(n, m))),
    claims=(eq(A * X, ZeroMatrix(o, m)),),
    wrong=(eq(X, ZeroMatrix(n, m)), eq(E * X, X), eq(A.T * P * A * X, X)),
    recipes={K: Pinv(E) * A.T * P, X: (Identity(n) - Pinv(E) * E) * MatrixSymbol("X_0", n, m)},
    sizes={n: 3, o: 2, m: 1},
    points=True,
)


def ranks(draw: Draw) -> Mapping[Expr, object]:
    """Rank of F in a bottleneck, with the numbers that should give it."""
    net = Net((4, 2, 5, 3), draw)
    return {RANK: net.rank(net.F), r: 2, n_0: 4, n_L: 3}


RANK, r, n_0, n_L = (Symbol(name, positive=True) for name in ("rank_F", "r", "n_in", "n_out"))

RANK_F = Theorem(
    name="fisher-rank",
    title="rank F = r (n_0 + n_L − r) with r the smallest width, at most n_0 n_L",
    equations=("9",),
    given="Generic weights.",
    claims=(eq(RANK, r * (n_0 + n_L - r)), Le(RANK, n_0 * n_L)),
    wrong=(eq(RANK, n_0 * n_L), eq(RANK, r * (n_0 + n_L)), eq(RANK, r**2)),
    values=ranks,
    points=True,
    missing={"certificate": "A rank is no polynomial equation; tangent-projection certifies what it counts."},
)

THEOREMS = (ACTIVATIONS, ERRORS, BLOCKS, ACTION, GAUGE, KERNEL, RANK_F)
