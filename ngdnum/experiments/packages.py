"""Optimizers of torch and of packages by name: what a method needs to take part is its line in `rivals`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..likelihood import Likelihood
from ..results import Settings
from .method import Build

OF_THE_RUN = ("batch_size", "schedule")  # settings that are none of the optimizer's
STALLED = 1e-15  # a change of the loss or the weights after which L-BFGS leaves its step
INSTALL = "pip install 'ngd[rivals]'"


def packaged(package: str, name: str, **options: Any) -> Build:
    """The optimizer `name` of `package`, with `options` and all settings that are not those of a run.

    Raises
    ------
    ModuleNotFoundError : when it is built and the package is not installed; the message says what to do.

    Examples
    --------
    >>> build = packaged("torch.optim", "RMSprop", momentum=0.9)
    >>> from ngdnum import Gaussian
    >>> type(build(nn.Linear(2, 1), Gaussian(), {"lr": 0.01, "batch_size": 20}, 0)).__name__
    'RMSprop'
    """

    def build(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> Any:
        own = {setting: value for setting, value in settings.items() if setting not in OF_THE_RUN}
        optimizer = getattr(_imported(package, name), name)
        torch.manual_seed(seed)  # PSGD draws from torch's generator
        return optimizer(model.parameters(), **options, **own)

    return build


def _imported(package: str, name: str) -> ModuleType:
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{name} comes with {package}, which is not installed: {INSTALL}, or choose other methods with --methods"
        ) from None
    if package == "heavyball":  # it compiles its steps, which takes longer than a whole run here
        module.utils.compile_mode = None
        module.utils.compile_mode_recommended_to_none = None
    return module


class FullBatchLBFGS(torch.optim.LBFGS):
    """L-BFGS with a line search by the strong Wolfe conditions; to it, the loss of a batch is the loss.

    `step` takes a closure that computes the loss alone, as that of other methods here does.
    """

    def step(self, closure: Callable[[], Tensor], loss: Tensor) -> Any:  # type: ignore[override]
        """Up to `max_iter` iterations on this batch."""

        def evaluate() -> Tensor:
            self.zero_grad()
            value = closure()
            value.backward()
            return value

        return super().step(evaluate)


def lbfgs(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> FullBatchLBFGS:
    """L-BFGS with `history` pairs, `iterations` of them a step."""
    history, iterations = int(settings["history"]), int(settings["iterations"])
    return FullBatchLBFGS(
        model.parameters(),
        float(settings["lr"]),
        max_iter=iterations,
        history_size=history,
        tolerance_grad=0.0,
        tolerance_change=STALLED,
        line_search_fn="strong_wolfe",
    )
