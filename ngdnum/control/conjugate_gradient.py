"""The exact natural gradient of any network, by conjugate gradients on the exact Fisher."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fisher.primal import Vector
from ..schedule import Needs, NeedsFisher, check_rows
from ..stack import Stack
from .control import Control, Step, StepContext, dot


@dataclass(frozen=True)
class ConjugateGradient(Control):
    r"""Solve (F + λΩ) u = g, the exact natural-gradient step of the batch, preconditioned by the rule.

    F is the exact Fisher of the first `rows` examples, g the negative gradient, and Ω the unit of λ: I if λ is
    absolute (`ngdnum.curvature.units`). The first iterate is the
    rule's direction with its best length. Each iteration costs a forward- and a reverse-mode derivative of the
    model. A few make a good step on a mini-batch, many the exact natural gradient. Rules that are no fixed
    symmetric matrix are allowed for (Polak–Ribière), at the memory of one more vector.

    Parameters
    ----------
    steps : int, default 3
        Largest number of iterations.
    tolerance : float, default 0.0
        Stop at ‖g − (F + λΩ) u‖ ≤ tolerance · ‖g‖, at the latest when the residual is rounding.
    rows : int or None, default None
        Examples on which F is measured; None: all.
    damped : bool, default True
        Whether λ of the rule is in the system as well.

    Examples
    --------
    >>> import torch
    >>> from ngdnum import NGD, Gaussian, ConjugateGradient
    >>> _ = torch.manual_seed(0)
    >>> x, y = torch.randn(50, 3), torch.randn(50, 2)
    >>> model, likelihood = torch.nn.Linear(3, 2), Gaussian()
    >>> opt = NGD(model, likelihood, control=ConjugateGradient(steps=20, damped=False))
    >>> before = likelihood(model(x), y)
    >>> before.backward()
    >>> _ = opt.step()
    >>> opt.zero_grad()
    >>> likelihood(model(x), y).backward()              # one exact step solves linear regression
    >>> bool(model.weight.grad.norm() < 1e-5)
    True
    """

    steps: int = 3
    tolerance: float = 0.0
    rows: int | None = None
    damped: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a positive integer; got {self.steps!r}")
        tolerance = self.tolerance
        if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be a number in [0, 1); got {tolerance!r}")
        check_rows(self.rows)

    @property
    def needs(self) -> Needs:
        return NeedsFisher(self.rows)

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """u, and uᵀ(F + λΩ)u."""
        fisher, lam = context.fisher(), context.lam if self.damped else 0.0
        u = [torch.zeros_like(d) for d in directions]
        r = [g.clone() for g in context.gradients]
        z = p = directions
        rz, curvature = dot(r, z), 0.0
        rounding = 10 * torch.finfo(r[0].dtype).eps
        bound = max(self.tolerance, rounding) * math.sqrt(dot(r, r))
        for k in range(1, self.steps + 1):
            Fp = fisher.times(p)
            if lam:
                Fp = [torch.add(a, b, alpha=lam) for a, b in zip(Fp, context.damped(p))]
            pFp = dot(p, Fp)
            if not pFp > 0:
                break
            a = dot(r, p) / pFp
            curvature += a * a * pFp
            for total, step in zip(u, p):
                total.add_(step, alpha=a)
            if k == self.steps:
                break
            before = [v.clone() for v in r]
            for residual, image in zip(r, Fp):
                residual.sub_(image, alpha=a)
            if math.sqrt(dot(r, r)) <= bound:
                break
            z, last = context.precondition(r), rz
            rz = dot(r, z)
            if not rz > 0:
                break
            beta = (rz - dot(before, z)) / last
            p = [torch.add(v, w, alpha=beta) for v, w in zip(z, p)]
        return Step(u, 1.0, curvature)
