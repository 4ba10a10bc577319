"""The layers NGD preconditions: each is a matrix that acts on rows, a bias being its last column.

    output rows = [input rows, 1] Wᵀ

A linear layer acts on the last axis of its input `[M, …, m]`, a convolution on the patch of `[M, c, …]` that
each position of its output sees: the T positions of an example share the weights. A convolution in g groups is g
such matrices, each with channels of its own; they are the leading axis of everything made for this layer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedParameter

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Layer(NamedTuple):
    """A trainable `nn.Linear` or `nn.Conv1d/2d/3d` under its name in the model."""

    name: str
    module: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter | None

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in the model."""
        return tuple(_join(self.name, kind) for kind in ("weight", "bias")[: len(self.parameters)])

    @property
    def groups(self) -> int:
        """Number of matrices."""
        return getattr(self.module, "groups", 1)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m) of a weight matrix, the bias column included."""
        return len(self.weight) // self.groups, self.weight[0].numel() + (self.bias is not None)

    def matrix(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`[n, m]`, or `[g, n, m]` with groups, from tensors shaped like the parameters."""
        matrix = weight.flatten(1)
        if weight.ndim > 2 and self.groups > 1:
            matrix = matrix.unflatten(0, (self.groups, -1))
        return matrix if bias is None else torch.cat([matrix, bias.view(*matrix.shape[:-1], 1)], -1)

    def pieces(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """Tensors shaped like the parameters: the inverse of `matrix`."""
        weight = matrix if self.bias is None else matrix[..., :-1]
        if self.weight.ndim > 2:
            weight = weight.reshape(self.weight.shape)
        return (weight,) if self.bias is None else (weight, matrix[..., -1].flatten())

    def act(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer would make of `x` with this weight and bias."""
        if isinstance(self.module, nn.Linear):
            return F.linear(x, weight, bias)
        return self.module._conv_forward(x, weight, bias)

    def input_rows(self, x: Tensor) -> Tensor:
        """What the matrix acts on, `[M·T, m]` or `[g, M·T, m]`, without the 1 of the bias."""
        rows = x if isinstance(self.module, nn.Linear) else patches(self.module, x)
        return self._by_group(rows.flatten(0, -2)).to(self.weight.dtype)

    def output_rows(self, e: Tensor) -> Tensor:
        """Numbers at the output, `[M·T, n]` or `[g, M·T, n]`, in the order of the input's rows."""
        rows = e if isinstance(self.module, nn.Linear) else e.movedim(1, -1)
        return self._by_group(rows.flatten(0, -2)).to(self.weight.dtype)

    def output(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """What has these rows and `shape`: the inverse of `output_rows`."""
        if self.groups > 1:
            rows = rows.movedim(0, -2).flatten(-2)
        if isinstance(self.module, nn.Linear):
            return rows.reshape(shape)
        return rows.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)

    def check_input(self, x: Tensor) -> None:
        """Refuse inputs that have no first axis for examples, or none of them."""
        if isinstance(self.module, nn.Linear):
            axes, fits = f"[M, …, {x.shape[-1]}]", x.ndim > 1
        else:
            dims = len(self.module.kernel_size)
            axes, fits = f"[M, {self.module.in_channels}{', …' * dims}]", x.ndim == dims + 2
        if not fits:
            raise ValueError(
                f"layer {self.name!r} got an input of shape {tuple(x.shape)}; NGD needs {axes}, the examples "
                "along the first axis"
            )
        if not len(x):
            raise ValueError(f"empty batch: layer {self.name!r} got an input of shape {tuple(x.shape)}")

    def _by_group(self, rows: Tensor) -> Tensor:
        """`[…, g·k]` as `[g, …, k]`."""
        return rows if self.groups == 1 else rows.unflatten(-1, (self.groups, -1)).movedim(-2, 0)


def patches(convolution: nn.Module, x: Tensor) -> Tensor:
    """The patch of `x` `[M, c, …]` behind each output position, `[M, …, c·∏kernel]`, channels first.

    Examples
    --------
    >>> patches(nn.Conv1d(1, 1, kernel_size=2, dilation=2), torch.arange(5.0).view(1, 1, 5))
    tensor([[[0., 2.],
             [1., 3.],
             [2., 4.]]])
    """
    dims = len(convolution.kernel_size)
    before = _padding(convolution)
    if any(side for pair in before for side in pair):
        mode = "constant" if convolution.padding_mode == "zeros" else convolution.padding_mode
        x = F.pad(x, [side for pair in reversed(before) for side in pair], mode)
    for axis in range(dims):
        size, dilation = convolution.kernel_size[axis], convolution.dilation[axis]
        x = x.unfold(axis + 2, (size - 1) * dilation + 1, convolution.stride[axis])[..., ::dilation]
    return x.movedim(1, dims + 1).flatten(dims + 1)


def _padding(convolution: nn.Module) -> list[tuple[int, int]]:
    """What is added before and behind each axis."""
    if convolution.padding == "valid":
        return [(0, 0)] * len(convolution.kernel_size)
    if convolution.padding == "same":
        totals = [d * (k - 1) for k, d in zip(convolution.kernel_size, convolution.dilation)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(side, side) for side in convolution.padding]


def trainable_layers(model: nn.Module) -> tuple[list[Layer], dict[str, nn.Parameter]]:
    """The layers NGD preconditions, and by name the other trainable parameters.

    The others are those of other modules, of layers whose weight is frozen or shared with another module, and of
    layers within `nn.MultiheadAttention`, which uses their weights without calling them.

    Raises
    ------
    ValueError
        If there is no layer to precondition, or if a lazy module does not know its shape yet.
    """
    owners: dict[nn.Parameter, list[str]] = {}
    skipped: set[nn.Module] = set()
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            skipped.update(module.modules())
        for kind, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(f"{_join(path, kind)} has no shape yet: call the model once, then build NGD")
            if parameter.requires_grad:
                owners.setdefault(parameter, []).append(_join(path, kind))
    own = {parameter for parameter, names in owners.items() if len(names) == 1}
    layers = [
        Layer(path, module, module.weight, module.bias if module.bias in own else None)
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)) and module not in skipped and module.weight in own
    ]
    if not layers:
        raise ValueError("the model has no trainable nn.Linear or nn.Conv layer for NGD to precondition")
    ours = {parameter for layer in layers for parameter in layer.parameters}
    others = {" = ".join(names): p for p, names in owners.items() if p not in ours}
    return layers, others


def uncompiled(model: nn.Module) -> nn.Module:
    """The module itself, where `model` is what `torch.compile` made of it."""
    return getattr(model, "_orig_mod", model)


def _join(path: str, kind: str) -> str:
    return f"{path}.{kind}" if path else kind
