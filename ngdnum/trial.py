"""Steps on trial: what the loss was before and is after, and steps that are undone."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .damping import Damping
from .fallback import step_or_undo
from .stack import Stack

Closure = Callable[[], Tensor | float]
"""Computes the loss of the batch, forward only."""

FORWARD_ONLY = (
    "the closure of NGD.step must only compute the loss: it runs without gradients, before and after the "
    "update. Call zero_grad() and backward() before step(closure), not inside the closure"
)


class Evaluation:
    """Calls closures, and knows whether one is running."""

    def __init__(self) -> None:
        self._running = False

    def __call__(self, closure: Closure) -> Tensor | float:
        """The loss."""
        self._running = True
        try:
            loss = closure()
        except RuntimeError as error:
            if "does not require grad" in str(error):
                raise RuntimeError(FORWARD_ONLY) from error
            raise
        finally:
            self._running = False
        if not isinstance(loss, (int, float)) and not (isinstance(loss, Tensor) and loss.numel() == 1):
            raise TypeError(f"the closure must return the loss, one number, not {type(loss).__name__}")
        return loss

    def check(self) -> None:
        """Refuse what a closure must not do."""
        if self._running:
            raise RuntimeError(FORWARD_ONLY)


def apply_or_undo(
    stacks: list[Stack],
    updates: list[Tensor],
    scale: float,
    fallback: torch.optim.Optimizer | None,
    loss: Callable[[], float] | None,
    before: Tensor | float | None,
    damping: Damping,
) -> tuple[float | None, bool]:
    """W ← W + scale · updates, and a step of the `fallback`.

    Returns by how much the loss has changed since `before`, if `loss` tells it, and whether the move was undone:
    since the loss is not finite, or has risen and the `damping` rejects that. Undone is also what raises an error.
    """
    parameters: list[Tensor] = []
    pieces: list[Tensor] = []
    for stack, u in zip(stacks, updates):
        parameters += stack.parameters
        pieces += stack.pieces(u)
    if loss is None:
        if fallback:
            step_or_undo(fallback)
        torch._foreach_add_(parameters, pieces, alpha=scale)
        return None, False
    weights = [p.clone() for p in parameters]
    torch._foreach_add_(parameters, pieces, alpha=scale)
    try:
        assert before is not None
        change = loss() - float(before)
        undo = not math.isfinite(change) or change > 0 and damping.rejects
        if fallback and not undo:
            step_or_undo(fallback)
    except BaseException:
        _restore(parameters, weights)
        raise
    if undo:
        _restore(parameters, weights)
    return change, undo


def _restore(parameters: list[Tensor], weights: list[Tensor]) -> None:
    for parameter, weight in zip(parameters, weights):
        parameter.copy_(weight)
