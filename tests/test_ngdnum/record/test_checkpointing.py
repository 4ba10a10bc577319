"""Activation checkpointing changes no step, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ngdnum import NGD, Gaussian

torch.set_num_threads(1)


class Net(nn.Module):
    """Two parts, the first, the second or both of them in a checkpoint."""

    def __init__(self, skip: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.skip, self.parts, self.reentrant = skip, "", False
        self.first = nn.Sequential(nn.Linear(4, 6), nn.Dropout(dropout), nn.Tanh(), nn.Linear(6, 6))
        self.second = nn.Sequential(nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.run("1", self.first, x)
        return self.run("2", self.second, h + h.mean(1, keepdim=True) if self.skip else h)

    def run(self, part: str, module: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(module, x, use_reentrant=self.reentrant) if part in self.parts else module(x)


def trained(preset: Callable[..., NGD], parts: str, skip: bool, dropout: float) -> Tensor:
    torch.manual_seed(0)
    model = Net(skip, dropout).double()
    model.parts = parts
    opt = preset(model, Gaussian())
    for _ in range(3):
        x = torch.randn(30, 4).double()
        opt.zero_grad()
        Gaussian()(model(x), x[:, :3].sin()).backward()
        opt.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


PRESETS = [NGD.paper, partial(NGD.paper, samples=None), NGD.fast, NGD.sample_efficient]


@pytest.mark.what_if(
    "training loops", "layers are checkpointed with `use_reentrant=False`", "the steps are those without checkpoints"
)
@pytest.mark.parametrize("preset", PRESETS, ids=["paper", "exact factors", "fast", "sample_efficient"])
@pytest.mark.parametrize("parts", ["1", "2", "12"])
@pytest.mark.parametrize(("skip", "dropout"), [(False, 0.0), (True, 0.0), (True, 0.5)])
def test_steps_are_those_without_checkpoints(
    preset: Callable[..., NGD], parts: str, skip: bool, dropout: float
) -> None:
    torch.testing.assert_close(
        trained(preset, parts, skip, dropout), trained(preset, "", skip, dropout), rtol=1e-9, atol=1e-12
    )


@pytest.mark.what_if(
    "training loops",
    "layers are checkpointed with `use_reentrant=True`",
    "ValueError or RuntimeError that asks for “use_reentrant=False”",
)
@pytest.mark.parametrize("preset", PRESETS[::2], ids=["paper", "fast"])
@pytest.mark.parametrize("parts", ["1", "2", "12"])
def test_reentrant_checkpoints_are_refused(preset: Callable[..., NGD], parts: str) -> None:
    """Before and after a first step without; gradients are none of NGD's own passes."""
    model = Net(False).double()
    opt = preset(model, Gaussian())
    x = torch.randn(30, 4, requires_grad=True).double()
    for _ in range(2):
        model.parts, model.reentrant = parts, True
        opt.zero_grad()
        before = [p.clone() for p in model.parameters()]
        with pytest.raises((ValueError, RuntimeError), match="use_reentrant=False"):
            Gaussian()(model(x), x[:, :3].sin()).backward()
            opt.step()
        assert all(map(torch.equal, before, model.parameters()))
        model.parts = ""
        opt.zero_grad()
        Gaussian()(model(x), x[:, :3].sin()).backward()
        opt.step()
