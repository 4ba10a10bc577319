"""`nn.Conv1d/2d/3d`: W acts on patches of the input, one for each position of the output."""

from __future__ import annotations

from torch import Size, Tensor, nn
from torch.nn import functional as F

from .layer import Layer


class Convolution(Layer):
    """A trainable convolution in g groups, on inputs `[M, c, …]`."""

    label = "nn.Conv"
    modules = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    methods = ("forward", "_conv_forward")
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d

    @property
    def groups(self) -> int:
        return self.module.groups

    def act(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.module._conv_forward(x, weight, bias)

    def input_rows(self, x: Tensor) -> Tensor:
        return self._by_group(patches(self.module, x).flatten(0, -2)).to(self.weight.dtype)

    def output_rows(self, e: Tensor) -> Tensor:
        return self._by_group(e.movedim(1, -1).flatten(0, -2)).to(self.weight.dtype)

    def output(self, rows: Tensor, shape: Size) -> Tensor:
        if self.groups > 1:
            rows = rows.movedim(0, -2).flatten(-2)
        return rows.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)

    def positions(self, x: Tensor) -> int:
        return x[0, 0].numel()

    def fits(self, x: Tensor) -> tuple[bool, str]:
        dims = len(self.module.kernel_size)
        return x.ndim == dims + 2, f"[M, {self.module.in_channels}{', …' * dims}]"

    def _by_group(self, rows: Tensor) -> Tensor:
        """`[…, g·k]` as `[g, …, k]`."""
        return rows if self.groups == 1 else rows.unflatten(-1, (self.groups, -1)).movedim(-2, 0)


def patches(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    """The patch of `x` `[M, c, …]` behind each output position, `[M, …, c·∏kernel]`, channels first.

    Examples
    --------
    >>> import torch
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


def _padding(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> list[tuple[int, int]]:
    """What is added before and behind each axis."""
    if convolution.padding == "valid":
        return [(0, 0)] * len(convolution.kernel_size)
    if convolution.padding == "same":
        totals = [d * (k - 1) for k, d in zip(convolution.kernel_size, convolution.dilation)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(side, side) for side in convolution.padding if not isinstance(side, str)]
