"""Errors sent back by hand are those of torch's own backward pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F

from ngdnum.record.graph import Paths

torch.set_num_threads(1)


class Scaled(torch.autograd.Function):
    """k x c, with an argument that is no tensor and two outputs, the first of them often without a gradient."""

    @staticmethod
    def forward(ctx: object, k: float, c: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.k = k
        ctx.save_for_backward(c)
        return x.sin(), k * x * c

    @staticmethod
    def backward(ctx: object, first: Tensor, second: Tensor) -> tuple[None, None, Tensor]:
        assert not first.any()
        return None, None, ctx.k * second * ctx.saved_tensors[0]


def complex_numbers(x: Tensor) -> Tensor:
    return torch.fft.rfft(x).abs() + torch.fft.rfft(x).real


def in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 1:] *= x[:, :-1]
    y.relu_()
    return y


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "broadcast": lambda x: x * x.mean(1, keepdim=True) + x.mean(0) - x.std(),
    "split": lambda x: torch.cat([part.sin() for part in x.split([1, 2, 3], 1)][::-1], 1) + x.unbind(1)[2][:, None],
    "unused": lambda x: x.chunk(3, 1)[1] * x.max(1).values[:, None],
    "function": lambda x: Scaled.apply(3.0, torch.arange(6).double(), x)[1],
    "in place": in_place,
    "complex": complex_numbers,
    "precision": lambda x: (x.float() * x.float().mean(1, keepdim=True)).double() * x,
    "addmm": lambda x: torch.addmm(x, x, torch.ones(6, 6).double().triu(), beta=2, alpha=0.5),
    "both factors": lambda x: torch.addmm(x[:, :5], x, x.T) @ (x @ x.T),
    "constant": lambda x: torch.ones(5, 5).double().tril() @ x,
    "norm": lambda x: F.layer_norm(x, (6,)) + F.batch_norm(x, None, None, training=True),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None].sin(), x[None])[0],
    "index": lambda x: x[[0, 0, 3]].gather(1, torch.tensor([[5], [1], [0]])).expand(3, 4),
}
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3, bias=False)), (5, 6)),
    "positions": (nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3, bias=False)), (5, 2, 6)),
    "conv": (
        nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1, 1, 2), nn.Conv2d(4, 3, 2, padding_mode="circular", padding=1)),
        (5, 2, 6, 6),
    ),
    "transposed": (nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1, groups=2), (5, 2, 6)),
    "lstm": (nn.LSTM(6, 4), (5, 6)),
}


@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_as_torch_does(name: str) -> None:
    """At an input and in the middle, once, for a batch of directions, and differentiated once more."""
    torch.manual_seed(0)
    module, shape = MODULES.get(name, (FUNCTIONS.get(name), (5, 6)))
    if isinstance(module, nn.Module):
        module.double()
    x = torch.randn(shape).double().requires_grad_()
    middle = x.cos()
    output = module(middle)
    output = output[0] if isinstance(output, tuple) else output
    unused = torch.ones(3, requires_grad=True).exp()
    ends = [middle, x, unused]
    paths = Paths(get_gradient_edge(output), [get_gradient_edge(end) for end in ends])
    directions = torch.randn(3, *output.shape, dtype=output.dtype)
    for g, batched in ((directions[0], False), (directions, True)):
        expected = torch.autograd.grad(output, ends, g, retain_graph=True, allow_unused=True, is_grads_batched=batched)
        found = paths(g, batched)
        assert found[2] is None and expected[2] is None
        torch.testing.assert_close(found[:2], list(expected[:2]))
    assert x.grad is None

    g = directions[0].requires_grad_()
    (end, *_), direction = paths(g), torch.randn_like(x)
    (expected,) = torch.autograd.grad(
        torch.autograd.grad(output, middle, g, create_graph=True, retain_graph=True)[0], g, direction, retain_graph=True
    )
    (found,) = torch.autograd.grad(end, g, direction)
    torch.testing.assert_close(found, expected)
