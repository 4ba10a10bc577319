"""The exact natural gradient for every architecture: each component shared by its layers."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from sympy import Expr, Identity, MatAdd, MatMul, MatrixSymbol, Rational

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import A_i, A_j, P, Sigma_tilde, Z, d, n_i, n_j, o
from ngdsym.theorems.theorem import Theorem, eq

E_i, E_j = PSD("Lambda_tilde_i", n_i, n_i), PSD("Lambda_tilde_j", n_j, n_j)
V = MatrixSymbol("V", n_j, n_i)
Q = V * Pinv(E_i) * V.T * E_j
DEFINED = (eq(A_i, A_j * V), eq(E_i, A_i.T * P * A_i), eq(E_j, A_j.T * P * A_j))
K_j = MatrixSymbol("K_j", n_j, o)
ADJOINT = (eq(A_j * K_j * A_j, A_j), eq((P * A_j * K_j).T, P * A_j * K_j))

CROSS = Theorem(
    name="off-diagonal-carry",
    title="Vᵀ Λ̃_j = ⟨e_i e_jᵀ⟩: off-diagonal blocks of F tell a layer which directions an earlier one has",
    equations=("22",),
    given="V = W_j ⋯ W_{i+1} leads from layer i to a later layer j, so A_i = A_j V.",
    assumes=DEFINED,
    claims=(eq(V.T * E_j, A_i.T * P * A_j), eq(V.T * E_j * V, E_i)),
    wrong=(eq(V.T * E_j, -A_i.T * P * A_j), eq(V.T * E_j, A_i.T * A_j),
           eq(V.T * E_j, A_i.T * Sigma_tilde * A_j),
           eq(V.T * V, E_i)),
)

LOCAL = Theorem(
    name="exact-rule-local",
    title="A_j Q_{i,j} Λ̃_j⁺ A_jᵀ Σ̃⁻¹ = P_i^a: a layer can single out what an earlier layer can do",
    equations=("10",),
    given="Q_{i,j} = V Λ̃_i⁺ Vᵀ Λ̃_j; K_j is the Σ̃⁻¹-adjoint inverse of A_j. The same on the side of B.",
    assumes=(*DEFINED, *ADJOINT),
    claims=(eq(A_j * Q * Pinv(E_j) * A_j.T * P, A_i * Pinv(E_i) * A_i.T * P),),
    wrong=(eq(A_j * Q * Pinv(E_j) * A_j.T * P, A_j * Pinv(E_j) * A_j.T * P),
           eq(A_j * Q * Pinv(E_j) * A_j.T * P, -A_i * Pinv(E_i) * A_i.T * P),
           eq(A_j * V * V.T * E_j * Pinv(E_j) * A_j.T * P, A_i * Pinv(E_i) * A_i.T * P)),
    recipes={K_j: Pinv(E_j) * A_j.T * P},
    sizes={o: 3, n_j: 2, n_i: 1},
    points=True,
)


def shares(L: int) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Σ over layers i and α ≤ i ≤ β of (P_α − P_{α−1}) Z (Q_β − Q_{β+1})/(β−α+1), against the staircase."""
    total: defaultdict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for i in range(1, L + 1):
        for alpha in range(1, i + 1):
            for beta in range(i, L + 1):
                for sign, left, right in ((1, alpha, beta), (-1, alpha - 1, beta), (-1, alpha, beta + 1),
                                          (1, alpha - 1, beta + 1)):
                    if left >= 1 and right <= L:
                        total[left, right] += Fraction(sign, beta - alpha + 1)
    p, q = ([MatrixSymbol(f"{name}_{i}", k, k) for i in range(1, L + 1)] for name, k in (("P", o), ("Q", d)))
    terms = [MatMul(Rational(c), p[i - 1], Z, q[j - 1]) for (i, j), c in total.items() if c]
    stairs = [MatMul(p[i], Z, q[i]) for i in range(L)] + [MatMul(-1, p[i], Z, q[i + 1]) for i in range(L - 1)]
    return (), (eq(MatAdd(*terms) if len(terms) > 1 else terms[0], MatAdd(*stairs) if L > 1 else stairs[0]),)


