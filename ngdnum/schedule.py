"""When something that need not be done at every step, or for all examples, is done; what controls need of it."""

from __future__ import annotations

import math
from dataclasses import dataclass


def due(step: int, every: int) -> bool:
    """Whether it is done in the step with this number, counted from 0: at every so many.

    Before the first interval is over, also whenever the number of steps taken has doubled.

    Examples
    --------
    >>> [step for step in range(50) if due(step, every=24)]
    [0, 1, 3, 7, 15, 24, 48]
    """
    taken = step + 1
    return step % every == 0 or step < every and taken.bit_count() == 1


def examples(rows: int, positions: int) -> int:
    """How many examples of so many positions are worth `rows` of independent ones.

    Positions of one example are alike, so T of them are taken to be worth √T.

    Examples
    --------
    >>> examples(200, 1), examples(200, 64), examples(16, 64)
    (200, 25, 2)
    """
    return math.ceil(rows / math.sqrt(positions))


def check_every(every: int) -> None:
    """Refuse anything but a positive number of steps."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a positive number of steps; got {every!r}")


def check_rows(rows: int | None) -> None:
    """Refuse anything but a positive number of examples, or None."""
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
        raise ValueError(f"rows must be a positive integer, or None for all examples; got {rows!r}")


@dataclass(frozen=True)
class Needs:
    """What a control needs of a step: no more than the rule's directions."""

    def due(self, step: int, quotient: float) -> bool:
        """Whether the model is to be asked in this step, `quotient` being what the last one left, 0 if nothing."""
        return False


@dataclass(frozen=True)
class NeedsFisher(Needs):
    """The calls of the model, for `StepContext.fisher` and `residual`: for the first `rows` examples, or all (None).

    With `alike`, fewer examples with several positions are worth as much (`schedule.examples`), but four or more.
    A model that must run again for it, since it is no chain of layers, is asked in one of `every` so many steps only.
    """

    rows: int | None
    alike: bool = False
    every: int = 1

    def due(self, step: int, quotient: float) -> bool:
        return not quotient or due(step, self.every)

    def examples(self, positions: int) -> int | None:
        """How many examples that is where each has so many positions."""
        if self.rows is None or not self.alike:
            return self.rows
        return max(examples(self.rows, positions), min(self.rows, 4))


@dataclass(frozen=True)
class NeedsDual(NeedsFisher):
    """`StepContext.dual` instead of directions: all calls, and the gradients of their outputs."""

    rows: int | None = None
