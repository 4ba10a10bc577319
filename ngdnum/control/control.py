"""What step controls have in common: what they need, what they may ask, and what they answer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..fisher.dual import Dual
from ..fisher.primal import Fisher, Vector
from ..rules.control import predicted_change, quadratic_change
from ..schedule import Needs
from ..sizes import inner, numbers
from ..stack import Stack


class StepContext(NamedTuple):
    """What a control may ask about this step.

    Attributes
    ----------
    gradients : Vector
        G of every stack, the negative gradient of the loss.
    lr, lam : float
        Learning rate and damping λ.
    damped : callable
        Ω u for u: λ Ω is the damping of the Fisher. Ω is I for an absolute λ and for rules without one; for a relative
        λ it is τ τ̃ in the weights of a layer and τ_b τ̃ in its biases (`ngdnum.curvature.units`).
    precondition : callable
        The rule, with the factors and inverses of this step, as a map from G to ΔW.
    fisher : callable
        Makes the exact Fisher on the examples that the control keeps.
    probed : bool
        Whether there are such examples in this step, see `NeedsFisher.every`.
    linked : bool
        Whether the model is a chain of layers with nothing but elementwise functions between them, which need not run
        again for its Fisher.
    residual : callable
        ℓ, length of the best step in the space of outputs, in the metric of their Fisher (`Batch.residual`).
    dual : callable
        Makes the `Dual` of this step, for controls that need it.
    quotient : float
        What the last step left as `Step.quotient`; 0 at first.
    chain : list of int or None
        The layers in the order of the forward pass, if each was fed with the unchanged output of the one before
        and the output of the last is the model's; otherwise None.
    """

    gradients: Vector
    lr: float
    lam: float
    damped: Callable[[Vector], Vector]
    precondition: Callable[[Vector], Vector]
    fisher: Callable[[], Fisher]
    probed: bool
    linked: bool
    residual: Callable[[], float]
    dual: Callable[[], Dual]
    quotient: float
    chain: list[int] | None


class Step(NamedTuple):
    """The step lr · scale · u.

    u; the scale; (scale · u)ᵀF(scale · u) if it is known; the velocity to remember; and, where they are known, gᵀu and
    the norm of u in each layer of each stack. And a running mean of uᵀFu/uᵀΩu, for a control that has one.
    `foreseen` tells whether the change of the loss follows from these: if uᵀFu is a guess, ρ of this step is unknown.
    """

    updates: Vector
    scale: float = 1.0
    curvature: float | None = None
    velocity: Vector | None = None
    size: tuple[float, list[float]] | None = None
    quotient: float = 0.0
    foreseen: bool = True


class Control(ABC):
    """A frozen description of how directions become the change of the weights."""

    @property
    def needs(self) -> Needs:
        """What must be kept of the passes for it."""
        return Needs()

    @abstractmethod
    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """The step along the `directions` ΔW of the rule; `velocity` is what the last step left of each stack.

        The control may overwrite the `directions`, not the `velocity`. There are no directions for `NeedsDual`.
        """


def dot(first: Vector, second: Vector) -> float:
    """Σ_i tr u_iᵀ v_i."""
    return sum(numbers(inner(first, second)))


def predicted(lr: float, trace: float, curvature: float | None) -> float:
    """Change of the loss along lr · u: −lr gᵀu + ½ lr² uᵀFu; by footnote 1 if uᵀFu is unknown."""
    if curvature is None:
        return predicted_change(lr, trace)
    return quadratic_change(lr, trace, curvature)


def ratio(change: float, predicted: float | None, before: Tensor | float) -> float | None:
    """ρ of (21), actual over predicted change of the loss since `before`.

    −∞ if the loss overflowed, 1 at a stationary point, None if both changes are rounding or no change was predicted.
    """
    if not math.isfinite(change):
        return -math.inf
    if predicted is None:
        return None
    eps = torch.finfo(before.dtype if isinstance(before, Tensor) else torch.float64).eps
    if predicted and max(abs(change), abs(predicted)) <= 10 * eps * abs(float(before)):
        return None
    return change / predicted if predicted else 1.0


def judged(step: Step, lr: float, slope: float, change: float, before: Tensor | float, undone: bool) -> float | None:
    """ρ of a step that has changed the loss from `before` by `change`, gᵀu being the `slope`; None if it is unknown.

    It is negative for a step that was `undone`, since whatever was predicted, the loss was to fall.
    """
    expected = predicted(lr, step.scale * slope, step.curvature) if step.foreseen else None
    return ratio(change, -abs(expected or change) if undone else expected, before)
