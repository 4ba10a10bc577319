"""Hooks and kept gradients of the user belong to the backward pass of the loss: the same with NGD as without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Gaussian

torch.set_num_threads(1)
PRESETS = {
    "paper": NGD.paper,
    "exact factors": partial(NGD.paper, samples=None),
    "three samples": partial(NGD.paper, samples=3),
    "fast": NGD.fast,
    "sample_efficient": NGD.sample_efficient,
    "running": partial(NGD, rule="running", damping=0.1),
}


class Double(torch.autograd.Function):
    """2 k x, with an argument that is no tensor, and one that has no gradient."""

    @staticmethod
    def forward(ctx: object, k: float, constant: Tensor, x: Tensor) -> Tensor:
        return 2 * k * x * constant

    @staticmethod
    def backward(ctx: object, g: Tensor) -> tuple[None, None, Tensor]:
        return None, None, g

    @staticmethod
    def jvp(ctx: object, dk: None, constant: None, dx: Tensor) -> Tensor:
        return dx


class Net(nn.Module):
    """Broadcasts, splits, a norm, an own function, convolutions and skips: with gradients of all of them kept."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, affine=False)
        self.a, self.b, self.c = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(3, 2)
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.conv(x)).relu().flatten(1)
        h = self.a(h)
        part, other = self.b(h.tanh()).add(h.mean(1, keepdim=True)).chunk(2, dim=1)
        out = self.c(Double.apply(0.5, torch.ones(()).double(), part) * other.sigmoid())
        for tensor in (h, part, other):
            if tensor.requires_grad:
                tensor.retain_grad()
                self.kept.append(tensor)
        return out


def gradients(preset: Callable[..., NGD] | None) -> tuple[list[Tensor], list[Tensor]]:
    """What hooks have seen and what was kept, in two steps on the same weights."""
    torch.manual_seed(0)
    model, seen = Net().double(), []
    opt = None if preset is None else preset(model, Gaussian(), lr=1e-9)
    model.a.register_full_backward_hook(lambda module, before, after: seen.extend(g.clone() for g in (*before, *after)))
    model.conv.register_full_backward_pre_hook(lambda module, after: seen.append(after[0].clone()))

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda g: seen.append(g.clone()))
            output.grad_fn.register_prehook(lambda after: seen.append(after[0].clone()))

    model.b.register_forward_hook(watch)
    x, y = torch.randn(30, 1, 4, 4).double(), torch.randn(30, 2).double()
    for _ in range(2):
        output = model(x)
        output.register_hook(lambda g: seen.append(g.clone()))
        model.zero_grad()
        Gaussian()(output[:20], y[:20]).backward()
        if opt is not None:
            kept = len(model.kept)
            opt.step()
            del model.kept[kept:]
    return seen, [tensor.grad for tensor in model.kept]


@pytest.mark.what_if(
    "training loops",
    "the model has hooks of your own, or keeps gradients of its activations",
    "they see the pass of the loss only",
)
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_hooks_see_the_pass_of_the_loss_only(preset: Callable[..., NGD]) -> None:
    expected, found = gradients(None), gradients(preset)
    assert len(expected[0]) == 12
    for before, after in zip(expected, found, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-9)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(x + self.a(x))


def test_a_hook_that_fails_where_the_model_is_run_again() -> None:
    """No gradient can be kept there; the error says where it comes from, and no weight has changed."""
    model = Skip()
    opt = NGD.fast(model, Gaussian())
    model.a.register_forward_hook(lambda module, inputs, output: output.retain_grad())
    before = [p.clone() for p in model.parameters()]
    Gaussian()(model(torch.randn(9, 4)), torch.randn(9, 2)).backward()
    with pytest.raises(RuntimeError, match="can't retain_grad") as caught:
        opt.step()
    assert "NGD ran the model again" in caught.value.__notes__[0]
    assert all(map(torch.equal, before, model.parameters()))
