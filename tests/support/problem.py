"""A small regression problem, and training on it."""

from __future__ import annotations

from torch import Tensor, nn

from ngdnum import NGD, Gaussian
from support.networks import batch, network

SIZES = [4, 5, 5, 5, 3]


def problem(**options: object) -> tuple[nn.Module, NGD, Tensor, Tensor]:
    model = network(SIZES)
    return model, NGD(model, Gaussian(), **options), batch(30, 4), batch(30, 3, seed=2)


def train(model: nn.Module, opt: NGD, steps: int, closure: bool = True, first: int = 0) -> None:
    for k in range(first, first + steps):
        x, y = batch(30, 4, seed=k), batch(30, 3, seed=1000 + k)
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step((lambda: Gaussian()(model(x), y)) if closure else None)
