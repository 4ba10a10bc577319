"""The exact natural gradient for layers of any widths, emitted over lists of layers.

The left ranges range(A_i) grow with i and the row spaces row(B_i) shrink, in as many levels as the running
minima of the widths have values. A left direction first seen at layer α and a right direction last seen at
layer β are shared by the β − α + 1 layers between, and each of these makes an equal part of the change:

    ΔW_i = Σ_{α ≤ i ≤ β} (P_α − P_{α'}) G_i (Q_β − Q_{β'}) / (β − α + 1)

with P_α = V Λ̃_a⁺ Vᵀ the inverse factor of a layer a of the level, brought to layer i by V = W_i ⋯ W_{a+1},
α' the level before and β' the level after, and Q_β = Uᵀ Λ_b⁺ U likewise with U = W_{b-1} ⋯ W_i. Of each level
we take the layer next to i, so that where all hidden layers are wide this is Eq. 10.
"""
from __future__ import annotations

from sympy import MatrixSymbol

from ngdsym.compiler.emit import emit_update
from ngdsym.rules.rule import Update
from ngdsym.algebra.symbols import PSD, k, n

IMPORTS = """

from itertools import accumulate
from typing import Sequence"""

V, P = MatrixSymbol("V", n, k), PSD("P", k, k)

brought = Update("brought_inverse", V * P * V.T, "inverse of the factor of one layer, brought to another")

LOOPS = '''\
def exact_factorise(
    weights: Sequence[Tensor], Lambda_tilde: Sequence[Tensor], Lambda: Sequence[Tensor]
) -> tuple[tuple[tuple[Tensor, Tensor], ...], ...]:
    r"""Slow part of the exact natural gradient of a linear network with layers of any widths.

    .. math::

        \\Delta W_i = \\sum_{\\alpha \\le i \\le \\beta} \\frac{1}{\\beta - \\alpha + 1}
        \\left(P_{\\alpha,i} - P_{\\alpha',i}\\right) G_i \\left(Q_{\\beta,i} - Q_{\\beta',i}\\right)

    Here α runs over the first layers of levels (α = 1, and where the minimum of n_i, …, n_L rises), α' being
    the one before it; β over the last layers of levels (β = L, and where the minimum of n_0, …, n_{i-1} is
    about to fall), β' being the one after it. :math:`P = V \\tilde\\Lambda^{+} V^\\top` and :math:`Q =
    U^\\top \\Lambda^{+} U` with V and U the weights between the layers. Exact for weights of full rank; with
    all hidden layers wide it is Eq. 10 with Moore–Penrose inverses.

    Parameters
    ----------
    weights : sequence of Tensor
        From first to last layer, `[..., n_i, n_{i-1}]`, or `[..., n_i, n_{i-1} + 1]` with the bias in the
        last column. A layer with a bias cannot follow one without.
    Lambda_tilde : sequence of Tensor
        `[..., n_i, n_i]`. Covariances of the errors under the model.
    Lambda : sequence of Tensor
        Covariances of the inputs, as wide as the weights.

    Returns
    -------
    tuple
        For each layer, pairs of matrices left and right of its gradient.

    Raises
    ------
    ValueError
        If the lists differ in length, or the widths of successive layers do not fit.
    """
    check_chain(weights, Lambda_tilde, Lambda)
    layers = range(len(weights))
    error_inverses = [semidefinite_power(factor, -1) for factor in Lambda_tilde]
    input_inverses = [semidefinite_power(factor, -1) for factor in Lambda]
    narrowest_after = list(accumulate((W.shape[-2] for W in reversed(weights)), min))[::-1]
    narrowest_before = list(accumulate((W.shape[-1] for W in weights), min))
    alphas = [i for i in layers if i == 0 or narrowest_after[i] > narrowest_after[i - 1]]
    betas = [i for i in layers if i == layers[-1] or narrowest_before[i] > narrowest_before[i + 1]]
    state = []
    for i in layers:
        lefts, above = {}, 0
        for alpha, following in zip(alphas, [*alphas[1:], len(weights)]):
            if alpha <= i:
                a = min(i, following - 1)
                inverse = brought_inverse(error_inverses[a], error_map(weights, a, i))
                lefts[alpha], above = inverse - above, inverse
        rights, below = {}, 0
        for beta, preceding in reversed(list(zip(betas, [-1, *betas]))):
            if beta >= i:
                b = max(i, preceding + 1)
                inverse = brought_inverse(input_inverses[b], input_map(weights, i, b).mT)
                rights[beta], below = inverse - below, inverse
        state.append(tuple(
            (left, sum(right / (beta - alpha + 1) for beta, right in rights.items()))
            for alpha, left in lefts.items()
        ))
    return tuple(state)


def exact_apply(G: Sequence[Tensor], state: tuple[tuple[tuple[Tensor, Tensor], ...], ...]) -> list[Tensor]:
    r"""Exact natural gradient of a linear network with layers of any widths: ΔW_i for learning rate 1.

    Parameters
    ----------
    G : sequence of Tensor
        Negative gradients ⟨e xᵀ⟩, shaped like the weights.
    state : tuple
        What `exact_factorise` returned.

    Returns
    -------
    list of Tensor
        ΔW_i, shaped like `G`.
    """
    return [
        sum(left @ gradient @ right for left, right in pairs) for gradient, pairs in zip(G, state,
        strict=True)
    ]


def error_map(weights: Sequence[Tensor], a: int, i: int) -> Tensor:
    """V = W_i ⋯ W_{a+1} without biases: how errors of layer `i` reach layer `a`, e_a = Vᵀ e_i."""
    V = identity_like(weights[i].mT)
    for j in range(i, a, -1):
        V = V @ weights[j][..., : weights[j - 1].shape[-2]]
    return V


def input_map(weights: Sequence[Tensor], i: int, b: int) -> Tensor:
    """U = W_{b-1} ⋯ W_i in homogeneous coordinates: how the input of layer `i` reaches layer `b`."""
    U = identity_like(weights[i])
    for j in range(i, b):
        W = weights[j]
        if weights[j + 1].shape[-1] > W.shape[-2]:
            one = torch.zeros_like(W[..., :1, :])
            one[..., -1] = 1
            W = torch.cat([W, one], dim=-2)
        U = W @ U
    return U


def check_chain(weights: Sequence[Tensor], Lambda_tilde: Sequence[Tensor], Lambda: Sequence[Tensor]) -> None:
    """Raise ValueError unless the lists describe one chain of layers."""
    if not len(weights) == len(Lambda_tilde) == len(Lambda) > 0:
        raise ValueError(
            f"each layer needs one Λ̃ and one Λ, but there are {len(weights)} weights, "
            f"{len(Lambda_tilde)} Λ̃ and {len(Lambda)} Λ"
        )
    biases = [after.shape[-1] - before.shape[-2] for before, after in zip(weights, weights[1:])]
    for i, bias in enumerate(biases):
        if bias not in (0, 1):
            raise ValueError(
                f"layer {i + 2} takes {weights[i + 1].shape[-1]} inputs, but layer {i + 1} has "
                f"{weights[i].shape[-2]} outputs: the rule needs one chain of layers"
            )
    for i, (before, after) in enumerate(zip(biases, biases[1:])):
        if after > before:
            raise ValueError(f"layer {i + 3} has a bias, layer {i + 2} has none: give every layer one")
'''


def emit_exact() -> str:
    """Source of `exact_factorise` and `exact_apply`."""
    return f"{emit_update(brought, brought.name)}\n\n{LOOPS}"
