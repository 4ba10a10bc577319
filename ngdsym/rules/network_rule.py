"""Rules for all layers of a linear network: the exact one as a formula for each layer, and what it does.

The left ranges range(A_i) grow with i and the row spaces row(B_i) shrink, in as many levels as the running
minima of the widths have values. A left direction first seen at layer α and a right direction last seen at
layer β are shared by the β − α + 1 layers between, and each of these makes an equal part of the change.
`layer_update` is the formula; `ngdnum/rules/network.py` computes it, and visits each level once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from itertools import accumulate, pairwise

import numpy as np
from sympy import Add, Identity, Integer, MatAdd, MatrixSymbol, Symbol, symbols
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.algebra.tex import tex
from ngdsym.algebra.transformation import ONE, Letter, NotCovariant, Pair
from ngdsym.compiler.emit import emit_update
from ngdsym.compiler.text import LINALG, alone, functions_of
from ngdsym.rules.claims import Counterexample, Sides, Step, following
from ngdsym.rules.equivariance import c, degree, pairs
from ngdsym.rules.evaluate import LinearInstance, evaluate
from ngdsym.rules.properties import GROUPS, SEEDS, WIDE, Finding, Properties, random_bases, refuted
from ngdsym.rules.zoo import brought_inverse

GROUNDS = "exact-rule-local", "exact-rule-shares", "staircase"
"""Theorems that together say that the rule is exact for layers of any widths."""
DEPTHS = range(1, 5)


@cache
def layer_update(i: int, L: int) -> MatrixExpr:
    """ΔW_i in a network of L layers, from the weights and both factors of all layers and the layer's own G.

    The sum over α ≤ i ≤ β of (P_α − P_{α−1}) G (Q_β − Q_{β+1}) / (β − α + 1), with P_α = V Λ̃_α⁺ Vᵀ for V =
    W_i ⋯ W_{α+1} and Q_β = Uᵀ Λ_{β-1}⁺ U for U = W_{β-1} ⋯ W_i. The emitted code leaves out differences
    between layers of one level, which change no output.

    Examples
    --------
    >>> layer_update(1, 1)
    Pinv(Lambda_tilde_1)*G*Pinv(Lambda_0)
    """
    sizes = symbols(f"n_:{L + 1}", integer=True, positive=True)
    G = MatrixSymbol("G", sizes[i], sizes[i - 1])

    def between(last: int, first: int) -> MatrixExpr:
        product: MatrixExpr = Identity(sizes[first - 1])
        for j in range(first, last + 1):
            product = MatrixSymbol(f"W_{j}", sizes[j], sizes[j - 1]) * product
        return product

    def left(alpha: int) -> list[MatrixExpr]:
        V = between(i, alpha + 1)
        return [V * Pinv(PSD(f"Lambda_tilde_{alpha}", sizes[alpha], sizes[alpha])) * V.T] if alpha else []

    def right(beta: int) -> list[MatrixExpr]:
        U = between(beta - 1, i)
        size = sizes[beta - 1]
        return [U.T * Pinv(PSD(f"Lambda_{beta - 1}", size, size)) * U] if beta <= L else []

    terms = [
        sign * P * G * Q / Integer(beta - alpha + 1)
        for alpha in range(1, i + 1)
        for beta in range(i, L + 1)
        for level, opposite in ((alpha, 1), (alpha - 1, -1))
        for P in left(level)
        for other, sign in ((beta, opposite), (beta + 1, -opposite))
        for Q in right(other)
    ]
    return MatAdd(*terms).doit()


@dataclass(frozen=True)
class ExactRule:
    """The exact natural gradient of linear networks with layers of any widths."""

    name: str = "exact"
    title: str = "exact natural gradient for layers of any widths"

    def properties(self) -> Properties:
        """What the rule is exact for, how it transforms and scales."""
        grounds = True if certified() else None, f"theorems {', '.join(GROUNDS)}, for weights of full rank"
        general_linear, orthogonal, scalar = map(covariant, GROUPS)
        return Properties(
            self.name,
            Finding("natural gradient of wide linear nets (λ → 0)", *grounds),
            Finding("natural gradient of any linear net (λ → 0)", *grounds),
            general_linear,
            orthogonal,
            scalar,
            loss_degree(),
            Finding("λ → ∞", "not damped", "λ does not occur"),
            Finding("FLOPs of factorise", "by depth", "the number of levels enters"),
            Finding("FLOPs of apply", "by depth", "the number of levels enters"),
        )

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \Delta W_1 = {tex(layer_update(1, 2))} \quad (L = 2)$"


exact = ExactRule()


def certified() -> bool:
    """Whether the certificates of the theorems that the rule rests on expand to what they claim."""
    from ngdsym.theorems import theorems

    return all(theorem.check("certificate").passed for theorem in theorems(GROUNDS).values())


def covariant(group: str) -> Finding:
    """Whether W_i → T_i W_i T_{i-1}⁻¹ carries every ΔW_i along."""
    question = f"{group} changes of basis"
    try:
        for L in DEPTHS:
            for i in range(1, L + 1):
                check = check_scalars if group == "scalar" else check_types
                check(i, L, group == "orthogonal")
    except NotCovariant as reason:
        return refuted(question, str(reason), [not_covariant(group, seed) for seed in SEEDS])
    return Finding(question, True, f"types of the factors, at depths {DEPTHS[0]} to {DEPTHS[-1]}")


def check_types(i: int, L: int, orthogonal: bool) -> None:
    T = [ONE, *(Letter(f"T_{j}", orthogonal) for j in range(1, L)), ONE]
    known: dict[str, Pair] = {"G": (T[i].inverse().transpose(), T[i - 1].transpose())}
    for j in range(1, L + 1):
        known[f"W_{j}"] = T[j], T[j - 1].inverse()
        known[f"Lambda_tilde_{j}"] = T[j].inverse().transpose(), T[j].inverse()
        known[f"Lambda_{j - 1}"] = T[j - 1], T[j - 1].transpose()
    if (T[i], T[i - 1].inverse()) not in (pairs(layer_update(i, L), known) or ()):
        raise NotCovariant(f"ΔW_{i} does not become {T[i]} ΔW_{i} {T[i - 1].inverse()}")


def exponents(i: int, L: int) -> tuple[list[Symbol | Integer], dict]:
    """Exponent of each layer's scale τ_i = e^{t_i}, and those with which every matrix scales."""
    t = [Integer(0), *symbols(f"t_1:{L}"), Integer(0)]
    known = {"G": t[i - 1] - t[i] + c}
    for j in range(1, L + 1):
        known[f"W_{j}"] = t[j] - t[j - 1]
        known[f"Lambda_tilde_{j}"], known[f"Lambda_{j - 1}"] = c - 2 * t[j], 2 * t[j - 1]
    return t, known


