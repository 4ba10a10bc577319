"""Layers of equal shape, treated as one batch of matrices `[B, n, m]`.

A layer without equals has no leading axis: its matrices are `[n, m]`, for which products are faster.
Convolutions in g groups have the axis `[g, n, m]` of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .layers import Layer
from .symmetric import Upper, full


class NotFinite(ValueError):
    """A quantity of a layer is infinite or not a number."""


class Stack:
    """The weight matrices of some layers of equal shape, dtype and device; a bias is the last column."""

    def __init__(self, members: dict[int, Layer]) -> None:
        self.members = members
        self.layers = list(members.values())
        self.weights = [layer.weight for layer in self.layers]
        self.parameters = [p for layer in self.layers for p in layer.parameters]

    def gather(self, matrices: Mapping[int, Tensor | Upper], whole: bool = True) -> Any:
        """One matrix per member, `[B, ...]`, from a dictionary over layers; a single one is not copied.

        Unless `whole`, triangles stay triangles.
        """
        found = [matrices[k] for k in self.members]
        if not whole and all(isinstance(A, tuple) for A in found):
            return (_stack([A[0] for A in found]),)
        return _stack([full(A) for A in found])

    def divide(self, matrices: Tensor | Upper) -> Iterable[Tensor | Upper]:
        """The matrix of each member, or its triangle."""
        return [(A,) for A in self.split(matrices[0])] if isinstance(matrices, tuple) else self.split(matrices)

    def rows(self, inputs: list[Tensor]) -> Tensor:
        """What the matrices act on, `[B, M, m]`, from inputs of linear layers: with a 1 for a bias at the end."""
        layer = self.layers[0]
        X = (torch.stack(inputs) if len(inputs) > 1 else inputs[0]).to(layer.weight.dtype)
        return X if layer.bias is None else torch.cat([X, torch.ones_like(X[..., :1])], -1)

    def parts(self, tensors: tuple[Tensor | None, ...]) -> list[tuple[Tensor | None, ...]]:
        """Those of each member, from tensors with one entry per member `[B, ...]`, or None."""
        nothing = (None,) * len(self.members)
        return list(zip(*(nothing if t is None else self.split(t) for t in tensors)))

    def split(self, matrices: Tensor) -> tuple[Tensor, ...]:
        """The matrix of each member."""
        return matrices.unbind() if len(self.members) > 1 else (matrices,)

    def weight(self) -> Tensor:
        """W `[B, n, m]`; may share memory with the parameters."""
        return _stack([layer.matrix(*layer.parameters) for layer in self.layers])

    def gradient(self) -> Tensor:
        """G = −∂L/∂W `[B, n, m]`."""
        matrices, layers = [], self.layers
        for layer in layers:
            bias = layer.bias
            assert layer.weight.grad is not None
            matrices.append(layer.matrix(layer.weight.grad, None if bias is None else bias.grad))
        gradient = torch.stack(matrices) if len(matrices) > 1 else matrices[0]
        first = layers[0].weight.grad
        own = first is not None and gradient.data_ptr() != first.data_ptr()
        return gradient.neg_() if own else gradient.neg()

    def pieces(self, matrices: Tensor) -> list[Tensor]:
        """`matrices` `[B, n, m]` as tensors shaped like the `parameters`."""
        found: list[Tensor] = []
        for layer, matrix in zip(self.layers, matrices if len(self.layers) > 1 else [matrices]):
            found += layer.pieces(matrix)
        return found

    def norms(self, matrices: Tensor) -> Tensor:
        """Frobenius norm of the matrix of each member, `[B]`."""
        return matrices.reshape(len(self.members), -1).norm(dim=1)

    def part_norms(self, matrices: Tensor) -> tuple[Tensor, Tensor]:
        """Norms, `[B]` each, of the weight of each member and of its bias, 0 without one."""
        m = matrices.shape[-1] - (self.layers[0].bias is not None)
        rows = matrices.reshape(len(self.members), -1, matrices.shape[-1])
        weights, biases = rows[..., :m], rows[..., m:]
        return torch.linalg.vector_norm(weights, dim=(1, 2)), torch.linalg.vector_norm(biases, dim=(1, 2))

    def named(self, matrices: Tensor) -> dict[str, Tensor]:
        """`matrices` `[B, n, m]` as tensors shaped like the parameters, by their names in the model."""
        named: dict[str, Tensor] = {}
        for layer, w in zip(self.layers, self.split(matrices)):
            named.update(zip(layer.names, layer.pieces(w)))
        return named

    def from_named(self, named: dict[str, Tensor]) -> Tensor:
        """`[B, n, m]` from tensors shaped like the parameters: the inverse of `named`."""
        layers = self.layers
        return _stack([layer.matrix(*(named[name] for name in layer.names)) for layer in layers])

    def check_finite(self, what: str, matrices: Tensor, advice: str) -> None:
        """Raise NotFinite, naming the layer, unless all `matrices` `[B, ...]` are finite."""
        if math.isfinite(matrices.sum()):  # the fastest test; finite numbers may overflow it
            return
        rows = zip(self.layers, self.split(matrices))
        name = next((layer.name for layer, matrix in rows if not matrix.isfinite().all()), None)
        if name is not None:
            raise NotFinite(f"{what} of layer {name!r} is not finite, so no weight was changed: {advice}")


def check_finite(stacks: list[Stack], vector: list[Tensor], what: str, advice: str) -> None:
    """Raise NotFinite, naming the layer, unless all of `vector`, one tensor per stack, is finite."""
    total = vector[0].sum()
    for v in vector[1:]:
        total = total + v.sum().to(total.device)
    if not math.isfinite(total):
        for stack, v in zip(stacks, vector):
            stack.check_finite(what, v, advice)


def stacks(layers: dict[int, Layer]) -> list[Stack]:
    """Group `layers` by shape, groups, dtype and device."""
    groups: dict[tuple, dict[int, Layer]] = {}
    for k, layer in layers.items():
        key = (*layer.shape, layer.groups, layer.bias is None, layer.weight.dtype, layer.weight.device)
        groups.setdefault(key, {})[k] = layer
    return [Stack(members) for members in groups.values()]


def _stack(matrices: list[Tensor]) -> Tensor:
    return torch.stack(matrices) if len(matrices) > 1 else matrices[0]
