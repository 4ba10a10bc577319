"""The exact damped step (F + λ)⁻¹g: by a recursion backward over the layers, or by one equation of the map's size.

To first order a step moves the products W_i ⋯ W_1 by S_i = W_i S_{i-1} + Δ_i B_i, S_0 = 0. Stacked over the layers,
as columns: S = N S + E δ, where N brings S_{i-1} to layer i by I ⊗ W_i, E has the blocks B_iᵀ ⊗ I, and T takes S_L.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr, Identity, Inverse, MatrixSymbol, Ne, Symbol, Trace

from ngdsym.algebra.instance import Draw, Matrix
from ngdsym.algebra.symbols import PD, PSD
from ngdsym.theorems.dense import Net, unvec, vec
from ngdsym.theorems.notation import P, Sigma, Sigma_tilde, Z, d, n, o
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

N_o, s, p = (Symbol(name, integer=True, positive=True) for name in ("N", "s", "p"))
N, E, T = MatrixSymbol("N", s, s), MatrixSymbol("E", s, p), MatrixSymbol("T", N_o, s)
X, J, H = MatrixSymbol("X", s, s), MatrixSymbol("J", N_o, p), PD("H", N_o, N_o)
R, K, l_p = PSD("R", s, s), PD("K", p, p), PD("lambda_p", p, p)
q, S = MatrixSymbol("q", s, 1), MatrixSymbol("S", s, 1)
z, delta = MatrixSymbol("z", N_o, 1), MatrixSymbol("delta", p, 1)
I_s = Identity(s)


def placed(blocks: Mapping[tuple[int, int], Matrix], rows: list[int], cols: list[int], net: Net) -> Matrix:
    """A matrix of the given blocks, zero elsewhere."""
    zero = net.number(0)
    return np.block([[blocks.get((i, j), np.full((a, b), zero)) for j, b in enumerate(cols)]
                     for i, a in enumerate(rows)])


def recursion(net: Net, damping: Any) -> dict[str, list[Matrix]]:
    """R_i, q_i and K_i of every layer from the last to the first, then Δ_i and S_i from the first to the last."""
    inputs = [np.kron(net.B(i).T, net.eye(net.sizes[i])) for i in net.layers]
    carry = [np.kron(net.eye(net.sizes[0]), W) for W in net.W]
    value, linear = net.H, net.H @ vec(net.Z)[:, None]
    found: dict[str, list[Matrix]] = {"R": [], "q": [], "K": [], "delta": [], "S": []}
    for E_i, N_i in zip(inputs[::-1], carry[::-1]):
        gram = E_i.T @ value @ E_i + net.eye(E_i.shape[1]) * damping
        for name, matrix in (("R", value), ("q", linear), ("K", gram)):
            found[name].insert(0, matrix)
        gain = value @ E_i @ net.inv(gram) @ E_i.T
        value, linear = N_i.T @ (value - gain @ value) @ N_i, N_i.T @ (linear - gain @ linear)
    moved = net.eye(net.sizes[0] ** 2)[:, :1] * 0
    for E_i, N_i, value, linear, gram in zip(inputs, carry, found["R"], found["q"], found["K"]):
        step = net.inv(gram) @ E_i.T @ (linear - value @ N_i @ moved)
        moved = N_i @ moved + E_i @ step
        found["delta"].append(step)
        found["S"].append(moved)
    return found | {"E": inputs, "N": carry}


def stacked(draw: Draw) -> Mapping[Expr, Any]:
    """Three layers, stepped by the recursion; the letters are the stacks."""
    net = Net((1, 2, 2, 1) if not isinstance(draw(), float) else (3, 4, 2, 3), draw)
    damping = net.number(1, 3)
    layers = recursion(net, damping)
    states, steps = [len(a) for a in layers["S"]], [len(a) for a in layers["delta"]]

    def diagonal(name: str, rows: list[int], cols: list[int]) -> Matrix:
        return placed({(i, i): matrix for i, matrix in enumerate(layers[name])}, rows, cols, net)

    shift = placed({(i, i - 1): layers["N"][i] for i in range(1, net.L)}, states, states, net)
    last = placed({(0, net.L - 1): net.eye(states[-1])}, states[-1:], states, net)
    return {N: shift, E: diagonal("E", states, steps), T: last, X: net.inv(net.eye(sum(states)) - shift), J: net.J,
            H: net.H, R: diagonal("R", states, states), K: diagonal("K", steps, steps),
            l_p: net.eye(sum(steps)) * damping, q: np.concatenate(layers["q"]), S: np.concatenate(layers["S"]),
            z: vec(net.Z)[:, None], delta: np.concatenate(layers["delta"])}


gain = R * E * Inverse(K) * E.T
RICCATI = Theorem(
    name="damped-step-riccati",
    title="One backward sweep of a Riccati recursion and one forward sweep give (F + λ)⁻¹ g exactly, for any depth",
    equations=("4", "20"),
    given="R, K are block-diagonal, so the recursion goes one layer at a time: R_L = H, K_i = λ + E_iᵀ R_i E_i, "
          "R_{i-1} = N_iᵀ (R_i − R_i E_i K_i⁻¹ E_iᵀ R_i) N_i, likewise q, then Δ_i = K_i⁻¹ E_iᵀ (q_i − R_i N_i "
          "S_{i-1}). λ may be any positive matrix. The step as an optimal control of the layers: Dufort-Labbé et al. "
          "2026 (arXiv 2605.04230).",
    assumes=(eq(X * (I_s - N), I_s), eq((I_s - N) * X, I_s), eq(J, T * X * E),
             eq(K, l_p + E.T * R * E), eq(R, T.T * H * T + N.T * (R - gain * R) * N),
             eq(q, T.T * H * z + N.T * (q - gain * q)), eq(S, N * S + E * delta), eq(K * delta, E.T * (q - R * N * S))),
    claims=(eq((J.T * H * J + l_p) * delta, J.T * H * z), eq(T * S, J * delta)),
    wrong=(eq(J.T * H * J * delta, J.T * H * z), eq((J.T * H * J + l_p) * delta, -J.T * H * z), eq(T * S, z),
           eq(l_p * delta, J.T * H * z)),
    values=stacked,
    points=True,
)

R_00, R_11, H_00, H_11 = (MatrixSymbol(name, 2, 2) for name in ("R_00", "R_11", "H_00", "H_11"))


def blocks(draw: Draw) -> Mapping[Expr, Any]:
    """Diagonal blocks of R_1 and of R_L = H in three layers."""
    net = Net((2, 2, 2, 2), draw)
    first = recursion(net, net.number(1))["R"][0]
    return {R_00: first[:2, :2], R_11: first[2:, 2:], H_00: net.H[:2, :2], H_11: net.H[2:, 2:]}


NOT_KRONECKER = Theorem(
    name="riccati-not-kronecker",
    title="The matrices of the recursion are no Kronecker products: R_i has n_0 n_i rows that do not separate",
    equations=("20", "22"),
    given="Sizes (2, 2, 2, 2), λ = 1. Blocks (1, 1) and (2, 2) of X ⊗ Y are multiples of one Y. Those of R_L = H are "
          "(its denial is a wrong variant), those of R_1 are not. So exact damping has no factored form, and the "
          "recursion inverts matrices of n_0 n_i rows where sample-space inverts one of n_0 n_L rows.",
    claims=(Ne(R_00 * Trace(R_11), R_11 * Trace(R_00)),),
    wrong=(Ne(H_00 * Trace(H_11), H_11 * Trace(H_00)), eq(R_00 * Trace(R_11), R_11 * Trace(R_00))),
    values=blocks,
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

W_2, W_1, Y, lam = MatrixSymbol("W_2", o, n), MatrixSymbol("W_1", n, d), MatrixSymbol("X", o, d), PD("lambda_d", d, d)
D_2, D_1, l_n = MatrixSymbol("D_2", o, n), MatrixSymbol("D_1", n, d), PD("lambda_n", n, n)
left = Z - W_2 * D_1 - D_2 * W_1


def two_layers(draw: Draw) -> Mapping[Expr, Any]:
    """X solves the equation of the map's size, by the dense matrix JJᵀ + λH⁻¹."""
    net = Net((2, 1, 2) if not isinstance(draw(), float) else (4, 3, 5), draw)
    damping = net.number(1, 3)
    solved = unvec(net.inv(net.J @ net.J.T + net.inv(net.H) * damping) @ vec(net.Z), net.sizes[-1])
    return {W_1: net.W[0], W_2: net.W[1], Sigma: net.Sigma, Sigma_tilde: net.Sigma_tilde, Z: net.Z, Y: solved,
            lam: net.eye(net.sizes[0]) * damping, l_n: net.eye(net.sizes[1]) * damping}


