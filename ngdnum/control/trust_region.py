"""Steps limited by how far they move the model's distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..fisher.primal import Vector
from ..schedule import Needs, NeedsFisher, check_rows
from ..stack import Stack
from .control import Control, Step, StepContext


@dataclass(frozen=True)
class TrustRegion(Control):
    r"""The plain step, shortened so that the model's distribution does not move by more than `kl` nats.

    .. math::

        W \leftarrow W + \text{lr} \min\Big(1, \sqrt{\frac{2\,\text{kl}}{\text{lr}^2 \, d^\top F d}}\Big) \; d

    ½ uᵀFu is the Kullback–Leibler divergence of the outputs' distributions before and after the step u, a
    mean over examples, to second order. F is the exact Fisher of the first `rows` examples; d the direction
    of the rule.

    Parameters
    ----------
    kl : float
        Largest divergence, in nats per example.
    rows : int or None, default None
        Examples on which F is measured, by one forward-mode derivative; None: all.

    Examples
    --------
    >>> import torch
    >>> from ngdnum import NGD, Fixed, Gaussian, TrustRegion
    >>> _ = torch.manual_seed(0)
    >>> x, y = torch.randn(50, 3), torch.randn(50, 2)
    >>> model, likelihood = torch.nn.Linear(3, 2), Gaussian()
    >>> opt = NGD(model, likelihood, damping=Fixed(0.1), control=TrustRegion(kl=1e-3))
    >>> f, before = model(x).detach(), likelihood(model(x), y)
    >>> before.backward()
    >>> _ = opt.step()
    >>> divergence = 0.5 * (model(x) - f).square().sum(1).mean()     # of two Gaussians with covariance I
    >>> round(divergence.item(), 6)
    0.001
    """

    kl: float
    rows: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.kl, bool) or not isinstance(self.kl, (int, float)) or not 0 < self.kl < math.inf:
            raise ValueError(f"kl must be a finite number > 0; got {self.kl!r}")
        check_rows(self.rows)

    @property
    def needs(self) -> Needs:
        return NeedsFisher(self.rows)

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """d, its scale, and scale² dᵀFd."""
        curvature = context.fisher().inner([directions])[0][0]
        divergence = 0.5 * context.lr**2 * curvature
        scale = min(1.0, math.sqrt(self.kl / divergence)) if divergence > 0 else 1.0
        return Step(directions, scale, scale**2 * curvature)
