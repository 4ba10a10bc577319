"""Steps on trial: what the loss was before and is after, and steps that are undone, also by an interrupt."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from .damping import Damping
from .fallback import Snapshot
from .stack import Stack
from .world import World

P = ParamSpec("P")
R = TypeVar("R")
Closure = Callable[[], Tensor | float]
"""Computes the loss of the batch, forward only."""

FORWARD_ONLY = (
    "the closure of NGD.step must only compute the loss: it runs without gradients, before and after the "
    "update. Call zero_grad() and backward() before step(closure), not inside the closure"
)


def without_gradients(step: Callable[P, R]) -> Callable[P, R]:
    """`step` within `torch.no_grad`, which an interrupt at its first or last line does not leave on for ever."""

    @functools.wraps(step)
    def wrapped(*arguments: P.args, **keywords: P.kwargs) -> R:
        before = torch.is_grad_enabled()
        try:
            with torch.no_grad():
                return step(*arguments, **keywords)
        finally:
            torch.set_grad_enabled(before)

    return wrapped


class Evaluation:
    """Calls closures, and knows whether one is `running`."""

    def __init__(self) -> None:
        self.running = False

    def __call__(self, closure: Closure) -> Tensor | float:
        """The loss."""
        self.running = True
        try:
            loss = closure()
        except RuntimeError as error:
            if "does not require grad" in str(error):
                raise RuntimeError(FORWARD_ONLY) from error
            raise
        finally:
            self.running = False
        return one_number(loss, "the closure must return the loss")


def one_number(loss: object, rule: str) -> Tensor | float:
    """The `loss`, without its graph; anything but one number breaks the `rule`."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.detach()
    if isinstance(loss, (int, float)):
        return loss
    kind = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
    raise TypeError(f"{rule}, one number, not {kind}")


class Move:
    """W ← (1 − δ) W + scale · u, for biases b ← b + scale · u, and a step of the fallback optimizer.

    Either all of it happens or nothing, whatever interrupts it: what was before is kept, or the move is a single
    operation of torch, the last one of the step.

    Parameters
    ----------
    stacks, updates
        The weights, and u of each stack.
    scale : float
    decays : list of float
        δ of each stack.
    fallback : torch.optim.Optimizer or None
        The optimizer of the other parameters.
    on_trial : bool
        Whether the move may be judged, and undone.
    """

    def __init__(
        self,
        stacks: list[Stack],
        updates: list[Tensor],
        scale: float,
        decays: list[float],
        fallback: torch.optim.Optimizer | None,
        on_trial: bool,
    ) -> None:
        self._parameters: list[Tensor] = []
        self._pieces: list[Tensor] = []
        for stack, u in zip(stacks, updates):
            self._parameters += stack.parameters
            self._pieces += stack.pieces(u)
        self._scale, self._fallback, self._added, self._undone = scale, fallback, False, False
        self._decays = [(list[Tensor](stack.weights), delta) for stack, delta in zip(stacks, decays) if delta]
        self._others: Snapshot | None = None
        self._version = self._parameters[0]._version
        self._before = [p.clone() for p in self._parameters] if on_trial or self._decays else None

    def on_trial(
        self, loss: Callable[[], Tensor | float], before: Tensor | float, damping: Damping
    ) -> tuple[float, bool]:
        """By how much the step of the layers changes the `loss` from `before`, and whether it is undone.

        The decay is not part of it. A loss that is not finite undoes it, or one that rises if `damping` rejects that.
        """
        self._add()
        self._added = True
        change = float(loss()) - float(before)
        self._undone = not math.isfinite(change) or change > 0 and damping.rejects
        if self._undone:
            self.undo()
        return change, self._undone

    def finish(self, world: World | None) -> None:
        """What is left to do: the step of the fallback optimizer, the decay, and that of the layers without a trial.

        Nothing is left if the trial was undone. The other ranks of the `world`, if there are any, must be as far.
        """
        if self._fallback and not self._undone:
            self._others = Snapshot(self._fallback)
            self._fallback.step()
        if self._before is not None and not self._undone:
            old = {id(p): value for p, value in zip(self._parameters, self._before)}
            for weights, delta in self._decays:
                torch._foreach_add_(weights, [old[id(w)] for w in weights], alpha=-delta)
        if world is not None:
            world.settle(self._pieces, self._scale)
        if not self._added:
            self._add()

    def undo(self) -> bool:
        """Put everything back; False if the step was complete, so that nothing was to be put back."""
        if self._before is None and self._parameters[0]._version != self._version:
            return False
        if self._before is not None:
            for parameter, value in zip(self._parameters, self._before):
                parameter.copy_(value)
        if self._others:
            self._others.put_back()
        return True

    def _add(self) -> None:
        torch._foreach_add_(self._parameters, self._pieces, alpha=self._scale)
