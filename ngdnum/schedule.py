"""When something that need not be done at every step, or for all examples, is done."""

from __future__ import annotations

import math


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