X_m, Y, ell = MatrixSymbol("X_m", o, d), MatrixSymbol("Y", o, d), MatrixSymbol("ell", d, d)
T, S, U = MatrixSymbol("T", o, d), MatrixSymbol("S", o, d), MatrixSymbol("U", o, o)
P_L, P_M, Q_M = MatrixSymbol("P_L", o, o), MatrixSymbol("P_M", o, o), MatrixSymbol("Q_M", d, d)
STEP = T - U * Z * Q_M + (U + P_M - P_L) * Z * Q_M
SHARES = Theorem(
    name="exact-rule-shares",
    title="Shares 1/m of every component, given to the m layers α…β that carry it, add up to the staircase",
    equations=("10", "17"),
    given="Step of two inductions. In m: if ℓ shares X_m make Y = X_m ℓ, one more makes X_m (ℓ + 1); m of "
          "X/m make X. "
          "In depth, M = L + 1: T sums the components up to L, S is the staircase, U = Σ_α (P_α − P_{α−1}) = "
          "P_L; "
          "layer M takes U Z Q_M from the components that ended at L and adds those that end at M.",
    assumes=(eq(Y, X_m * ell), eq(T, S), eq(U, P_L)),
    claims=(eq(Y + X_m, X_m * (ell + Identity(d))), eq(STEP, S - P_L * Z * Q_M + P_M * Z * Q_M)),
    wrong=(eq(Y + X_m, X_m * ell), eq(Y - X_m, X_m * (ell + Identity(d))),
           eq(STEP, S + P_L * Z * Q_M + P_M * Z * Q_M),
           eq(STEP, S - P_L * Z * Q_M), eq(T - U * Z * Q_M, S + P_M * Z * Q_M)),
    instances=shares,
)

EXACT, RULE, PAPER = (MatrixSymbol(f"dW_{name}", o, d) for name in ("exact", "rule", "paper"))


def components(net: Net) -> dict[tuple[int, int], np.ndarray]:
    """(P_α − P_{α−1}) Z (P_β − P_{β+1}) for α ≤ β."""
    left = [net.eye(net.sizes[-1]) * 0]
    left += [net.A(i) @ net.pinv(net.error_covariance(i)) @ net.A(i).T @ net.P for i in net.layers]
    right = [net.Sigma @ net.B(i).T @ net.pinv(net.input_covariance(i)) @ net.B(i) for i in net.layers]
    right.append(net.eye(net.sizes[0]) * 0)
    return {(a, b): (left[a] - left[a - 1]) @ net.Z @ (right[b - 1] - right[b])
            for a in net.layers for b in net.layers if a <= b}


def local_rule(net: Net) -> list[np.ndarray]:
    """The layer-local form of the exact rule."""
    updates = []
    for i in net.layers:
        E, C = net.error_covariance(i), net.input_covariance(i)
        core = net.pinv(E) @ net.gradient(i) @ net.pinv(C)

        def left(a: int) -> np.ndarray:
            V = net.product(a + 1, i)
            return V @ net.pinv(net.error_covariance(a)) @ V.T @ E if a else E * 0

        def right(b: int) -> np.ndarray:
            U = net.product(i, b - 1)
            return C @ U.T @ net.pinv(net.input_covariance(b)) @ U if b <= net.L else C * 0

        updates.append(sum((left(a) - left(a - 1)) @ core @ (right(b) - right(b + 1)) * net.number(1,
                                                                                                   b - a + 1)
                           for a in range(1, i + 1) for b in range(i, net.L + 1)))
    return updates


def rates(draw: Draw) -> Mapping[Expr, object]:
    """Exact flow, flow of the layer-local rule, flow of the paper's rule, and its components times m/L."""
    net = Net((3, 2, 1, 2, 2), draw)
    parts = components(net)
    weighted = sum(part * net.number(b - a + 1, net.L) for (a, b), part in parts.items())
    return {EXACT: net.exact_flow(), RULE: net.flow_of(local_rule(net)),
            PAPER: net.flow_of(net.paper_updates()),
            SLOWED: weighted, SUM: sum(parts.values()), Z: net.Z}


SLOWED, SUM = MatrixSymbol("Z_slow", o, d), MatrixSymbol("Z_sum", o, d)
RULE_IS_EXACT = Theorem(
    name="exact-rule",
    title="The layer-local exact rule moves W along −F⁺∇, whatever the architecture",
    equations=("4", "10"),
    given="Sizes (3, 2, 1, 2, 2), F formed in full and pseudo-inverted.",
    claims=(eq(RULE, EXACT),),
    wrong=(eq(RULE, -EXACT), eq(RULE, PAPER), eq(RULE, 2 * EXACT), eq(RULE, Z)),
    values=rates,
    points=True,
    missing={"certificate": "F⁺ of all layers is no word; exact-rule-local, exact-rule-shares and staircase "
                            "are the proof."},
)

SLOW = Theorem(
    name="paper-rule-rates",
    title="Eq. 19 gives a component carried by m of L layers the rate m/L instead of 1",
    equations=("19",),
    given="Z_slow = Σ (m/L)(P_α − P_{α−1}) Z (P_β − P_{β+1}), m = β − α + 1; Z_sum the same without m/L.",
    claims=(eq(PAPER, SLOWED), eq(EXACT, SUM)),
    wrong=(eq(PAPER, SUM), eq(EXACT, SLOWED), eq(PAPER, -SLOWED), eq(PAPER, 4 * SLOWED)),
    values=rates,
    points=True,
    missing={"certificate": "Dense reference on one architecture; exact-rule-shares certifies the "
                            "counting."},
)

THEOREMS = (CROSS, LOCAL, SHARES, RULE_IS_EXACT, SLOW)
