"""Training runs in turns: what search, experiments and the benchmark have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..results import Curve
from .training import Budget, Run


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

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, by `load_state`."""
        return {"run": self.run.state(), "curve": asdict(self.curve)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where an entry with the same run has stopped; the curve object stays the same."""
        self.run.load_state(state["run"])
        for name, value in state["curve"].items():
            setattr(self.curve, name, value)


class Race:
    """Entries that train up to each of `shares` of their budgets in turns, so that a drifting machine is fair to all.

    `turn` counts the shares that all have reached.
    """

    def __init__(self, entries: Sequence[Entry], shares: Sequence[float]) -> None:
        self.entries, self.shares, self.turn = list(entries), list(shares), 0

    def proceed(self, advanced: Callable[[Entry, float], None], turned: Callable[[], None]) -> None:
        """Train to the last share; `advanced` is called for each entry and share, `turned` after each turn."""
        for share in self.shares[self.turn :]:
            for entry in self.entries:
                entry.advance(share)
                advanced(entry, share)
            self.turn += 1
            turned()

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from the end of a turn, by `load_state`."""
        return {"turn": self.turn, "entries": [entry.state() for entry in self.entries]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where a race of the same entries has stopped."""
        for entry, of_entry in zip(self.entries, state["entries"], strict=True):
            entry.load_state(of_entry)
        self.turn = state["turn"]
