"""Step control: from the directions ΔW of a rule to the change of the weights, W ← W + lr · u.

A control is a frozen description. What it remembers from step to step (momentum, running means) is a dictionary
kept by the optimizer, and is replaced only when the step is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from .rules import predicted_change
from .stack import Stack

Memory = dict[str, Any]


class Probe(NamedTuple):
    """What a control may ask about the batch of this step.

    Attributes
    ----------
    change : callable
        q(u) = (1/M) Σ (J u)ᵀ F (J u): length of the change of the outputs that updates u (one per stack) cause,
        to first order, in the metric of the Fisher F of the outputs.
    residual : callable
        ℓ, length of the best step in the space of outputs, in the same metric (`Residual.length`).
    """

    change: Callable[[list[Tensor]], float]
    residual: Callable[[], float]


class Move(NamedTuple):
    """Updates u for lr = 1, one per stack; uᵀFu as far as it is known; what to remember."""

    updates: list[Tensor]
    curvature: float | None
    memory: Memory


@dataclass(frozen=True)
class Plain:
    """W ← W + lr · ΔW: the learning rate is the α of the paper."""

    rows: int = 0

    def move(self, stacks: list[Stack], directions: list[Tensor], memory: Memory, probe: Probe) -> Move:
        """u = ΔW."""
        return Move(directions, None, {})


@dataclass(frozen=True)
class OutputNormalised:
    r"""Nesterov momentum, then a step that changes the outputs by lr times their residual.

    .. math::

        v \leftarrow \beta v + (1-\beta) d, \quad u = \beta v + (1-\beta) d, \quad
        W \leftarrow W + \text{lr} \sqrt{\ell / q} \; u

    d is the direction of the rule, q the length of the change of the outputs along u on the first `rows`
    examples, ℓ the running mean of the length of the residual; for a Gaussian with Σ̃ = I they are
    ⟨‖J u‖²⟩ and ⟨‖y − f‖²⟩. The scale of d cancels, so damping and stale factors matter little.

    Parameters
    ----------
    momentum : float, default 0.8
        β.
    rows : int, default 64
        Examples on which q is measured, by one forward-mode derivative.
    memory : float, default 0.9
        Decay of the running mean of ℓ, with bias correction: min(1 − 1/k, memory) at step k.
    """

    momentum: float = 0.8
    rows: int = 64
    memory: float = 0.9

    def __post_init__(self) -> None:
        for name in ("momentum", "memory"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ValueError(f"{name} must be a number in [0, 1); got {value!r}")
        if isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError(f"rows must be a positive integer; got {self.rows!r}")

    def move(self, stacks: list[Stack], directions: list[Tensor], memory: Memory, probe: Probe) -> Move:
        """u √(ℓ/q), and the new v, ℓ and k."""
        beta, past = self.momentum, memory.get("v", {})
        velocities, updates = {}, []
        for stack, d in zip(stacks, directions):
            v = (1 - beta) * d
            if past.keys() >= stack.members.keys():
                v.add_(stack.gather(past), alpha=beta)
            velocities.update(zip(stack.members, v))
            updates.append(d.lerp(v, beta))
        k = memory.get("k", 0) + 1
        residual, mean = probe.residual(), memory.get("l", 0.0)
        mean += (residual - mean) * (1 - min(1 - 1 / k, self.memory))
        q = probe.change(updates)
        if q > 0:
            for u in updates:
                u.mul_(math.sqrt(mean / q))
        return Move(updates, mean, {"v": {**past, **velocities}, "l": mean, "k": k})


def predicted(lr: float, trace: float, curvature: float | None) -> float:
    """Change of the loss along lr · u: −lr gᵀu + ½ lr² uᵀFu; by footnote 1 of the paper if uᵀFu is unknown."""
    if curvature is None:
        return predicted_change(lr, trace)
    return -lr * trace + lr**2 / 2 * curvature