def check_scalars(i: int, L: int, _: bool) -> None:
    t, known = exponents(i, L)
    power = degree(layer_update(i, L), *t[1:-1], known=known)
    if Add(power, -t[i], t[i - 1]) != 0:
        raise NotCovariant(f"ΔW_{i} is multiplied by exp({power}), not exp({t[i] - t[i - 1]})")


def loss_degree() -> Finding:
    """Power of γ in every ΔW_i when the loss is multiplied by γ."""
    degrees = {
        degree(layer_update(i, L), c, known=exponents(i, L)[1]).coeff(c) for L in DEPTHS for i in range(1, L + 1)
    }
    answer = degrees.pop() if len(degrees) == 1 else None
    return Finding("degree in the scale of the loss", answer, "degrees of the factors")


# --- numbers --------------------------------------------------------------------------------------


def step(network: LinearInstance, i: int) -> np.ndarray:
    """ΔW_i of the formula, by NumPy."""
    L = len(network.weights)
    layers = {j: network.letters(j) for j in range(1, L + 1)}
    values = {"G": layers[i]["G"]}
    for j, letters in layers.items():
        values[f"W_{j}"] = network.weights[j - 1]
        values[f"Lambda_tilde_{j}"], values[f"Lambda_{j - 1}"] = letters["Lambda_tilde"], letters["Lambda"]
    return evaluate(layer_update(i, L), values, {})


def emitted_step() -> Step:
    """ΔW_i by the emitted torch code."""
    import torch

    written = functions_of(LINALG.with_name("network.py"))
    loops = [written[name] for name in ("exact_factorise", "exact_apply", "error_map", "input_map", "check_chain")]
    module: dict = {"accumulate": accumulate, "pairwise": pairwise, "reduce": reduce}
    exec(alone([emit_update(brought_inverse, brought_inverse.name), *loops]), module)

    def step(network: LinearInstance, i: int) -> np.ndarray:
        letters = [network.letters(j) for j in range(1, len(network.weights) + 1)]
        weights = [torch.from_numpy(W) for W in network.weights]
        errors, inputs, G = (
            [torch.from_numpy(layer[name]) for layer in letters] for name in ("Lambda_tilde", "Lambda", "G")
        )
        return module["exact_apply"](G, module["exact_factorise"](weights, errors, inputs))[i - 1].numpy()

    return step


def not_covariant(group: str, seed: int) -> Counterexample:
    """Update of layer 2 after a change of basis against the changed update."""
    network = LinearInstance.random(WIDE, seed)
    sides: Sides = following(random_bases(WIDE, group, seed))
    return Counterexample(f"ΔW follows {group} changes of basis", network, sides, step, emitted_step)
