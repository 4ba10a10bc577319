"""The benchmark: all methods in turns, with their tuned settings, from fresh seeds, on test data."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ..data import Problem
from ..experiments.experiment import Interrupted, Saver, progress_bars
from ..experiments.training import Run
from ..results import Curve
from .race import Entry, race
from .report import Outcome, Report
from .tasks import Task, conditions, environment, scale
from .tuned import Tuned, check_current
from .tuning import check_budgets

SEEDS = 5


def compare(
    task: Task,
    tuned: Tuned,
    *,
    seeds: int = SEEDS,
    data: Path | None = None,
    budgets: Sequence[float] | None = None,
    methods: list[str] | None = None,
    progress: bool = True,
    output: Path | None = None,
) -> Report:
    """Train every method once for each seed 0, 1, … and each budget, with the settings tuned for that budget.

    Parameters
    ----------
    tuned : the settings, as `tune_task` has found them.
    seeds : how many.
    data : folder of IDX files; it must hold the data that the settings were tuned on.
    budgets, methods : only these; None takes all that were tuned.
    output : file that receives the report, written atomically now and then.

    Raises
    ------
    ValueError : unknown method, budget without tuned settings, other data, seeds that were tuned on.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` is the report so far.
    """
    amounts = check_budgets(budgets or tuned.budgets, task)
    if untuned := [amount for amount in amounts if amount not in tuned.budgets]:
        raise ValueError(f"there are no settings for a budget of {untuned[0]:g} {task.unit}, only for "
                         f"{', '.join(f'{amount:g}' for amount in tuned.budgets)}: add --tune for others")
    if seeds < 1 or set(range(seeds)) & set(tuned.seeds):
        raise ValueError(f"the number of seeds must be between 1 and {min(tuned.seeds)}, got {seeds}: seed "
                         f"{min(tuned.seeds)} was used in tuning")
    chosen = task.chosen(methods)
    check_current(tuned, chosen)
    labels = [task.label(amount) for amount in amounts]
    outcomes = [Outcome(m.name, {b: tuned.methods[m.name].winners[b] for b in labels},
                        tuned.methods[m.name].trials, {b: [] for b in labels}) for m in chosen]
    with conditions(task.precision), progress_bars(progress) as bars:
        report = Report(task.name, task.title, _command(task, seeds, data, budgets, methods), task.measure,
                        task.targets, labels, list(range(seeds)), tuned.source, environment(), outcomes)
        save = Saver(report, output)
        with _partial(report, save):
            for seed in range(seeds):
                problem = task.problem(seed, data)
                if problem.source != tuned.source:
                    raise ValueError(f"the settings were tuned on other data ({tuned.source}) than these "
                                     f"({problem.source}): add --tune, and --settings FILE to keep both")
                entries = _entries(task, problem, seed, amounts, outcomes)
                rows = {o.name: bars.add_task(f"seed {seed} {o.name}", total=len(amounts), note="")
                        for o in outcomes}

                def advanced(entry: Entry, share: float) -> None:
                    if share:
                        bars.advance(rows[entry.curve.method], 1 / task.points)
                    error = "diverged" if entry.run.diverged else f"error {entry.curve.test_error[-1]:.3g}"
                    bars.update(rows[entry.curve.method], note=error)
                    save.sometimes()

                race(entries, task.points, advanced)
            report.complete = True
    return report


def _entries(
    task: Task, problem: Problem, seed: int, amounts: list[float], outcomes: list[Outcome]
) -> list[Entry]:
    """One entry for each method and budget; their curves join the outcomes."""
    entries = []
    by_name = {method.name: method for method in task.methods}
    for amount in amounts:
        for outcome in outcomes:
            settings = outcome.settings[task.label(amount)]
            run = Run(problem, by_name[outcome.name], settings, seed)
            entries.append(Entry(run, task.budget(amount), scale(problem), Curve(outcome.name, settings)))
            outcome.curves[task.label(amount)].append(entries[-1].curve)
    return entries


@contextlib.contextmanager
def _partial(report: Report, save: Saver):
    """Keep what there is when the body ends, however it ends."""
    save.now()
    try:
        yield
    except KeyboardInterrupt:
        for outcome in report.outcomes:
            for curve in (curve for curves in outcome.curves.values() for curve in curves):
                curve.trim()
        raise Interrupted(report) from None
    finally:
        save.now()


def _command(
    task: Task, seeds: int, data: Path | None, budgets: Sequence[float] | None, methods: list[str] | None
) -> str:
    command = f"python -m ngdnum bench {task.name.removesuffix('-digits')} --seeds {seeds}"
    command += "" if data is None else " --data DIR"
    command += "" if budgets is None else " --budget " + " ".join(f"{amount:g}" for amount in budgets)
    return command + ("" if methods is None else " --methods " + " ".join(methods))
