"""Rules for all layers of a linear network at once, as loops over what was derived for one layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from .definition import Rule
from .layer import brought_inverse, pseudo_backprop_apply, pseudo_backprop_factorise, source_map
from .linalg import identity_like, semidefinite_power


def exact_factorise(
    weights: Sequence[Tensor], Lambda_tilde: Sequence[Tensor], Lambda: Sequence[Tensor]
) -> tuple[tuple[tuple[Tensor, Tensor], ...], ...]:
    r"""Slow part of the exact natural gradient of a linear network with layers of any widths.

    .. math::

        \Delta W_i = \sum_{\alpha \le i \le \beta} \frac{1}{\beta - \alpha + 1}
        \left(P_{\alpha,i} - P_{\alpha',i}\right) G_i \left(Q_{\beta,i} - Q_{\beta',i}\right)

    Here α runs over the first layers of levels (α = 1, and where the minimum of n_i, …, n_L rises), α' being
    the one before it; β over the last layers of levels (β = L, and where the minimum of n_0, …, n_{i-1} is
    about to fall), β' being the one after it. :math:`P = V \tilde\Lambda^{+} V^\top` and :math:`Q =
    U^\top \Lambda^{+} U` with V and U the weights between the layers. Exact for weights of full rank; with
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
    state: list[tuple[tuple[Tensor, Tensor], ...]] = []
    for i in layers:
        lefts: dict[int, Tensor] = {}
        above = torch.zeros_like(error_inverses[i])
        for alpha, following in zip(alphas, [*alphas[1:], len(weights)]):
            if alpha <= i:
                a = min(i, following - 1)
                inverse = brought_inverse(error_inverses[a], error_map(weights, a, i))
                lefts[alpha], above = inverse - above, inverse
        rights: dict[int, Tensor] = {}
        below = torch.zeros_like(input_inverses[i])
        for beta, preceding in reversed(list(zip(betas, [-1, *betas]))):
            if beta >= i:
                b = max(i, preceding + 1)
                inverse = brought_inverse(input_inverses[b], input_map(weights, i, b).mT)
                rights[beta], below = inverse - below, inverse
        state.append(
            tuple(
                (left, reduce(torch.add, [right / (beta - alpha + 1) for beta, right in rights.items()]))
                for alpha, left in lefts.items()
            )
        )
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
        reduce(torch.add, [left @ gradient @ right for left, right in pairs])
        for gradient, pairs in zip(G, state, strict=True)
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
    biases = [after.shape[-1] - before.shape[-2] for before, after in pairwise(weights)]
    for i, bias in enumerate(biases):
        if bias not in (0, 1):
            raise ValueError(
                f"layer {i + 2} takes {weights[i + 1].shape[-1]} inputs, but layer {i + 1} has "
                f"{weights[i].shape[-2]} outputs: the rule needs one chain of layers"
            )
    for i, (before, after) in enumerate(pairwise(biases)):
        if after > before:
            raise ValueError(f"layer {i + 3} has a bias, layer {i + 2} has none: give every layer one")


def pseudo_backprop_network_factorise(
    weights: Sequence[Tensor], Lambda_tilde: Sequence[Tensor], Lambda: Sequence[Tensor]
) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
    r"""Slow part of the natural gradient by pseudo-inverse back-propagation in a linear network (Eq. 16).

    .. math::

        \Delta W_i = \frac{1}{L} A_i^{+} D \Sigma^{-1} B_i^{+}, \quad
        D = \tilde\Lambda_L^{+} A_1^{+\top} G_1

    with :math:`A_i = W_L \cdots W_{i+1}`, :math:`B_i = W_{i-1} \cdots W_1` and :math:`\Sigma =
    \Lambda_0`. If the hidden layers are as wide as input and output, and the weights have full rank, it is
    Eq. 10.

    Parameters
    ----------
    weights, Lambda_tilde, Lambda : sequence of Tensor
        As for `exact_factorise`.

    Returns
    -------
    tuple
        The map from G_1 to D, and for each layer what its update needs.

    Raises
    ------
    ValueError
        If the lists differ in length, or the widths of successive layers do not fit.
    torch.linalg.LinAlgError
        If Σ is not positive definite.
    """
    check_chain(weights, Lambda_tilde, Lambda)
    last = len(weights) - 1
    to_output = [error_map(weights, i, last) for i in range(len(weights))]
    from_input = [input_map(weights, 0, i) for i in range(len(weights))]
    layers = [pseudo_backprop_factorise(A, B, Lambda[0]) for A, B in zip(to_output, from_input)]
    return source_map(A=to_output[0], Lambda_tilde=Lambda_tilde[last]), tuple(layers)


def pseudo_backprop_network_apply(
    G: Sequence[Tensor], state: tuple[Tensor, tuple[tuple[Tensor, ...], ...]]
) -> list[Tensor]:
    r"""Natural gradient by pseudo-inverse back-propagation in a linear network (Eq. 16): ΔW_i for α = 1.

    Parameters
    ----------
    G : sequence of Tensor
        Negative gradients ⟨e xᵀ⟩, shaped like the weights; only that of the first layer is used.
    state : tuple
        What `pseudo_backprop_network_factorise` returned.

    Returns
    -------
    list of Tensor
        ΔW_i, shaped like `G`.
    """
    source, layers = state
    D = source @ G[0]
    return [pseudo_backprop_apply(D, layer, len(layers)) for layer in layers]


NETWORK_RULES: dict[str, Rule] = {
    "exact": Rule("exact", exact_factorise, exact_apply),
    "pseudo_backprop": Rule("pseudo_backprop", pseudo_backprop_network_factorise, pseudo_backprop_network_apply),
}
"""Rules for all layers at once, in terms of lists of `weights`, `Lambda_tilde` and `Lambda`."""
