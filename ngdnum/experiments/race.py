"""Training runs in turns, or at the same time: what search, experiments and the benchmark have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .entry import Entry
from .stacked import advance_stacked
from .workers import trained_apart


class Race:
    """Entries that train up to each of `shares` of their budgets in turns, so that a drifting machine is fair to all.

    `turn` counts the shares that all have reached. With other `jobs` than one, so many entries train at a time instead,
    each to the last share (see `ngdnum.experiments.workers`). Where nobody asks for their seconds, those that can be
    are `stacked` (see `ngdnum.experiments.stacked`).
    """

    def __init__(
        self, entries: Sequence[Entry], shares: Sequence[float], jobs: int | None = 1, stacked: bool = False
    ) -> None:
        self.entries, self.shares, self.jobs, self.stacked, self.turn = list(entries), list(shares), jobs, stacked, 0

    def proceed(self, advanced: Callable[[Entry, float], None], turned: Callable[[], None]) -> None:
        """Train to the last share.

        `advanced` is called for each entry and share, `turned` whenever the race may be stopped and its `state` kept.
        """
        if self.jobs == 1:
            self._take_turns(advanced, turned)
            return
        shares = self.shares[self.turn :]
        for entry in trained_apart(self.entries, shares, self.jobs, self.stacked):
            for share in shares:
                advanced(entry, share)
            turned()
        self.turn = len(self.shares)

    def _take_turns(self, advanced: Callable[[Entry, float], None], turned: Callable[[], None]) -> None:
        for share in self.shares[self.turn :]:
            if self.stacked:
                advance_stacked(self.entries, share)
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
