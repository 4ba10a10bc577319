"""A figure of the paper: tune each method on validation examples, then train all in turns and record test errors."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data import Problem
from ..results import Curve, Result, Settings, environment, finite, settings_text
from .entry import Entry
from .output import open_output
from .progress import Bars, progress_bars
from .race import Race
from .search import Rung, Search, Trial, better_half
from .task import Experiment, conditions
from .training import Budget, Run
from .tuned import digest
from .workers import check_jobs, tell

RUNGS = (0.25, 0.5, 1.0)  # shares of the tuning budget
TURNS = 10  # of every setting on each rung
SEEDS = 2**63  # seeds are below


def run_experiment(
    experiment: Experiment,
    *,
    seed: int = 0,
    data: str | Path | None = None,
    budget: float | None = None,
    samples: int | None = None,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    jobs: int | None = 1,
) -> Result:
    """Tune and train every method of `experiment` with one thread, as `ngdnum.experiments.run` explains."""
    limit = _limit(experiment.budget, budget, samples)
    check_jobs(jobs)
    if not 0 <= seed < SEEDS:
        raise ValueError(f"a seed is a whole number from 0 to 2⁶³ − 1, got {seed}")
    command = f"python -m ngdnum run {experiment.name} --seed {seed}"
    command += "" if experiment.settings == "paper" else f" --settings {experiment.settings}"
    command += "" if data is None else " --data DIR"
    command += "" if budget is None else f" --budget {budget:g}"
    command += "" if samples is None else f" --samples {samples}"
    result = Result(
        experiment.name, experiment.title, seed, command, {**asdict(limit), "tuning_share": experiment.tuning_share}
    )
    identity = {"command": command, "settings": digest(m.grid for m in experiment.methods)}
    with (
        conditions(experiment.precision),
        progress_bars(progress) as bars,
        open_output(output, identity, bars.say) as place,
    ):
        result.environment = environment() | {"jobs": jobs}
        tell(jobs, bars.say)
        with place.receiving(result):
            problem = experiment.problem(seed, None if data is None else Path(data))
            result.source, result.floor = problem.source, problem.floor
            state = place.state(resume)
            if state and state["source"] != problem.source:
                raise ValueError("the run to resume was made with other data: give the same --data")
            study = _Study(experiment, problem, limit, seed, result, jobs)
            study.load_state(state)
            study.proceed(bars, lambda: place.keep(result, study.state))
    return result


def search(
    experiment: Experiment, problem: Problem, name: str, budget: Budget, seed: int, jobs: int | None = 1
) -> Search:
    """Search the grid of the method called `name`.

    All settings train for a quarter of the budget, the better half of them up to half of it, the better half
    of those to its end.
    """
    method = next(method for method in experiment.methods if method.name == name)
    rungs = [
        Rung(
            f"{end:g} of the tuning",
            budget,
            tuple(start + (end - start) * turn / TURNS for turn in range(1, TURNS + 1)),
        )
        for start, end in zip((0.0, *RUNGS), RUNGS)
    ]
    return Search(method, {seed: problem}, rungs, lambda problem: 1.0, _last_error, better_half, jobs)


def stored_trials(trials: list[Trial], grid: tuple[Settings, ...]) -> list[dict[str, object]]:
    """For each setting its validation error (None: diverged) after the share of the budget it was trained for."""
    last = {str(trial.settings): trial for trial in trials}
    return [
        {
            "settings": settings,
            "validation_error": finite(last[str(settings)].score),
            "share": float(last[str(settings)].rung.partition(" ")[0]),
        }
        for settings in grid
    ]


def _last_error(curve: Curve, rung: Rung) -> float:
    return math.inf if curve.diverged else curve.test_error[-1]


def _limit(budget: Budget, seconds: float | None, samples: int | None) -> Budget:
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"the budget is a positive number of seconds, got {seconds}")
    if samples is not None and samples < 1:
        raise ValueError(f"the number of samples must be positive, got {samples}")
    return Budget(budget.samples if samples is None else samples, budget.seconds if seconds is None else float(seconds))


class _Study:
    """The searches of all methods one after the other, then the race of their winners."""

    def __init__(
        self, experiment: Experiment, problem: Problem, budget: Budget, seed: int, result: Result, jobs: int | None
    ) -> None:
        self.experiment, self.problem, self.budget, self.seed, self.result = experiment, problem, budget, seed, result
        self.jobs = jobs
        self.search: Search | None = None
        self.race: Race | None = None

    def proceed(self, bars: Bars, turned: Callable[[], None]) -> None:
        for method in self.experiment.methods[len(self.result.curves) :]:
            if len(method.grid) == 1:
                self.result.curves.append(Curve(method.name, method.grid[0]))
                continue
            bar = bars.add(f"tuning {method.name}")
            search = self.search or self._search(method.name)
            self.search = search
            settings = search.proceed(bar.advance, turned)
            bar.note(settings_text(settings))
            self.result.curves.append(Curve(method.name, settings, tuning=stored_trials(search.trials, method.grid)))
            self.search = None
        self.race = self.race or self._race()
        rows = {method.name: bars.add(f"training {method.name}") for method in self.experiment.methods}

        def advanced(entry: Entry, share: float) -> None:
            bar = rows[entry.curve.method]
            bar.advance(1 / self.experiment.points if share else 0.0)
            bar.note("diverged" if entry.run.diverged else f"test error {entry.curve.test_error[-1]:.3g}")

        self.race.proceed(advanced, turned)

    def _search(self, name: str) -> Search:
        method = next(method for method in self.experiment.methods if method.name == name)
        horizon = self.budget.part(self.experiment.tuning_share * method.share)
        return search(self.experiment, self.problem, name, horizon, self.seed, self.jobs)

    def _race(self) -> Race:
        pairs = zip(self.experiment.methods, self.result.curves)
        entries = [
            Entry(Run(self.problem, method, curve.settings, self.seed), self.budget.part(method.share), 1.0, curve)
            for method, curve in pairs
        ]
        return Race(entries, self.experiment.shares())

    def state(self) -> dict[str, Any]:
        return {
            "source": self.problem.source,
            "curves": [asdict(curve) for curve in self.result.curves],
            "search": self.search and self.search.state(),
            "race": self.race and self.race.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        if not state:
            return
        self.result.curves += [Curve(**curve) for curve in state["curves"]]
        if state["search"]:
            self.search = self._search(self.experiment.methods[len(self.result.curves)].name)
            self.search.load_state(state["search"])
        if state["race"]:
            self.race = self._race()
            self.race.load_state(state["race"])
