"""`nn.Linear`: W acts on the last axis, all axes before it are positions."""

from __future__ import annotations

from torch import Size, Tensor, nn
from torch.nn import functional as F

from .layer import Layer


class Linear(Layer):
    """A trainable `nn.Linear`, on inputs `[M, …, m]`."""

    label = "nn.Linear"
    modules = (nn.Linear,)

    def act(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(x, weight, bias)

    def input_rows(self, x: Tensor) -> Tensor:
        return x.flatten(0, -2).to(self.weight.dtype)

    def output_rows(self, e: Tensor) -> Tensor:
        return e.flatten(0, -2).to(self.weight.dtype)

    def output(self, rows: Tensor, shape: Size) -> Tensor:
        return rows.reshape(shape)

    def positions(self, x: Tensor) -> int:
        return x[0, ..., 0].numel()

    def fits(self, x: Tensor) -> tuple[bool, str]:
        return x.ndim > 1, f"[M, …, {x.shape[-1]}]"
