"""A training run within its budget, and the curve it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..results import Curve
from .training import Budget, Run


class TrialFailed(RuntimeError):
    """A method with some settings could not be trained; the message names it, and what went wrong."""


@dataclass
class Entry:
    """A run, how long it may train, and the curve of its errors on the problem's test set, times `scale`."""

    run: Run
    budget: Budget
    scale: float
    curve: Curve

    def advance(self, share: float) -> None:
        """Train until `share` of the budget is spent, and record the error at the start and after any training.

        Raises
        ------
        TrialFailed : something went wrong, other than that the run diverged.
        """
        if self.curve.diverged:
            return
        try:
            self.run.advance(self.budget, share)
            if not self.curve.samples or self.run.samples > self.curve.samples[-1]:
                self.run.record(self.curve, self.scale)
        except Exception as error:
            raise TrialFailed(f"{self.run.name()}: {type(error).__name__}: {error}") from error

    def reached(self, share: float) -> bool:
        """Whether nothing is left to do up to `share` of the budget."""
        return self.run.diverged or bool(self.curve.samples) and self.budget.spent(self.run) >= share

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, by `load_state`."""
        return {"run": self.run.state(), "curve": asdict(self.curve)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where an entry with the same run has stopped; the curve object stays the same."""
        self.run.load_state(state["run"])
        for name, value in state["curve"].items():
            setattr(self.curve, name, value)
