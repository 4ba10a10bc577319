"""Step control: from the directions ΔW of a rule to the change of the weights, W ← W + lr · u.

A control is a frozen description. What it remembers from step to step, one tensor per layer, is kept by the
optimizer, and replaced only when the step is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .rules import predicted_change, quadratic_change
from .stack import Stack

Memory = dict[int, Tensor]


class Probe(NamedTuple):
    """What a control may ask about the batch of this step.

    Attributes
    ----------
    change : callable
        q(u) = (1/M) Σ (J u)ᵀ F (J u): length of the change of the outputs that updates u (one per stack)
        cause, to first order, in the metric of the Fisher F of the outputs.
    residual : callable
        ℓ, length of the best step in the space of outputs, in the same metric (`Residual.length`).
    """

    change: Callable[[list[Tensor]], float]
    residual: Callable[[], float]


class Move(NamedTuple):
    """The step lr · scale · u: u, one per stack; the scale; scale² uᵀFu if it is known; what to remember."""

    updates: list[Tensor]
    scale: float
    curvature: float | None
    memory: Memory


@dataclass(frozen=True)
class Plain:
    """W ← W + lr · ΔW: the learning rate is the α of the paper."""

    rows: int = 0

    def move(self, stacks: list[Stack], directions: list[Tensor], memory: Memory, probe: Probe) -> Move:
        """u = ΔW."""
        return Move(directions, 1.0, None, {})


@dataclass(frozen=True)
class OutputNormalised:
    r"""Nesterov momentum, then a step that changes the outputs by lr times their residual.

    .. math::

        v \leftarrow \beta v + (1-\beta) d, \quad u = \beta v + (1-\beta) d, \quad
        W \leftarrow W + \text{lr} \sqrt{\ell / q} \; u

    d is the direction of the rule, q the length of the change of the outputs along u on the first `rows`
    examples, ℓ the length of the residual of the batch; for a Gaussian with Σ̃ = I they are ⟨‖J u‖²⟩ and
    ⟨‖y − f‖²⟩. The scale of d cancels, so damping and stale factors matter little.

    Parameters
    ----------
    momentum : float, default 0.8
        β.
    rows : int, default 64
        Examples on which q is measured, by one forward-mode derivative.
    """

    momentum: float = 0.8
    rows: int = 64

    def __post_init__(self) -> None:
        beta = self.momentum
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 <= beta < 1:
            raise ValueError(f"momentum must be a number in [0, 1); got {beta!r}")
        if isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1:
            raise ValueError(f"rows must be a positive integer; got {self.rows!r}")

    def move(self, stacks: list[Stack], directions: list[Tensor], memory: Memory, probe: Probe) -> Move:
        """u, √(ℓ/q) and the new v."""
        beta, past = self.momentum, memory
        velocities, updates = {}, []
        for stack, d in zip(stacks, directions):
            known = past.keys() >= stack.members.keys()
            v = torch.lerp(d, stack.gather(past), beta) if known else (1 - beta) * d
            velocities.update(zip(stack.members, stack.split(v)))
            updates.append(d.lerp(v, beta))
        residual, q = probe.residual(), probe.change(updates)
        scale = math.sqrt(residual / q) if q > 0 else 0.0
        return Move(updates, scale, residual, past | velocities)


def predicted(lr: float, trace: float, curvature: float | None) -> float:
    """Change of the loss along lr · u: −lr gᵀu + ½ lr² uᵀFu; by footnote 1 if uᵀFu is unknown."""
    if curvature is None:
        return predicted_change(lr, trace)
    return quadratic_change(lr, trace, curvature)
