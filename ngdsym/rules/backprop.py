"""Pseudo-inverse back-propagation, Eq. 16, emitted over lists of layers.

    ΔW_i = (1/L) A_i⁺ D Σ⁻¹ B_i⁺,    D = ⟨(y − x_L) xᵀ⟩

The rule of the zoo says what a layer does with D, Σ and the maps A_i and B_i to the output and from the input. An
optimizer knows the gradient G_1 = A_1ᵀ Σ̃⁻¹ D of the first layer and Λ̃_L = Σ̃⁻¹, so D = Λ̃_L⁻¹ A_1ᵀ⁺ G_1 if
rank A_1 = n_L.
"""
from __future__ import annotations

from ngdsym.compiler.emit import emit_update
from ngdsym.rules.rule import Update
from ngdsym.algebra.symbols import PSD, Pinv
from ngdsym.rules.zoo import A, n_L

source_map = Update(
    "source_map", Pinv(PSD("Lambda_tilde", n_L, n_L)) * Pinv(A).T,
    "what turns the gradient of the first layer into D of Eq. 16",
)

LOOPS = '''\
def pseudo_backprop_network_factorise(
    weights: Sequence[Tensor], Lambda_tilde: Sequence[Tensor], Lambda: Sequence[Tensor]
) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
    r"""Slow part of the natural gradient by pseudo-inverse back-propagation in a linear network (Eq. 16).

    .. math::

        \\Delta W_i = \\frac{1}{L} A_i^{+} D \\Sigma^{-1} B_i^{+}, \\quad
        D = \\tilde\\Lambda_L^{+} A_1^{+\\top} G_1

    with :math:`A_i = W_L \\cdots W_{i+1}`, :math:`B_i = W_{i-1} \\cdots W_1` and :math:`\\Sigma =
    \\Lambda_0`. If the hidden layers are as wide as input and output, and the weights have full rank, it is
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
'''


def emit_backprop() -> str:
    """Source of the rule for a whole network; it calls that of the zoo for each layer, and helpers of `exact`."""
    return f"{emit_update(source_map, source_map.name)}\n\n{LOOPS}"
