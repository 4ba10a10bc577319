"""Layers of equal shape, treated as one batch of matrices `[B, n, m]`.

A layer without equals has no leading axis: its matrices are `[n, m]`, for which products are faster.
Convolutions in g groups have the axis `[g, n, m]` of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .curvature.symmetric import Upper, full
from .layers import Layer


class NotFinite(ValueError):
    """A quantity of a layer is infinite, not a number, or too large for anything right to come of it."""


class Stack:
    """The weight matrices of some layers of equal shape, dtype and device; a bias is the last column."""

    def __init__(self, members: dict[int, Layer]) -> None:
        self.members = members
        self.layers = list(members.values())
        self.weights = [layer.weight for layer in self.layers]
        self.biases = [layer.bias for layer in self.layers if layer.bias is not None]
        self.parameters = [*self.weights, *self.biases]
        names = [layer.names for layer in self.layers]
        self.names = [name for kind in zip(*names) for name in kind]
        self._single = len(self.layers) == 1
        self._plain = self._single and self.layers[0].weight.ndim == 2
        first, batch = self.layers[0], () if self._single else (len(self.layers),)
        n, m = first.shape
        groups = (first.groups,) if first.groups > 1 else ()
        self._inputs = m - bool(self.biases)
        self._matrix, self._column = (*batch, *groups, n, self._inputs), (*batch, *groups, n, 1)
        self._weight, self._bias = (*batch, *first.weight.shape), (*batch, len(first.weight))

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

    def parts(self, tensors: tuple[Tensor | None, ...]) -> list[tuple[Tensor | None, ...]]:
        """Those of each member, from tensors with one entry per member `[B, ...]`, or None."""
        nothing = (None,) * len(self.members)
        return list(zip(*(nothing if t is None else self.split(t) for t in tensors)))

    def images(self, matrices: Tensor, inputs: Mapping[int, Tensor]) -> Iterable[tuple[int, Tensor]]:
        """What `matrices` `[B, n, m]` make of the `inputs` `[M, m]` of linear layers, `[n, M]` for each member."""
        X = inputs[next(iter(self.members))] if self._single else torch.stack([inputs[k] for k in self.members])
        columns = X.mT.to(matrices.dtype)
        if not self.biases:
            product = matrices @ columns
        else:
            weight, bias = matrices[..., :-1], matrices[..., -1:]
            product = torch.addmm(bias, weight, columns) if self._single else torch.baddbmm(bias, weight, columns)
        return zip(self.members, (product,) if self._single else product.unbind())

    def split(self, matrices: Tensor) -> tuple[Tensor, ...]:
        """The matrix of each member."""
        return matrices.unbind() if len(self.members) > 1 else (matrices,)

    def weight(self) -> Tensor:
        """W `[B, n, m]`; may share memory with the parameters."""
        return self.matrices(list(self.weights), list(self.biases))

    def gradient(self) -> Tensor:
        """G = −∂L/∂W `[B, n, m]`."""
        gradients = []
        for parameter in self.parameters:
            assert parameter.grad is not None
            gradients.append(parameter.grad)
        if self._plain and self.biases:
            weight, bias = gradients
            return torch.cat([weight, bias.unsqueeze(-1)], -1).neg_()
        count = len(self.layers)
        G = self.matrices(gradients[:count], gradients[count:])
        return G.neg_() if self.biases or count > 1 else G.neg()

    def matrices(self, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
        """`[B, n, m]` from tensors shaped like the weights and the biases."""
        W = weights[0] if self._plain else _stack(weights).reshape(self._matrix)
        return torch.cat([W, _stack(biases).view(self._column)], -1) if biases else W

    def pieces(self, matrices: Tensor) -> list[Tensor]:
        """`matrices` `[B, n, m]` as tensors shaped like the `parameters`."""
        if not self.biases:
            weights = matrices.reshape(self._weight)
            return [weights] if self._single else [*weights.unbind()]
        weights, biases = matrices[..., : self._inputs], matrices[..., -1]
        if self._plain:
            return [weights, biases]
        weights, biases = weights.reshape(self._weight), biases.reshape(self._bias)
        return [weights, biases] if self._single else [*weights.unbind(), *biases.unbind()]

    def named(self, matrices: Tensor) -> dict[str, Tensor]:
        """`matrices` `[B, n, m]` as tensors shaped like the parameters, by their names in the model."""
        return dict(zip(self.names, self.pieces(matrices)))

    def from_named(self, named: dict[str, Tensor]) -> Tensor:
        """`[B, n, m]` from tensors shaped like the parameters: the inverse of `named`."""
        tensors, count = [named[name] for name in self.names], len(self.layers)
        return self.matrices(tensors[:count], tensors[count:])

    def norms(self, matrices: Tensor) -> Tensor:
        """Frobenius norm of the matrix of each member, `[B]`."""
        return matrices.reshape(len(self.members), -1).norm(dim=1)

    def check_finite(self, what: str, matrices: Tensor, advice: str) -> None:
        """Raise NotFinite, naming the layer, unless all `matrices` `[B, ...]` are finite."""
        if math.isfinite(matrices.sum()):  # the fastest test; finite numbers may overflow it
            return
        rows = zip(self.layers, self.split(matrices))
        name = next((layer.name for layer, matrix in rows if not matrix.isfinite().all()), None)
        if name is not None:
            raise NotFinite(f"{what} of layer {name!r} is not finite, so no weight was changed: {advice}")


def stacks(layers: dict[int, Layer], apart: Sequence[int] | None = None) -> list[Stack]:
    """Group `layers` by shape and groups of their weights, whether they have biases, dtype, device and `apart`."""
    groups: dict[tuple, dict[int, Layer]] = {}
    for k, layer in layers.items():
        own, weight = 0 if apart is None else apart[k], layer.weight
        key = (own, weight.shape, layer.groups, layer.bias is None, weight.dtype, weight.device)
        groups.setdefault(key, {})[k] = layer
    return [Stack(members) for members in groups.values()]


def _stack(matrices: list[Tensor]) -> Tensor:
    return torch.stack(matrices) if len(matrices) > 1 else matrices[0]
