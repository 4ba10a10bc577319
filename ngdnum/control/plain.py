"""The step of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fisher import Vector
from ..stack import Stack
from .move import Memory, Move, Probe


@dataclass(frozen=True)
class Plain:
    """W ← W + lr · ΔW: the learning rate is the α of the paper."""

    rows: ClassVar[int] = 0

    def move(self, stacks: list[Stack], directions: Vector, memory: Memory, probe: Probe) -> Move:
        """u = ΔW."""
        return Move(directions, 1.0, None, {})
