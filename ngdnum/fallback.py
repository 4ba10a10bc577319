"""Trainable parameters that NGD does not precondition: they have a torch optimizer of their own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .layers import labels

Fallback = Callable[[list[nn.Parameter]], Optimizer]
"""Makes an optimizer of some parameters, such as `torch.optim.AdamW` or `lambda p: AdamW(p, lr=1e-3)`."""


def optimizer_of(parameters: dict[str, nn.Parameter], fallback: Fallback | None) -> Optimizer | None:
    """The optimizer of `parameters` that `fallback` makes; None if there is nothing to update.

    Raises
    ------
    ValueError
        If there are parameters but no optimizer for them, if it does not update exactly these, or if it
        cannot step without a closure.
    TypeError
        If `fallback` does not make an optimizer.
    """
    if fallback is not None and not callable(fallback):
        raise TypeError(
            f"fallback must make an optimizer of a list of parameters, as torch.optim.AdamW does; not {fallback!r}"
        )
    if not parameters:
        return None
    if fallback is None:
        raise ValueError(
            f"trainable parameters outside {labels('and')} layers, of layers with a forward of their own, or shared: "
            f"{', '.join(parameters)}; freeze them with requires_grad_(False), or say what updates them, "
            "e.g. fallback=lambda p: torch.optim.AdamW(p, lr=1e-3)"
        )
    optimizer = fallback(list(parameters.values()))
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fallback must make a torch.optim.Optimizer; it made {type(optimizer).__name__}")
    if {p for group in optimizer.param_groups for p in group["params"]} != set(parameters.values()):
        raise ValueError(f"fallback must update all parameters it is given, no more: {', '.join(parameters)}")
    try:
        inspect.signature(optimizer.step).bind()
    except TypeError:
        name = type(optimizer).__name__
        raise ValueError(f"{name} needs a closure at each step: choose another for fallback") from None
    return optimizer


class Snapshot:
    """Parameters, state and options of an optimizer, to be put back where a step of it fails or is undone."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._values = [(p, p.clone()) for group in optimizer.param_groups for p in group["params"]]
        self._state = {p: _copied(entry) for p, entry in optimizer.state.items()}
        self._groups = optimizer.param_groups
        self._options = [_copied({k: v for k, v in group.items() if k != "params"}) for group in self._groups]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make everything what it was."""
        for p, value in self._values:
            p.copy_(value)
        self._optimizer.state.clear()
        self._optimizer.state.update(self._state)
        self._optimizer.param_groups = self._groups
        for group, options in zip(self._groups, self._options):
            group.update(options)


def _copied(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: v.clone() if isinstance(v, Tensor) else copy.deepcopy(v) for name, v in entry.items()}
