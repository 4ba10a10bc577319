"""What a benchmark has measured: one object for machines, one table for people."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from ..results import Curve, Settings, Stored, compact_json, median

if TYPE_CHECKING:
    from rich.table import Table

ON_THE_WAY = {"1/4": 0.25, "1/2": 0.5}  # of a budget


@dataclass
class Outcome:
    """One method: its settings for each budget (from the smallest up), how many trials found them, and its curves.

    `curves[budget]` has one curve for each seed, of errors in the measure of the task.
    """

    name: str
    settings: dict[str, Settings]
    trials: int
    curves: dict[str, list[Curve]] = field(default_factory=dict)

    def first(self, target: float, axis: str) -> list[int | float | None]:
        """For each seed, samples or seconds to `target`, in the shortest budget that gets there; or None."""
        costs = [[getattr(c, f"{axis}_to")(target) for c in curves] for curves in self.curves.values()]
        return [next((cost for cost in of_seed if cost is not None), None) for of_seed in zip(*costs)]

    def final(self) -> dict[str, list[float | None]]:
        """The error at the end of each budget, by seed; None where the method has diverged."""
        return {
            budget: [None if c.diverged or not c.test_error else c.test_error[-1] for c in curves]
            for budget, curves in self.curves.items()
        }

    def accuracies(self) -> dict[str, list[float | None]]:
        """The accuracy at the end of each budget, by seed; None where there is none."""
        return {
            budget: [None if c.diverged or not c.accuracy else c.accuracy[-1] for c in curves]
            for budget, curves in self.curves.items()
        }

    def on_the_way(self) -> dict[str, list[float | None]]:
        """The errors after parts of the time of the longest budget, by seed; None where the method has diverged."""
        curves = list(self.curves.values())[-1] if self.curves else []
        return {name: [_after(c, share) for c in curves] for name, share in ON_THE_WAY.items()}

    def diverged(self) -> dict[str, int]:
        """In how many runs of each budget it diverged."""
        return {budget: sum(curve.diverged for curve in curves) for budget, curves in self.curves.items()}

    def step_ms(self) -> float | None:
        """Milliseconds of a training step, median over the runs of the longest budget."""
        trained = [c for c in list(self.curves.values())[-1] if len(c.samples) > 1] if self.curves else []
        times = [1e3 * c.seconds[-1] * float(c.settings["batch_size"]) / c.samples[-1] for c in trained]
        return statistics.median(times) if times else None

    def resolution(self) -> dict[str, dict[str, float]]:
        """The largest distance between two recorded errors in each budget: how far a crossing may be off."""
        return {
            budget: {
                axis: max((_largest_gap(getattr(c, axis)) for c in curves), default=0)
                for axis in ("samples", "seconds")
            }
            for budget, curves in self.curves.items()
        }


@dataclass
class Report(Stored):
    """A benchmark: task, targets by name, seeds, conditions, and the outcome of each method."""

    task: str
    title: str
    command: str
    measure: str
    targets: dict[str, float]
    budgets: list[str]
    seeds: list[int]
    source: dict[str, object]
    environment: dict[str, object]
    outcomes: list[Outcome] = field(default_factory=list)
    complete: bool = False

    def to_json(self) -> str:
        """One JSON object; the lists in it have one entry for each seed, null: not reached."""
        methods = [
            {
                "name": o.name,
                "settings": o.settings,
                "trials": o.trials,
                "step_ms": o.step_ms(),
                "samples_to": {name: o.first(target, "samples") for name, target in self.targets.items()},
                "seconds_to": {name: o.first(target, "seconds") for name, target in self.targets.items()},
                "error_at": o.final(),
                **({"accuracy_at": o.accuracies()} if self.classifies() else {}),
                "error_on_the_way": o.on_the_way(),
                "diverged": o.diverged(),
                "resolution": o.resolution(),
            }
            for o in self.outcomes
        ]
        content = {
            "task": self.task,
            "targets": list(self.targets),
            "methods": methods,
            "environment": self.environment,
            "title": self.title,
            "command": self.command,
            "measure": self.measure,
            "budgets": self.budgets,
            "seeds": self.seeds,
            "source": self.source,
            "complete": self.complete,
        }
        return compact_json(content)

    def classifies(self) -> bool:
        """Whether there are right answers."""
        return any(c.accuracy for o in self.outcomes for curves in o.curves.values() for c in curves)

    def trim(self) -> None:
        for outcome in self.outcomes:
            for curve in (curve for curves in outcome.curves.values() for curve in curves):
                curve.trim()

    def table(self) -> Table:
        """Medians over the seeds; a target that less than half of the runs reached has none (–)."""
        from rich.table import Table

        table = Table(title=f"{self.title}: {self.measure}", caption=self._caption())
        table.add_column("method")
        for target in self.targets:
            table.add_column(f"samples / seconds to {target}", justify="right")
        for budget in self.budgets:
            table.add_column(f"error at {budget}", justify="right")
        classified = self.budgets if self.classifies() else []
        for heading in (*(f"accuracy at {budget}" for budget in classified), "ms/step", "diverged"):
            table.add_column(heading, justify="right")
        for o in self.outcomes:
            costs = [
                " / ".join(
                    _text(o.first(target, axis), form) for axis, form in (("samples", ",.0f"), ("seconds", ".2f"))
                )
                for target in self.targets.values()
            ]
            errors = [_text(errors, ".4g") for errors in o.final().values()]
            diverged = str(sum(o.diverged().values()))
            errors += [_text(o.accuracies()[budget], ".4g") for budget in classified]
            table.add_row(o.name, *costs, *errors, _text([o.step_ms()], ".3g"), diverged)
        return table

    def _caption(self) -> str:
        state = "" if self.complete else "interrupted: partial result; "
        return f"{state}medians of {len(self.seeds)} seeds, on test data"


def _after(curve: Curve, share: float) -> float | None:
    """The first error recorded after this share of the curve's time."""
    if curve.diverged or not curve.test_error:
        return None
    return next(e for s, e in zip(curve.seconds, curve.test_error) if s >= share * curve.seconds[-1])


def _largest_gap(values: list[float]) -> float:
    return max((after - before for before, after in pairwise(values)), default=0)


def _text(values: list[float | None], form: str) -> str:
    value = median(values)
    return format(value, form) if math.isfinite(value) else "–"
