"""Step and momentum that minimise the quadratic model of the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..fisher.primal import Vector
from ..rules.control import step_and_momentum
from ..schedule import Needs, NeedsFisher, check_rows
from ..stack import Stack
from .control import Control, Step, StepContext, dot


@dataclass(frozen=True)
class ExactLineSearch(Control):
    r"""The best step in the plane of the rule's direction d and the last update v.

    .. math::

        u = \alpha d + \mu v, \quad W \leftarrow W + \text{lr} \; u, \\
        (\alpha, \mu) = \arg\min \; -g^\top u + \tfrac12 u^\top (F + \lambda \Omega) u

    g is the negative gradient and F the exact Fisher of the first `rows` examples, Ω the unit of λ (I if λ is
    absolute, see `ngdnum.curvature.units`), so the scale of d does not
    matter, and α and μ need no tuning (Martens and Grosse 2015, section 7). Costs two forward-mode
    derivatives, or one without momentum.

    Parameters
    ----------
    momentum : bool, default True
        Whether the last update takes part; otherwise μ = 0.
    rows : int or None, default None
        Examples on which F is measured; None: all.
    damped : bool, default True
        Whether λ of the rule is in the quadratic model as well.

    Examples
    --------
    >>> import torch
    >>> from ngdnum import NGD, Gaussian, ExactLineSearch
    >>> _ = torch.manual_seed(0)
    >>> x, y = torch.randn(50, 3), torch.randn(50, 2)
    >>> model, likelihood = torch.nn.Linear(3, 2), Gaussian()
    >>> opt = NGD(model, likelihood, rule="sgd", control=ExactLineSearch(damped=False))
    >>> before = likelihood(model(x), y)
    >>> before.backward()
    >>> _ = opt.step()
    >>> bool(likelihood(model(x), y) < before)
    True
    """

    momentum: bool = True
    rows: int | None = None
    damped: bool = True

    def __post_init__(self) -> None:
        check_rows(self.rows)

    @property
    def needs(self) -> Needs:
        return NeedsFisher(self.rows)

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """u, uᵀ(F + λΩ)u, and u again to remember."""
        known = self.momentum and any(v is not None for v in velocity)
        span = [directions]
        if known:
            span.append([torch.zeros_like(d) if v is None else v for d, v in zip(directions, velocity)])
        gram = context.fisher().inner(span)
        if self.damped:
            damped = [context.damped(v) for v in span]
            gram = [[F + context.lam * dot(u, v) for F, v in zip(row, damped)] for row, u in zip(gram, span)]
        slopes = [dot(context.gradients, u) for u in span]
        for i, row in enumerate(gram):
            row[i] *= 1 + 10 * torch.finfo(directions[0].dtype).eps  # α and μ stay moderate for nearly parallel d and v
        alpha, mu = _best(slopes, gram)
        updates = [alpha * d for d in directions]
        if known:
            updates = [u.add_(v, alpha=mu) for u, v in zip(updates, span[1])]
        curvature = sum(a * b * F for a, row in zip((alpha, mu), gram) for b, F in zip((alpha, mu), row))
        return Step(updates, 1.0, curvature, updates if self.momentum else None)


def _best(slopes: list[float], gram: list[list[float]]) -> tuple[float, float]:
    """α and μ; no step along a direction in which the model is flat."""
    if not gram[0][0] > 0:
        return 0.0, 0.0
    gd, gv = (*slopes, 0.0)[:2]
    (dFd, dFv), vFv = (*gram[0], 0.0)[:2], gram[-1][-1] if len(gram) > 1 else 0.0
    return step_and_momentum(gd, gv, dFd, dFv, vFv)
