"""Steps measured by what they do to the outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..fisher import Vector
from ..schedule import check_rows
from ..stack import Stack
from .move import Memory, Move, Probe, dot, recall, remember


@dataclass(frozen=True)
class OutputNormalised:
    r"""Nesterov momentum, then a step that changes the outputs by lr times their residual.

    .. math::

        v \leftarrow \beta v + (1-\beta) d, \quad u = \beta v + (1-\beta) d, \quad
        W \leftarrow W + \text{lr} \sqrt{\ell / q} \; u

    d is the direction of the rule, q = uᵀFu the length of the change of the outputs along u on the first
    `rows` examples, ℓ the length of the residual of the batch; for a Gaussian with Σ̃ = I they are ⟨‖J u‖²⟩
    and ⟨‖y − f‖²⟩. The scale of d cancels, so damping and stale factors matter little.

    q is taken to be (gᵀu)²/ℓ at least, g being the negative gradient, so that a few examples on which the
    outputs hardly change cannot make a step too long: no first-order change of the loss exceeds lr · ℓ. For a
    Gaussian with Σ̃ = σ²I and all examples, q is never less, by the Cauchy–Schwarz inequality.

    Parameters
    ----------
    momentum : float, default 0.8
        β.
    rows : int or None, default 64
        Examples on which q is measured, by one forward-mode derivative; None: all.
    """

    momentum: float = 0.8
    rows: int | None = 64

    def __post_init__(self) -> None:
        beta = self.momentum
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 <= beta < 1:
            raise ValueError(f"momentum must be a number in [0, 1); got {beta!r}")
        check_rows(self.rows)

    def move(self, stacks: list[Stack], directions: Vector, memory: Memory, probe: Probe) -> Move:
        """u, √(ℓ/q) and the new v."""
        beta = self.momentum
        velocities = [
            (1 - beta) * d if v is None else torch.lerp(d, v, beta)
            for d, v in zip(directions, recall(stacks, memory))
        ]
        updates = [d.lerp_(v, beta) for d, v in zip(directions, velocities)]
        residual, q = probe.residual(), float(probe.fisher.inner([updates]))
        if residual:
            q = max(q, dot(updates, probe.gradients) ** 2 / residual)
        scale = math.sqrt(residual / q) if q > 0 else 0.0
        return Move(updates, scale, residual, remember(stacks, velocities, memory))
