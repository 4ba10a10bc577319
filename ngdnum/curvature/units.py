r"""Units of the damping: how large the inputs and the errors of the layers are.

A rule that damps is applied to x̂ = x/√τ and ê = e/√τ̃:

.. math::

    \hat\Lambda = S \Lambda S, \quad \hat{\tilde\Lambda} = \tilde\Lambda/\tilde\tau, \quad
    \hat G = \tilde\tau^{-1/2} G S, \quad \Delta W = \tilde\tau^{-1/2} \Delta\hat W S, \quad
    S = \operatorname{diag}(\tau^{-1/2}, \dots, \tau^{-1/2}, \tau_b^{-1/2})

so λ is a pure number. The first layer has the units of the data: its τ is the mean square of its own inputs. The last
one has those of the targets: its τ̃ is the mean of ‖e‖², the trace of its own Λ̃. All other τ, and τ_b for the 1 that is
the input of a bias, are one for the network, the geometric mean of the mean squares of inputs but for the first layer;
so are all other τ̃, the geometric mean of ⟨‖e‖²⟩ but for the last. Units of each layer by itself would be as free of
units, but a layer that matters less than others, by small inputs or errors, is to take smaller steps. Layers that keep
the lengths of what goes through them, forwards and backwards, have the same ⟨x²⟩ and ⟨‖e‖²⟩, of whatever width.

Data have their units before training, so sizes are those of the first batch in which there is any: the Fisher of a
classifier shrinks as it becomes certain, and λ is not to follow.

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
        squares = axes(own, layer.shape[1], bool(stack.biases))
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


def axes(units: Tensor, m: int, bias: bool) -> Tensor:
    """Squares `[…, m]` of the units of the inputs of a layer with τ, τ_b and τ̃ `[…, 3]`; with a `bias`, it is last.

    Examples
    --------
    >>> axes(torch.tensor([4.0, 9.0, 1.0]), 3, bias=True)
    tensor([4., 4., 9.])
    """
    squares = units[..., :1].repeat_interleave(m, -1)
    squares[..., m - bias :] = units[..., 1:2]
    return squares


def sizes(factors: Mapping[str, Tensor], bias: bool) -> Tensor:
    """⟨x²⟩ and ⟨‖e‖²⟩ `[2]` of a layer, from its `Lambda` and `Lambda_tilde`, or the roots X for its `K` and `K_tilde`.

    With a `bias`, the last input does not count. What the rule does not need is 0.

    Examples
    --------
    >>> sizes({"Lambda": torch.diag(torch.tensor([1.0, 7.0, 1.0])), "K_tilde": torch.eye(2)}, bias=True)
    tensor([4., 2.])
    """
    found = next(iter(factors.values())).new_zeros(2)
    for name, A in factors.items():
        squares = A.square().sum(-2) if name in ("K", "K_tilde") else A.diagonal(dim1=-2, dim2=-1)
        if name in ("Lambda", "K"):
            found[0] = squares[..., : squares.shape[-1] - bias].mean()
        else:
            found[1] = squares.sum()
    return found


def in_common(of_layers: Mapping[int, Tensor], first: int, last: int, outputs: int) -> LayerUnits:
    """The units of all layers from their `sizes`; which of them is the `first`, which the `last`, with its `outputs`.

    Nothing does not count for a mean, and is measured in the mean of the others, or in 1.

    Examples
    --------
    >>> of_layers = {k: torch.tensor(s) for k, s in enumerate([(9.0, 2.0), (2.0, 0.0), (8.0, 6.0)])}
    >>> in_common(of_layers, first=0, last=2, outputs=2)
    {0: tensor([9., 4., 1.]), 1: tensor([4., 4., 1.]), 2: tensor([4., 4., 3.])}
    """
    every = torch.stack([*of_layers.values()])
    every[:, 1] /= outputs
    some = every > torch.finfo(every.dtype).tiny
    own = torch.tensor([(k == first, k == last) for k in of_layers], device=every.device)
    counts = some & ~own
    logs = torch.where(counts, every, 1.0).log()
    mean = (logs.sum(0) / counts.sum(0).clamp(min=1)).exp()
    tau, tau_tilde = torch.where(own & some, every, mean).unbind(-1)
    rows = torch.stack([tau, mean[0].expand_as(tau), tau_tilde], -1)
    return dict(zip(of_layers, rows.unbind()))
