"""Layers of equal shape, treated as one batch of matrices `[B, n, m]`.

A layer without equals has no leading axis: its matrices are `[n, m]`, for which products are faster.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from .capture import Layer


class NotFinite(ValueError):
    """A quantity of a layer is infinite or not a number."""


class Stack:
    """The weight matrices of some layers of equal shape, dtype and device; a bias is the last column."""

    def __init__(self, members: dict[int, Layer]) -> None:
        self.members = members

    def only(self, indices: Collection[int]) -> Stack:
        """The stack of those members whose index is in `indices`."""
        if self.members.keys() <= indices:
            return self
        return Stack({k: layer for k, layer in self.members.items() if k in indices})

    def gather(self, matrices: dict[int, Tensor]) -> Tensor:
        """One matrix per member, `[B, ...]`, from a dictionary over layers; a single one is not copied."""
        return _stack([matrices[k] for k in self.members])

    def split(self, matrices: Tensor) -> tuple[Tensor, ...]:
        """The matrix of each member."""
        return matrices.unbind() if len(self.members) > 1 else (matrices,)

    def weight(self) -> Tensor:
        """W `[B, n, m]`; may share memory with the parameters."""
        return _stack([_homogeneous(*layer.parameters) for layer in self.members.values()])

    def gradient(self) -> Tensor:
        """G = −∂L/∂W `[B, n, m]`."""
        gradients = [[parameter.grad for parameter in layer.parameters] for layer in self.members.values()]
        G = _stack([_homogeneous(*gradient) for gradient in gradients])
        return G.neg() if G is gradients[0][0] else G.neg_()

    def write(self, weight: Tensor) -> None:
        """Set the layers' parameters to `weight` `[B, n, m]`."""
        for layer, w in zip(self.members.values(), self.split(weight)):
            if layer.bias is None:
                layer.weight.copy_(w)
            else:
                layer.weight.copy_(w[:, :-1])
                layer.bias.copy_(w[:, -1])

    def named(self, matrices: Tensor) -> dict[str, Tensor]:
        """`matrices` `[B, n, m]` as tensors shaped like the parameters, by their names in the model."""
        named = {}
        for layer, w in zip(self.members.values(), self.split(matrices)):
            named[_inside(layer, "weight")] = w if layer.bias is None else w[:, :-1]
            if layer.bias is not None:
                named[_inside(layer, "bias")] = w[:, -1]
        return named

    def from_named(self, named: dict[str, Tensor]) -> Tensor:
        """`[B, n, m]` from tensors shaped like the parameters: the inverse of `named`."""
        return _stack(
            [
                _homogeneous(*(named[_inside(layer, kind)] for kind in ("weight", "bias")[: len(layer.parameters)]))
                for layer in self.members.values()
            ]
        )

    def check_finite(self, what: str, matrices: Tensor, advice: str) -> None:
        """Raise NotFinite, naming the layer, unless all `matrices` `[B, ...]` are finite."""
        if matrices.sum().isfinite():  # the fastest test; finite numbers may overflow it
            return
        rows = zip(self.members.values(), self.split(matrices))
        name = next((layer.name for layer, matrix in rows if not matrix.isfinite().all()), None)
        if name is not None:
            raise NotFinite(f"{what} of layer {name!r} is not finite, so no weight was changed: {advice}")


def stacks(layers: list[Layer]) -> list[Stack]:
    """Group `layers` by shape, dtype and device."""
    groups: dict[tuple, dict[int, Layer]] = {}
    for k, layer in enumerate(layers):
        key = (*layer.shape, layer.bias is None, layer.weight.dtype, layer.weight.device)
        groups.setdefault(key, {})[k] = layer
    return [Stack(members) for members in groups.values()]


def _stack(matrices: list[Tensor]) -> Tensor:
    return torch.stack(matrices) if len(matrices) > 1 else matrices[0]


def _homogeneous(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return weight if bias is None else torch.cat([weight, bias.unsqueeze(1)], 1)


def _inside(layer: Layer, kind: str) -> str:
    return f"{layer.name}.{kind}" if layer.name else kind
