r"""Units of the damping: how large the inputs and the errors of the layers are.

A rule that damps is applied to x̂ = x/√τ and ê = e/√τ̃:

.. math::

    \hat\Lambda = S \Lambda S, \quad \hat{\tilde\Lambda} = \tilde\Lambda/\tilde\tau, \quad
    \hat G = \tilde\tau^{-1/2} G S, \quad \Delta W = \tilde\tau^{-1/2} \Delta\hat W S, \quad
    S = \operatorname{diag}(\tau^{-1/2}, \dots, \tau^{-1/2}, \tau_b^{-1/2})

so λ is a pure number. The first layer has the units of the data: its τ is the root mean square of the eigenvalues of
its own Λ, ‖Λ‖/√m for m inputs without the bias, between their mean and the largest. The last one has the units of the
outputs: its τ̃ is the mean eigenvalue of its own Λ̃, ⟨‖e‖²⟩/n for n outputs. In between, sizes are geometric means of
that of the layer and one for the network. For inputs it is that of the 1 that is the input of a bias, so τ_b = 1. For
errors it is the residual r = ℓ/n of an output, in squares of its standard deviation (`Batch.residual`), and if that is
more than the errors ⟨‖e‖²⟩‖W‖²/n² that come back through the last layer, its weight W and all errors are about to grow,
and count as if they had. Outputs that are numbers without units, as logits are, belong to the layers in between, with
r = 1. In data of usual units, sizes are near 1, and λ is what an absolute one is.

A size of its own for each layer would be as free of units, but then layers that matter less than others, by small
inputs or errors, would not take smaller steps at all; with one size for all, deep layers that hardly matter at first
would not move. The mean is between.

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


def sizes(factors: Mapping[str, Tensor], weight: Tensor, bias: bool, residual: float) -> Tensor:
    """‖Λ‖/√m, ⟨‖e‖²⟩/n and ⟨‖e‖²⟩‖W‖²/n² of a layer with this `weight` W `[n, …]`, and the network's `residual`, `[4]`.

    The factors are `Lambda` and `Lambda_tilde`, or the roots X of those whose inverses are `K` and `K_tilde`. With a
    `bias`, the last input does not count. What the rule does not need is 0.

    Examples
    --------
    >>> Lambda = torch.diag(torch.tensor([1.0, 7.0, 1.0]))
    >>> sizes({"Lambda": Lambda, "K_tilde": 3 * torch.eye(2)}, torch.ones(2, 2), bias=True, residual=4.0)
    tensor([ 5.,  9., 18.,  4.])
    """
    inputs = errors = weight.new_zeros(())
    for name, A in factors.items():
        root = name in ("K", "K_tilde")
        if name in ("Lambda", "K"):
            m = A.shape[-1] - bias
            own = A[..., :m] @ A[..., :m].mT if root else A[..., :m, :m]
            norms = torch.linalg.vector_norm(own, dim=(-2, -1), dtype=torch.float64)
            inputs = (norms.mean() / m**0.5).to(weight.dtype)
        else:
            errors = (A.square().sum(-2) if root else A.diagonal(dim1=-2, dim2=-1)).mean()
    return torch.stack([inputs, errors, errors * weight.square().sum() / len(weight), weight.new_tensor(residual)])


def of_network(of_layers: Mapping[int, Tensor], first: int, last: int, numbers: bool) -> LayerUnits:
    """The units of all layers from their `sizes`; which of them is the `first`, and which the `last`.

    The outputs may be `numbers` without units. Nothing, 0, is a unit of 1.

    Examples
    --------
    >>> own = [(9.0, 2.0, 7.0, 4.0), (25.0, 0.0, 7.0, 4.0), (16.0, 6.0, 2.0, 4.0)]
    >>> of_network({k: torch.tensor(s) for k, s in enumerate(own)}, first=0, last=2, numbers=False)
    {0: tensor([9., 1., 4.]), 1: tensor([5.0000, 1.0000, 2.8284]), 2: tensor([4., 1., 6.])}
    """
    own = {k: torch.where(found > torch.finfo(found.dtype).tiny, found, 1.0) for k, found in of_layers.items()}
    back, residual = own[last][2:].tolist()
    common, units = 1.0 if numbers else residual * max(1.0, residual / back), {}
    for k, (inputs, errors) in ((k, found[:2]) for k, found in own.items()):
        tau = inputs if k == first else inputs.sqrt()
        tau_tilde = errors if k == last and not numbers else (common * errors).sqrt()
        units[k] = torch.stack([tau, torch.ones_like(tau), tau_tilde])
    return units
