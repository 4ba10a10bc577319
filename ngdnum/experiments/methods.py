"""The methods of Figure 1: gradient descent, natural gradient descent as in the paper, a fast preset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from .. import NGD, Gaussian
from ..results import Settings
from .training import Method, settings_grid


def sgd(
    learning_rates: Sequence[float],
    batch_sizes: Sequence[int] = (20,),
    name: str = "SGD",
    **choices: Sequence[float | int | str],
) -> Method:
    """Stochastic gradient descent, W_i += α G_i, with α from a grid; `choices`: `momentum`, `schedule`."""

    def build(model: nn.Module, settings: Settings, seed: int) -> Optimizer:
        return torch.optim.SGD(model.parameters(), settings["lr"], settings.get("momentum", 0.0))

    grid = settings_grid(lr=learning_rates, batch_size=batch_sizes, **choices)
    return Method(name, build, Gaussian(), grid)


def ngd(
    dampings: Sequence[float],
    batch_sizes: Sequence[int] = (1_000,),
    name: str = "NGD",
    rule: str = "kronecker",
    learning_rate: float = 1.0,
) -> Method:
    """Natural gradient descent as in the paper: fixed α and K = 1; λ starts from a grid and follows Eq. 21."""

    def build(model: nn.Module, settings: Settings, seed: int) -> Optimizer:
        opt = NGD.paper(model, Gaussian(), lr=settings["lr"], rule=settings["rule"],
                        damping=settings["damping"], samples=settings["K"])
        return _seeded(opt, seed)

    grid = settings_grid(lr=(learning_rate,), batch_size=batch_sizes, damping=dampings, K=(1,), rule=(rule,))
    return Method(name, build, Gaussian(), grid, reevaluates=True)


def fast_ngd(learning_rates: Sequence[float], batch_sizes: Sequence[int], name: str = "NGD") -> Method:
    """`NGD.fast`, with its rate from a grid, falling linearly to zero."""

    def build(model: nn.Module, settings: Settings, seed: int) -> Optimizer:
        return _seeded(NGD.fast(model, Gaussian(), lr=settings["lr"]), seed)

    grid = settings_grid(lr=learning_rates, batch_size=batch_sizes, preset=("fast",), schedule=("linear",))
    return Method(name, build, Gaussian(), grid)


def _seeded(optimizer: NGD, seed: int) -> NGD:
    optimizer.generator.manual_seed(seed)
    return optimizer
