"""A way to train, and the grid of its settings; builders of the optimizers that take part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .. import NGD, LevenbergMarquardt
from ..likelihood import Likelihood
from ..results import Settings
from .muon import MuonWithAdamW
from .polar_express import MuonExpress
from .ranks import rank

BIAS_RATE = 1e-3  # of AdamW beside other methods, its default
OPTIONS = {"lr": "lr", "damping": "damping", "rule": "rule", "K": "samples"}  # settings that are options of NGD


class Optimizer(Protocol):
    """What a method builds: the part of `torch.optim.Optimizer` that a training run needs."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> None: ...

    def step(self, *closure: Callable[[], Tensor], **known: Tensor) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


Build = Callable[[nn.Module, Likelihood, Settings, int], Any]  # of model, likelihood, settings, seed: an `Optimizer`


@dataclass(frozen=True)
class Method:
    """A way to train: how to build its optimizer, and the grid of its settings.

    `reevaluates` says that `step` takes the loss, and a closure that
    computes the loss of the same batch after the step, without gradients.  `share` is the part of the budget that
    the method trains for.

    Of the settings, `batch_size` is required; with `schedule="linear"` the rates of all parameter groups fall
    linearly to zero over the budget of a run.
    """

    name: str
    build: Build
    grid: tuple[Settings, ...]
    reevaluates: bool = False
    share: float = 1.0


def settings_grid(**choices: Sequence[float | int | str]) -> tuple[Settings, ...]:
    """All combinations of the given choices.

    Examples
    --------
    >>> settings_grid(lr=(0.1, 0.2), batch_size=(20,))
    ({'lr': 0.1, 'batch_size': 20}, {'lr': 0.2, 'batch_size': 20})
    """
    return tuple(dict(zip(choices, values)) for values in product(*choices.values()))


def method(
    name: str,
    build: Build,
    lr: Sequence[float],
    batch_size: Sequence[int],
    reevaluates: bool = False,
    share: float = 1.0,
    **choices: Sequence[float | int | str],
) -> Method:
    """A method with the grid of all combinations of these choices."""
    grid = settings_grid(lr=lr, batch_size=batch_size, **choices)
    return Method(name, build, grid, reevaluates, share)


def sgd(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> torch.optim.SGD:
    """Stochastic gradient descent, W_i += α G_i, with `momentum` if the settings have it."""
    return torch.optim.SGD(model.parameters(), float(settings["lr"]), float(settings.get("momentum", 0.0)))


def nesterov(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum 0.9 in Nesterov's form."""
    return torch.optim.SGD(model.parameters(), float(settings["lr"]), 0.9, nesterov=True)


def adamw(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> torch.optim.AdamW:
    """AdamW without weight decay."""
    return torch.optim.AdamW(model.parameters(), float(settings["lr"]), weight_decay=0.0)


def muon(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> MuonWithAdamW:
    """Muon, with AdamW for the biases."""
    return MuonWithAdamW(model.parameters(), float(settings["lr"]), BIAS_RATE)


def paper(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> NGD:
    """The paper's algorithm with its λ, which is absolute."""
    damping = LevenbergMarquardt(float(settings["damping"]))
    others = {name: value for name, value in settings.items() if name != "damping"}
    return natural(NGD.paper, damping=damping)(model, likelihood, others, seed)


def muon_express(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> MuonExpress:
    """Muon with Polar Express for matrices, AdamW at the `auxiliary` rate for the rest."""
    return MuonExpress(model, float(settings["lr"]), float(settings["auxiliary"]), steps=int(settings["steps"]))


def natural(preset: Callable[..., NGD], **options: Any) -> Build:
    """A preset of NGD, with `options`, and those settings of the grid that are options too (`OPTIONS`).

    AdamW moves what is no layer, norms and embeddings: at the `auxiliary` rate of the settings, or 1e-3, its default.
    """

    def build(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> NGD:
        chosen: dict[str, Any] = {option: settings[name] for name, option in OPTIONS.items() if name in settings}
        fallback = partial(torch.optim.AdamW, lr=float(settings.get("auxiliary", BIAS_RATE)))
        optimizer = preset(model, likelihood, fallback=fallback, **options, **chosen)
        optimizer.generator.manual_seed(seed + rank())
        return optimizer

    return build
