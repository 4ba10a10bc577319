"""Mixed precision: what a `torch.amp.GradScaler` tells the optimizer it steps, and steps within autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.optim import Optimizer


def full_precision(device: torch.device) -> AbstractContextManager:
    """Within, operations on `device` keep the precision of their arguments."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def loss_scale(optimizer: Optimizer) -> AbstractContextManager[float | None]:
    """Divide all gradients by the scale of the loss, and yield it: 1.0 without a scaler, 0.0 if any overflowed.

    It is unknown, None, if they had been divided by `scaler.unscale_` before. A scaler leaves the attributes
    `grad_scale` and `found_inf` and deletes them after the step; here they are deleted after an error.
    """
    told = vars(optimizer)
    return nullcontext(1.0) if told.get("found_inf") is None else _unscaled(optimizer, told)


@contextmanager
def _unscaled(optimizer: Optimizer, told: dict[str, Any]) -> Iterator[float | None]:
    try:
        if told["found_inf"]:
            yield 0.0
        elif told.get("grad_scale") is None:
            yield None
        else:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.div_(told["grad_scale"])
            yield float(told["grad_scale"])
    except BaseException:
        for name in ("found_inf", "grad_scale"):
            told.pop(name, None)
        raise
