"""The methods of Figure 1: gradient descent, and natural gradient descent as the paper runs it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from .. import NGD, Gaussian
from ..results import Settings
from .training import Method, settings_grid


def sgd(learning_rates: Sequence[float], batch_size: int = 20) -> Method:
    """Stochastic gradient descent, W_i += α G_i, with α from a grid."""

    def build(model: nn.Module, settings: Settings, seed: int) -> Optimizer:
        return torch.optim.SGD(model.parameters(), lr=settings["lr"])

    return Method("SGD", build, Gaussian(), settings_grid(lr=learning_rates, batch_size=(batch_size,)))


def ngd(dampings: Sequence[float], batch_sizes: Sequence[int] = (1_000,)) -> Method:
    """Natural gradient descent by Eq. 20 with α = 1 and K = 1; λ starts from a grid and follows Eq. 21."""

    def build(model: nn.Module, settings: Settings, seed: int) -> Optimizer:
        return NGD(model, Gaussian(), settings["lr"], damping=settings["damping"], samples=settings["K"], seed=seed)

    grid = settings_grid(lr=(1.0,), batch_size=batch_sizes, damping=dampings, K=(1,))
    return Method("NGD", build, Gaussian(), grid, reevaluates=True)
