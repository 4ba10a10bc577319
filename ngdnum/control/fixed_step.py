"""The step of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..fisher.primal import Vector
from ..stack import Stack
from .control import Control, Step, StepContext


@dataclass(frozen=True)
class FixedStep(Control):
    """W ← W + lr · ΔW: the learning rate is the α of the paper."""

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """u = ΔW."""
        return Step(directions)
