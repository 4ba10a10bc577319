"""When and how the factors are factorised anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rule import Quantities
from ..rules.definition import SOLVERS
from ..schedule import check_every

RAISE = 10.0
"""What the damping is multiplied by where a factor cannot be factorised."""


@dataclass(frozen=True)
class Inverse:
    r"""When the factors are factorised anew, in which precision, and what happens if one is nearly singular.

    Parameters
    ----------
    every : int, default 1
        Steps between two factorisations; before the first such interval is over, more often (`schedule.due`).
    drift : float, optional
        Factorise earlier if a factor of the layer has moved by more than this part of itself,
        ‖Λ − Λ₀‖ > drift ‖Λ₀‖ (Frobenius), since it was factorised. Needs copies of the factors.
    retries : int, default 3
        If a damped factor is not numerically positive definite, λ is raised tenfold for its layer in this
        factorisation, up to so many times, before the step is refused. `opt.report()` shows the λ in use.
    solver : {"cholesky", "inverse", "low_rank"}, optional
        How damped inverses are applied: by triangular solves, as explicit inverses (faster where one serves many
        steps), or by the leading eigenpairs of factors wider than 256. The default is the rule's own, and a rule
        that is not written for a solver refuses it.
    dtype : torch.float32 or torch.float64, optional
        Precision of the factorisation; its result is applied in the precision of the gradient, which is also
        the default.

    Raises
    ------
    ValueError
        For options out of range.

    Examples
    --------
    Inverses in double precision that serve 100 steps, or fewer if the factors move by a tenth:

    >>> Inverse(every=100, drift=0.1, dtype=torch.float64)
    Inverse(every=100, drift=0.1, retries=3, dtype=torch.float64, solver=None)
    """

    every: int = 1
    drift: float | None = None
    retries: int = 3
    dtype: torch.dtype | None = None
    solver: str | None = None

    def __post_init__(self) -> None:
        check_every(self.every)
        drift, retries = self.drift, self.retries
        if drift is not None:
            if isinstance(drift, bool) or not isinstance(drift, (int, float)) or not 0 < drift < math.inf:
                raise ValueError(f"drift must be a number > 0, or None for the calendar alone; got {drift!r}")
            if self.every == 1:
                raise ValueError("drift has nothing to do with every=1: each step factorises; raise every")
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 20:
            raise ValueError(f"retries must be an integer from 0 to 20; got {retries!r}")
        if self.solver not in (None, *SOLVERS):
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, or None; got {self.solver!r}")
        if self.dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32, torch.float64 or None; got {self.dtype!r}")

    @property
    def seldom(self) -> bool:
        """Whether, by the calendar, many steps use what was factorised in one."""
        return self.every > 1

    def moved(self, origin: Quantities, quantities: Quantities) -> bool:
        """Whether a matrix is further from its `origin` than `drift` allows."""
        drift = self.drift or math.inf
        for name, old in origin.items():
            new = quantities[name]
            for a, b in zip(_listed(old), _listed(new)):
                norm = torch.linalg.matrix_norm
                if (norm(b - a) > drift * norm(a)).any():
                    return True
        return False


def _listed(matrices: Tensor | list[Tensor] | float) -> list[Tensor]:
    """One or several matrices."""
    return matrices if isinstance(matrices, list) else [torch.as_tensor(matrices)]