TWO_LAYERS = Theorem(
    name="damped-step-two-layers",
    title="Two layers: the damped step is Δ_1 = W_2ᵀX, Δ_2 = X W_1ᵀ with W_2 W_2ᵀ X + X W_1ᵀ W_1 + λ Σ̃ X Σ⁻¹ = Z",
    equations=("4", "20"),
    given="λ_d, λ_n are λ times I. The claims are the normal equations of both layers, λ Δ_i = A_iᵀ Σ̃⁻¹ (Z − Σ_j A_j "
          "Δ_j B_j) Σ B_iᵀ. In bases where Σ̃ and W_2 W_2ᵀ, Σ and W_1ᵀ W_1 are diagonal, X is Z over sums of "
          "eigenvalues. With L layers Δ_i = A_iᵀ X B_iᵀ and Σ_i A_i A_iᵀ X B_iᵀ B_i + λ Σ̃ X Σ⁻¹ = Z.",
    assumes=(eq(W_2 * W_2.T * Y + Y * W_1.T * W_1 + Sigma_tilde * Y * lam * Inverse(Sigma), Z), eq(D_1, W_2.T * Y),
             eq(D_2, Y * W_1.T), eq(lam * W_1.T, W_1.T * l_n)),
    claims=(eq(D_1 * lam, W_2.T * P * left * Sigma), eq(D_2 * l_n, P * left * Sigma * W_1.T)),
    wrong=(eq(D_1 * lam, W_2.T * P * Z * Sigma), eq(D_1 * lam, -W_2.T * P * left * Sigma),
           eq(D_2 * l_n, P * (Z - D_2 * W_1) * Sigma * W_1.T)),
    values=two_layers,
    points=True,
)

THEOREMS = (RICCATI, NOT_KRONECKER, TWO_LAYERS)
