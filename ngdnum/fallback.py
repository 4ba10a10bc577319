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
from .stack import NotFinite

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


def step_or_undo(optimizer: Optimizer) -> None:
    """A step of `optimizer`; if it raises, its parameters and its state are what they were."""
    values = [(p, p.clone()) for group in optimizer.param_groups for p in group["params"]]
    state = {p: {name: _copied(value) for name, value in entry.items()} for p, entry in optimizer.state.items()}
    try:
        optimizer.step()
    except BaseException:
        for p, value in values:
            p.copy_(value)
        optimizer.state.clear()
        optimizer.state.update(state)
        raise


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def check_gradients(parameters: dict[str, nn.Parameter]) -> None:
    """Raise NotFinite, naming the parameter, unless all gradients are finite."""
    found = [(name, _values(p.grad)) for name, p in parameters.items() if p.grad is not None]
    by_device: dict[torch.device, list[Tensor]] = {}
    for _, values in found:
        by_device.setdefault(values.device, []).append(values.isfinite().all())
    if all(torch.stack(flags).all() for flags in by_device.values()):
        return
    name = next(name for name, values in found if not values.isfinite().all())
    raise NotFinite(
        f"the gradient of {name!r} is not finite, so no weight was changed: look for NaN or infinity "
        "in the batch and in the weights"
    )


def _values(gradient: Tensor) -> Tensor:
    """The numbers in a gradient that may be sparse."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient
