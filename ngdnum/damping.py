"""Damping: how λ changes from one step to the next.

λ is absolute, as in the paper. With `relative=True`, as in `NGD.fast` and `NGD.sample_efficient`, it is a pure number:
what is added to the factors is measured in the sizes of inputs and errors (`ngdnum.curvature.units`), so that the units
of inputs and targets do not matter, and floors follow the residual.
λ itself lives in `optimizer.param_groups[0]["damping"]`, where schedulers and `state_dict` see it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from .rules.control import levenberg_marquardt


class Damping(ABC):
    """How λ changes; `lam` is that of the first step; `relative` says whether it is in units of inputs and errors."""

    lam: float
    relative: bool = False

    @property
    def rejects(self) -> bool:
        """Whether a step after which the loss of its batch is higher than before is undone."""
        return False

    @abstractmethod
    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        """λ of the next step, given ρ of this one if it is known; a relative one is given R, see `Batch`, too."""


@dataclass(frozen=True)
class Fixed(Damping):
    """λ stays as it is, or as a scheduler of your own sets it.

    Examples
    --------
    >>> Fixed(0.1).next(0.1, rho=None)
    0.1
    """

    lam: float
    relative: bool = False

    def __post_init__(self) -> None:
        _check(self.lam)

    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        """λ of the next step."""
        return lam


@dataclass(frozen=True)
class Decay(Damping):
    """λ_t = max(floor · R, λ_0 e^{−t/steps}): large while the factors rest on few examples, then small.

    R, at most 1, is the residual relative to the size of the outputs where the control measures it, else 1.
    The floor is positive if λ_0 is: λ would reach 0, which stands for the undamped rule, by rounding.

    Examples
    --------
    >>> Decay(0.1, steps=30.0, floor=0.003).next(0.1, rho=None)
    0.0967...
    >>> Decay(0.1, steps=30.0, floor=0.003).next(0.003, rho=None)
    0.003
    """

    lam: float
    steps: float
    floor: float = 1e-8
    relative: bool = False

    def __post_init__(self) -> None:
        _check(self.lam)
        _check(self.floor)
        if self.lam and not self.floor:
            raise ValueError("floor must be > 0: λ would decay to 0, which stands for the undamped rule")
        if isinstance(self.steps, bool) or not isinstance(self.steps, (int, float)) or not self.steps > 0:
            raise ValueError(f"steps must be a number > 0; got {self.steps!r}")

    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        """λ of the next step."""
        return lam and max(self.floor * residual, lam * math.exp(-1 / self.steps))


@dataclass(frozen=True)
class LevenbergMarquardt(Damping):
    r"""λ follows how well the quadratic model predicts the loss; by default the paper's rule (Eq. 21).

    .. math::

        \lambda \leftarrow \omega \lambda \text{ if } \rho < \tfrac14, \quad
        \lambda \leftarrow \lambda/\omega \text{ if } \rho > \tfrac34

    ρ is the actual change of the loss over the predicted one, known after `step(closure)` only. λ = 0 (the
    undamped rule) stays 0.

    Parameters
    ----------
    lam : float
        λ of the first step.
    floor : float, default 1e-8
        Smallest λ, times the relative residual where the control measures it: at the smallest
        achievable loss ρ ≈ 1, and λ would vanish.
    ceiling : float, default 100.0
        Largest λ, or `lam` if that is larger: what ρ is at the smallest achievable loss is rounding, and λ would
        grow beyond all use.
    factor : float, default 1.5
        ω > 1. At ten steps per pass through the data, 3/2 is slow.
    reject : bool, default False
        Whether a step after which the loss of its batch is higher than before is undone.
    relative : bool, default False
        Whether λ, with floor and ceiling, is in units of inputs and errors.

    Examples
    --------
    >>> LevenbergMarquardt(0.5).next(0.5, rho=0.1)
    0.75
    >>> LevenbergMarquardt(0.3, floor=0.25).next(0.3, rho=0.9)
    0.25
    >>> LevenbergMarquardt(0.5, factor=4.0).next(0.5, rho=0.1)
    2.0
    """

    lam: float
    floor: float = 1e-8
    factor: float = 1.5
    reject: bool = False
    ceiling: float = 100.0
    relative: bool = False

    def __post_init__(self) -> None:
        _check(self.lam)
        _check(self.floor)
        _check(self.ceiling)
        if self.ceiling < self.floor:
            raise ValueError(f"ceiling must not be below floor; got {self.ceiling!r} and {self.floor!r}")
        factor = self.factor
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 < factor < math.inf:
            raise ValueError(f"factor must be a finite number > 1; got {factor!r}")
        if self.reject and not self.lam:
            raise ValueError("reject needs damping > 0: with λ = 0 a rejected step could not be made smaller")

    @property
    def rejects(self) -> bool:
        return self.reject

    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        """λ of the next step, given ρ of this one; without ρ, λ stays."""
        if rho is None or not lam:
            return lam
        once, paper = levenberg_marquardt(1.0, rho), levenberg_marquardt(1.0, 0.0)
        fresh = lam * once ** (math.log(self.factor) / math.log(paper))
        return max(min(fresh, max(self.ceiling, self.lam)), self.floor * residual)


def _check(value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"damping must be a finite number ≥ 0 (0.0 for the undamped rule); got {value!r}")
