r"""Units of the damping: how large the inputs and the errors of the layers are.

A rule that damps is applied to x̂ = x/√τ and ê = e/√τ̃:

.. math::

    \hat\Lambda = S \Lambda S, \quad \hat{\tilde\Lambda} = \tilde\Lambda/\tilde\tau, \quad
    \hat G = \tilde\tau^{-1/2} G S, \quad \Delta W = \tilde\tau^{-1/2} \Delta\hat W S, \quad
    S = \operatorname{diag}(\tau^{-1/2}, \dots, \tau^{-1/2}, \tau_b^{-1/2})

so λ is a pure number. The first layer has the units of the data: its τ is the root mean square of the eigenvalues of
its own Λ, ‖Λ‖/√m for m inputs without the bias, between their mean and the largest. The inputs of all other layers
stand beside the 1 that is the input of a bias, so their τ, and τ_b, is 1. The errors of the last layer have the units
of the outputs: its τ̃ is the mean eigenvalue of its own Λ̃, ⟨‖e‖²⟩/n for n outputs. Within the network, errors are as
large as what is left to learn asks for: τ̃ is the residual ℓ/n of an output, in squares of its standard deviation
(`Batch.residual`), which is 1 for Gaussian targets of variance 1. Outputs that are numbers without units, as logits
are, need neither, and every τ̃ is 1. So in data of usual units λ is what an absolute one is. Sizes that each layer
measures for itself would be as free of units, but then layers that matter less than others, by small inputs or errors,
would not take smaller steps, as they do with an absolute λ.

Data have their units before training, so each size is that of the first measured batch in which it is not 0: the Fisher
of a classifier shrinks as it becomes certain, and λ is not to follow.

Where inputs x become a x, the weight of the first layer W/a, those of the last b W, and targets b y, the function is
b f, and every rule of K-FAC's form takes the step that belongs to that: ΔW/a, b ΔW, and in between the same ΔW. First
and last are meant in the order of the forward pass: of several layers fed with data, or of several outputs, only one
has units of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..stack import Stack

LayerUnits = Mapping[int, Tensor]
"""τ, τ_b and τ̃ `[3]` of each layer."""


class Units(NamedTuple):
    """The diagonal of S `[…, 1, m]`, and τ̃^{-1/2} `[…, 1, 1]`."""

    inputs: Tensor
    errors: Tensor

    @classmethod
    def of(cls, units: LayerUnits, stack: Stack) -> Units:
        """Those of the layers in `stack`."""
        layer, own = stack.layers[0], stack.gather(units)
        if layer.groups > 1:
            own = own.unsqueeze(-2)
        squares = axes("K", own, layer.shape[1], bool(stack.biases))
        return cls(squares.rsqrt().unsqueeze(-2), own[..., 2:].rsqrt().unsqueeze(-2))

    @property
    def scale(self) -> Tensor:
        """What G is multiplied by, and ΔW: S/√τ̃ `[…, 1, m]`."""
        return self.inputs * self.errors

    def measure(self, quantities: Mapping[str, Any]) -> dict[str, Any]:
        """The `quantities` of a layer in these units."""
        measured, S, e = dict(quantities), self.inputs, self.errors
        for name, size in (("Lambda", S), ("Lambda_tilde", e), ("K", 1 / S), ("K_tilde", 1 / e)):
            if name in measured:
                measured[name] = measured[name] * size * size.mT
        if "G_0" in measured:
            measured["G_0"] = measured["G_0"] * self.scale
        return measured


def axes(name: str, units: Tensor, m: int, bias: bool) -> Tensor:
    """Squares `[…, m]` of the units of each axis of the factor `name`, Λ or K, or Λ̃ or K̃, of a layer.

    `units` are its τ, τ_b and τ̃ `[…, 3]`; with a `bias`, the last axis of Λ is its.

    Examples
    --------
    >>> axes("K", torch.tensor([4.0, 9.0, 1.0]), 3, bias=True)
    tensor([4., 4., 9.])
    >>> axes("K_tilde", torch.tensor([4.0, 9.0, 1.0]), 2, bias=True)
    tensor([1., 1.])
    """
    if name in ("Lambda_tilde", "K_tilde"):
        return units[..., 2:].repeat_interleave(m, -1)
    squares = units[..., :1].repeat_interleave(m, -1)
    squares[..., m - bias :] = units[..., 1:2]
    return squares


def sizes(factors: Mapping[str, Tensor], bias: bool, residual: float) -> Tensor:
    """‖Λ‖/√m and ⟨‖e‖²⟩/n of a layer, and the `residual` ℓ/n of the network, `[3]`.

    The factors are `Lambda` and `Lambda_tilde`, or the roots X of those whose inverses are `K` and `K_tilde`. With a
    `bias`, the last input does not count. What the rule does not need is 0.

    Examples
    --------
    >>> Lambda = torch.diag(torch.tensor([1.0, 7.0, 1.0]))
    >>> sizes({"Lambda": Lambda, "K_tilde": 3 * torch.eye(2)}, bias=True, residual=2.0)
    tensor([5., 9., 2.])
    """
    any_factor = next(iter(factors.values()))
    inputs = errors = any_factor.new_zeros(())
    for name, A in factors.items():
        root = name in ("K", "K_tilde")
        if name in ("Lambda", "K"):
            m = A.shape[-1] - bias
            own = A[..., :m] @ A[..., :m].mT if root else A[..., :m, :m]
            norms = torch.linalg.vector_norm(own, dim=(-2, -1), dtype=torch.float64)
            inputs = (norms.mean() / m**0.5).to(A.dtype)
        else:
            errors = (A.square().sum(-2) if root else A.diagonal(dim1=-2, dim2=-1)).mean()
    return torch.stack([inputs, errors, any_factor.new_tensor(residual)])


def of_network(of_layers: Mapping[int, Tensor], first: int, last: int, numbers: bool) -> LayerUnits:
    """The units of all layers from their `sizes`; which of them is the `first`, and which the `last`.

    The outputs may be `numbers` without units. Nothing, 0, is a unit of 1.

    Examples
    --------
    >>> of_layers = {k: torch.tensor(s) for k, s in enumerate([(9.0, 2.0, 4.0), (2.0, 0.0, 4.0), (8.0, 6.0, 4.0)])}
    >>> of_network(of_layers, first=0, last=2, numbers=False)
    {0: tensor([9., 1., 4.]), 1: tensor([1., 1., 4.]), 2: tensor([1., 1., 6.])}
    """
    found = {}
    for k, own in of_layers.items():
        inputs, errors, residual = torch.where(own > torch.finfo(own.dtype).tiny, own, 1.0)
        one = torch.ones_like(inputs)
        back = one if numbers else errors if k == last else residual
        found[k] = torch.stack([inputs if k == first else one, one, back])
    return found
