"""Who takes part: one line for each method, with the grid of settings it may be tuned over.

All grids of a task are equally large.  A constant rate or one that falls linearly to zero is a choice of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .. import NGD, Gaussian, Inverse
from ..experiments.training import Method, settings_grid
from ..results import Settings
from .muon import MuonWithAdamW

SCHEDULES = ("constant", "linear")
BIAS_RATE = 1e-3  # of AdamW beside Muon, its default
OPTIONS = ("lr", "damping")  # settings that are options of NGD


def sgd(momentum: float = 0.0) -> Callable[[nn.Module, Settings, int], Any]:
    """Stochastic gradient descent; with momentum in Nesterov's form."""
    return lambda model, settings, seed: torch.optim.SGD(
        model.parameters(), settings["lr"], momentum, nesterov=momentum > 0
    )


def adamw(model: nn.Module, settings: Settings, seed: int) -> torch.optim.AdamW:
    """AdamW without weight decay."""
    return torch.optim.AdamW(model.parameters(), settings["lr"], weight_decay=0.0)


def muon(model: nn.Module, settings: Settings, seed: int) -> MuonWithAdamW:
    """Muon, with AdamW for the biases."""
    return MuonWithAdamW(model.parameters(), settings["lr"], BIAS_RATE)


def natural(preset: Callable[..., NGD], **options: Any) -> Callable[[nn.Module, Settings, int], NGD]:
    """A preset of NGD, with `options`, and those settings of the grid that are options too."""

    def build(model: nn.Module, settings: Settings, seed: int) -> NGD:
        chosen = {name: settings[name] for name in OPTIONS if name in settings}
        optimizer = preset(model, Gaussian(), **options, **chosen)
        optimizer.generator.manual_seed(seed)
        return optimizer

    return build


def method(
    name: str,
    build: Callable[[nn.Module, Settings, int], Any],
    lr: Sequence[float],
    batch_size: Sequence[int],
    reevaluates: bool = False,
    **choices: Sequence[float],
) -> Method:
    """One method, with the grid of all combinations of these choices and the two schedules."""
    grid = settings_grid(lr=lr, batch_size=batch_size, **choices, schedule=SCHEDULES)
    return Method(name, build, Gaussian(), grid, reevaluates)


LINEAR = (
    method("SGD", sgd(), (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), (20,)),
    method("SGD+momentum", sgd(0.9), (0.001, 0.002, 0.004, 0.008, 0.016, 0.032), (20,)),
    method("AdamW", adamw, (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2), (20,)),
    method("Muon", muon, (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), (20,)),
    method("NGD.paper", natural(NGD.paper), (1.0,), (200,), True,
           damping=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)),
    method("NGD.fast", natural(NGD.fast), (0.2, 0.5, 1.2), (50, 100)),
    method("NGD.sample_efficient", natural(NGD.sample_efficient), (0.5, 1.0), (12, 25, 50), True),
)

BOTTLENECK = (
    *LINEAR,
    method("NGD.exact", natural(NGD.paper, rule="exact", damping=0.0), (0.2, 0.4, 0.8), (250, 500), True),
)

IMAGES = (
    method("SGD", sgd(), (0.0025, 0.005, 0.01, 0.02), (10, 20)),
    method("SGD+momentum", sgd(0.9), (0.0005, 0.001, 0.002, 0.004), (20, 50)),
    method("AdamW", adamw, (2.5e-4, 5e-4, 1e-3, 2e-3), (50, 100)),
    method("Muon", muon, (0.01, 0.02, 0.04, 0.08), (200, 400)),
    method("NGD.paper", natural(NGD.paper), (1.0,), (250, 500), True, damping=(1e-2, 1e-1, 1.0, 10.0)),
    method("NGD.fast", natural(NGD.fast), (0.6, 0.9), (100, 200, 400, 800)),
    method("NGD.sample_efficient", natural(NGD.sample_efficient, inverse=Inverse(every=2)), (0.7, 1.0),
           (50, 100, 200, 400), True),
)
