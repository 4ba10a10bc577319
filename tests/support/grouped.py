"""A small network, and steps of an optimizer that has its layers in groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ngdnum import (
    NGD,
    Gaussian,
)

ADAM = partial(torch.optim.AdamW, lr=0.02)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def normed() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).double()


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 4, dtype=torch.float64, generator=generator)
    return x, torch.randn(30, 3, dtype=torch.float64, generator=generator)


def step(opt: NGD, seed: int = 0, closed: bool = False) -> None:
    x, y = data(seed)
    opt.zero_grad()
    loss = Gaussian()(opt.model(x), y)
    loss.backward()
    opt.step(*([lambda: Gaussian()(opt.model(x), y)] if closed else []))


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def moved(opt: NGD, seed: int = 0, closed: bool = False) -> list[Tensor]:
    """By how much a step moves each parameter."""
    before = values(opt.model)
    step(opt, seed, closed)
    return [new - old for new, old in zip(values(opt.model), before, strict=True)]


def grouped(make: Callable[..., NGD], model: nn.Sequential, group: dict[str, Any], **options: Any) -> NGD:
    """With the last layer in a group of its own."""
    return make(model, Gaussian(), groups=[{"params": model[-1].parameters(), **group}], **options)
