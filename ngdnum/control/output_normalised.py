"""Steps measured by what they do to the outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fisher.primal import Vector
from ..schedule import Needs, NeedsFisher, check_every, check_rows
from ..sizes import numbers, product_and_norms
from ..stack import Stack
from .control import Control, Step, StepContext, dot


@dataclass(frozen=True)
class OutputNormalised(Control):
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

    Where layers follow each other with nothing but elementwise functions between them, q comes from what the loss's
    pass has left. Any other model runs again for it, in one of `every` so many steps (`schedule.due`). There, q is
    taken to be uᵀΩu times the running mean of q/uᵀΩu at least, with Ω the unit of λ (I if that is absolute), and in
    all other steps this is q: in a language model few sequences may have most of q, and others a hundredth of it, so
    that the mean is as near to the q of the whole batch as a few examples are. It is no prediction of what this step
    does, though: ρ, and a damping that follows it, are those of the steps in which the model has run.

    All this is first order. Relative changes r_i of the layers can change what they compute together by a factor
    of ∏(1 + r_i) (Bernstein et al. 2020), so a step is shortened until the second order of this product is no more
    than `second_order_bound` times the first,

    .. math::

        \sum_{i<j} r_i r_j \le \text{second_order_bound} \sum_i r_i, \quad r_i = \|\Delta W_i\| / \|W_i\|,

    biases left out, which are no factors of it, and layers whose weights are all 0. So the bound does not depend on
    the units of inputs and targets.

    Parameters
    ----------
    momentum : float, default 0.8
        β.
    rows : int or None, default 64
        Examples on which q is measured, by one forward-mode derivative; None: all. Fewer ones with several positions
        are worth as much (`schedule.examples`), but four or more.
    second_order_bound : float, default 0.3
        How much of a step may be of second order. Without a bound, steps in the network of Figure 1C diverge from
        some starting weights; with the default, no batch may have twice its first loss there
        (`test_output_normalised.py`).
    memory : float, default 0.9
        Decay, in one step, of the running mean of q/uᵀΩu; with 0, only the last q counts.
    every : int, default 1
        Steps between two runs of the model for q.
    """

    momentum: float = 0.8
    rows: int | None = 64
    second_order_bound: float = 0.3
    memory: float = 0.9
    every: int = 1

    def __post_init__(self) -> None:
        for name, decay in (("momentum", self.momentum), ("memory", self.memory)):
            if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
                raise ValueError(f"{name} must be a number in [0, 1); got {decay!r}")
        check_rows(self.rows)
        check_every(self.every)
        bound = self.second_order_bound
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound > 0:
            raise ValueError(f"second_order_bound must be a number > 0, or math.inf; got {bound!r}")

    @property
    def needs(self) -> Needs:
        return NeedsFisher(self.rows, alike=True, every=self.every)

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """u, √(ℓ/q) or what `second_order_bound` allows, and the new v."""
        beta = self.momentum
        before = []
        for d, v in zip(directions, velocity):
            before.append(torch.zeros_like(d) if v is None else v)
        velocities = list(torch._foreach_lerp(directions, before, beta))
        torch._foreach_lerp_(directions, velocities, beta)
        residual, (q, quotient) = context.residual(), self._length(directions, context)
        slope, lengths = product_and_norms(stacks, directions, context.gradients)
        if residual:
            q = max(q, slope * slope / residual)
        scale = math.sqrt(residual / q) if q > 0 else 0.0
        bound, rate = self.second_order_bound, context.lr * scale
        second = rate * _second_order(stacks, directions)
        scale *= bound / second if second > bound else 1.0
        foreseen = context.linked or context.probed
        return Step(directions, scale, scale**2 * q, velocities, (slope, lengths), quotient, foreseen)

    def _length(self, u: Vector, context: StepContext) -> tuple[float, float]:
        """q, and the running mean of q/uᵀΩu where the model had to run again."""
        mean = context.quotient
        if context.linked:
            return context.fisher().inner([u])[0][0], mean
        size = dot(u, context.damped(u))
        if not context.probed:
            return mean * size, mean
        q = context.fisher().inner([u])[0][0]
        if size:
            mean += (1 - self.memory**self.every if mean else 1.0) * (q / size - mean)
        return max(q, mean * size), mean


def _second_order(stacks: list[Stack], u: Vector) -> float:
    """Σ_{i<j} r_i r_j / Σ r_i, with u in the place of ΔW; 0 where all r are."""
    weights: list[Tensor] = []
    rows: list[Tensor] = []
    for stack, own in zip(stacks, u):
        weights += stack.weights
        if not stack.biases:
            rows += stack.split(own)
        else:  # norms of rows first: the fastest way over a matrix without its last column
            rows += stack.split(torch.linalg.vector_norm(own[..., :-1], dim=-1))
    norms = numbers([*torch._foreach_norm(rows), *torch._foreach_norm(weights)])
    total = squares = 0.0
    for length, size in zip(norms, norms[len(rows) :]):
        r = length / size if size else 0.0
        total, squares = total + r, squares + r * r
    return (total - squares / total) / 2 if total else 0.0
