"""An experiment: tune each method on validation examples, then train all in turns and record test errors."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..data import Problem
from ..results import Curve, Result, environment, settings_text
from .training import Budget, Method, Run
from .tuning import tune, tuning_cost

POINTS = 100  # test errors per curve, evenly spread over the budget
SAVE_EVERY = 2.0  # seconds between saves of an unfinished result


class Savable(Protocol):
    """A result that can be printed, and written to a file as a whole."""

    def to_json(self) -> str: ...

    def save(self, path: str | os.PathLike[str]) -> None: ...


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an experiment; `result` is what there was by then, marked incomplete."""

    def __init__(self, result: Savable) -> None:
        super().__init__("interrupted")
        self.result = result


@dataclass(frozen=True)
class Experiment:
    """A problem as a function of seed and data folder, the methods to compare, and the budget of each.

    `tuning_share` is the share of that budget for which tuning trains the best settings of a grid.
    """

    name: str
    title: str
    problem: Callable[[int, Path | None], Problem]
    methods: tuple[Method, ...]
    budget: Budget
    tuning_share: float = 1.0


def run_experiment(
    experiment: Experiment,
    *,
    seed: int = 0,
    data: str | Path | None = None,
    budget: float | None = None,
    progress: bool = True,
    output: str | Path | None = None,
) -> Result:
    """Tune and train every method of `experiment` with one thread, as `ngdnum.experiments.run` explains."""
    if budget is not None and not budget > 0:
        raise ValueError(f"the budget is a positive number of seconds, got {budget}")
    limit = experiment.budget if budget is None else replace(experiment.budget, seconds=float(budget))
    command = f"python -m ngdnum run {experiment.name} --seed {seed}"
    command += "" if data is None else " --data DIR"
    command += "" if budget is None else f" --budget {budget:g}"
    result = Result(experiment.name, experiment.title, seed, command,
                    {**asdict(limit), "tuning_share": experiment.tuning_share})
    save = Saver(result, output)
    with one_thread(), progress_bars(progress) as bars:
        result.environment = environment()
        save.now()
        try:
            problem = experiment.problem(seed, None if data is None else Path(data))
            result.source, result.floor = problem.source, problem.floor
            runs = _tuned_runs(experiment, problem, limit, seed, result, bars)
            _train_in_turns(runs, limit, result, bars, save)
            result.complete = True
        except KeyboardInterrupt:
            for curve in result.curves:
                curve.trim()
            raise Interrupted(result) from None
        finally:
            save.now()
    return result


def _tuned_runs(
    experiment: Experiment, problem: Problem, budget: Budget, seed: int, result: Result, bars: Progress
) -> list[Run]:
    runs = []
    for method in experiment.methods:
        bar = bars.add_task(f"tuning {method.name}", total=tuning_cost(len(method.grid)), note="")
        horizon = budget.part(experiment.tuning_share)
        settings, trials = tune(problem, method, horizon, seed, lambda share: bars.advance(bar, share))
        bars.update(bar, note=settings_text(settings))
        result.curves.append(Curve(method.name, settings, tuning=trials))
        runs.append(Run(problem, method, settings, seed))
    return runs


def _train_in_turns(runs: list[Run], budget: Budget, result: Result, bars: Progress, save: Saver) -> None:
    tasks = [bars.add_task(f"training {run.method.name}", total=1.0, note="") for run in runs]
    for point in range(POINTS + 1):
        share = point / POINTS
        for run, curve, task in zip(runs, result.curves, tasks):
            before = run.samples
            run.advance(budget, share)
            if point == 0 or run.samples > before:
                run.record(curve)
            error = "diverged" if run.diverged else f"test error {curve.test_error[-1]:.3g}"
            bars.update(task, completed=share, note=error)
            save.sometimes()


class Saver:
    """Writes a result to its file, if it has one; `sometimes` at most every few seconds."""

    def __init__(self, result: Savable, output: str | Path | None) -> None:
        self.result, self.output, self.last = result, output, 0.0

    def now(self) -> None:
        if self.output is not None:
            self.result.save(self.output)
            self.last = time.monotonic()

    def sometimes(self) -> None:
        if time.monotonic() - self.last > SAVE_EVERY:
            self.now()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Matrices this small lose time on a second thread, and one thread makes seconds comparable."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def progress_bars(shown: bool) -> Progress:
    """Bars with a note, on standard error."""
    return Progress(
        TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
        console=Console(stderr=True), disable=not shown,
    )
