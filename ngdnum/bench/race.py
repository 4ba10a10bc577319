"""Training runs in turns: what tuning and the benchmark have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..experiments.training import Budget, Run
from ..results import Curve


@dataclass
class Entry:
    """A run, how long it may train, and the curve of its errors on the problem's test set, times `scale`."""

    run: Run
    budget: Budget
    scale: float
    curve: Curve

    def advance(self, share: float) -> None:
        """Train until `share` of the budget is spent, and record the error if there was any training."""
        if self.run.diverged:
            return
        before = self.run.samples
        self.run.advance(self.budget, share)
        if share == 0 or self.run.samples > before:
            self.run.record(self.curve, self.scale)


def race(
    entries: Sequence[Entry],
    points: int,
    advanced: Callable[[Entry, float], None] = lambda entry, share: None,
) -> None:
    """Train all `entries` to the end of their budgets, in turns of one `points`-th each.

    They take turns so that a machine that drifts is fair to all; `advanced` is called after each turn.
    """
    for point in range(points + 1):
        for entry in entries:
            entry.advance(point / points)
            advanced(entry, point / points)
