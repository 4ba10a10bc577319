"""Conjugate gradients on the exact Fisher, in the space of errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..fisher.primal import Vector
from ..schedule import Needs, NeedsDual
from ..stack import Stack
from .control import Control, Step, StepContext


@dataclass(frozen=True)
class DualConjugateGradient(Control):
    r"""u ≈ (F + √λ P⁻¹)⁻¹ g by conjugate gradients, preconditioned by the rule P, among the errors at the outputs.

    .. math::

        \min_z \; \tfrac12 u^\top (F + \sqrt\lambda P^{-1}) u - g^\top u, \quad u = P J^\top z / M

    F is the exact Fisher of the batch, J the derivative of its outputs, g the negative gradient. From g on, all
    iterates belong to errors z `[M, n_L]` (and, where g was changed after `backward` or the loss has a term besides
    the likelihood, to a multiple of what that adds to it), so neither gradients nor updates of the weights are
    formed until the end. An iteration costs two passes through the network without gradients of the weights, about a
    third of one of `ConjugateGradient`; undamped, both are the same. Damping by P⁻¹, the curvature that the rule has
    averaged, holds back steps that fit only this batch. The rule must be a product with G, as those of
    K-FAC's form are.

    Parameters
    ----------
    steps : int, default 5
        Largest number of iterations.
    damped : bool, default True
        Whether √λ P⁻¹ is in the system.

    Examples
    --------
    >>> from ngdnum import NGD, DualConjugateGradient, Gaussian
    >>> _ = torch.manual_seed(0)
    >>> x, y = torch.randn(50, 3), torch.randn(50, 2)
    >>> model, likelihood = torch.nn.Linear(3, 2), Gaussian()
    >>> opt = NGD(model, likelihood, control=DualConjugateGradient(steps=20, damped=False))
    >>> likelihood(model(x), y).backward()
    >>> _ = opt.step()
    >>> opt.zero_grad()
    >>> likelihood(model(x), y).backward()              # one exact step solves linear regression
    >>> bool(model.weight.grad.norm() < 1e-5)
    True
    """

    steps: int = 5
    damped: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a positive integer; got {self.steps!r}")

    @property
    def needs(self) -> Needs:
        return NeedsDual()

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """u, and uᵀ(F + √λ P⁻¹)u."""
        dual = context.dual()
        r, total = dual.errors.clone(), torch.zeros_like(dual.errors)
        start = dual.norm(r)
        y = dual.start()
        p, q, ry, curvature = r.clone(), y, dual.dot(r, y), 0.0
        rounding = 10 * torch.finfo(r.dtype).eps
        for k in range(1, self.steps + 1):
            Ap = dual.weigh(q)
            if self.damped:
                Ap = Ap.add(p, alpha=context.lam**0.5)
            qAp = dual.dot(q, Ap)
            if not (qAp > 0 and ry > 0):
                break
            a = ry / qAp
            total.add_(p, alpha=a)
            curvature += a * ry / dual.count
            r.sub_(Ap, alpha=a)
            if k == self.steps or dual.norm(r) <= rounding * start:
                break
            y, last = dual.change(r), ry
            ry = dual.dot(r, y)
            p, q = p.mul_(ry / last).add_(r), y.add(q, alpha=ry / last)
        return Step(dual.update(total), 1.0, curvature)
