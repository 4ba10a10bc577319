"""The benchmark: all methods in turns, with their tuned settings, from fresh seeds, on test data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data import Problem
from ..results import Curve
from .entry import Entry
from .output import Output, open_output
from .progress import Bar, progress_bars
from .race import Race
from .report import Outcome, Report
from .task import Benchmark, conditions
from .training import Run
from .tuned import Winners, check_current
from .tuning import check_budgets, environment
from .workers import check_jobs, tell

SEEDS = 5


def compare(
    task: Benchmark,
    tuned: Winners,
    *,
    seeds: int = SEEDS,
    data: Path | None = None,
    budgets: Sequence[float] | None = None,
    methods: list[str] | None = None,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    jobs: int | None = 1,
) -> Report:
    """Train every method once for each seed 0, 1, … and each budget, with the settings tuned for that budget.

    Parameters
    ----------
    tuned : the settings, from `ngdnum.experiments.tuned.winners`.
    seeds : how many.
    data : folder of IDX files; it must hold the data that the settings were tuned on.
    budgets, methods : only these; None takes all that were tuned.
    output : file that receives the complete report; until then, what there is lies beside it.
    resume : go on where an interrupted comparison with the same arguments has stopped.
    jobs : how many runs train at a time, as in `tune_task`; with other than one they take no turns, and their seconds
        are not those of an idle machine.

    Raises
    ------
    ValueError : unknown method, budget without tuned settings, other data, seeds that were tuned on.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` is the report so far.
    NotWritten : the output could not be written at the end; an OSError with the `result`.
    """
    amounts = check_budgets(budgets or tuned.budgets, task)
    if untuned := [amount for amount in amounts if amount not in tuned.budgets]:
        raise ValueError(
            f"there are no settings for a budget of {untuned[0]:g} {task.unit}, only for "
            f"{', '.join(f'{amount:g}' for amount in tuned.budgets)}: add --tune for others"
        )
    if seeds < 1 or set(range(seeds)) & set(tuned.seeds):
        raise ValueError(
            f"the number of seeds must be between 1 and {min(tuned.seeds)}, got {seeds}: seed "
            f"{min(tuned.seeds)} was used in tuning"
        )
    chosen = task.chosen(methods)
    check_jobs(jobs)
    check_current(tuned, chosen)
    labels = [task.label(amount) for amount in amounts]
    outcomes = [
        Outcome(
            m.name,
            {b: tuned.methods[m.name].settings[b] for b in labels},
            tuned.methods[m.name].trials,
            {b: [] for b in labels},
        )
        for m in chosen
    ]
    command = _command(task, seeds, data, budgets, methods)
    identity = {"command": command, "settings": str([outcome.settings for outcome in outcomes])}
    with conditions(task.precision), progress_bars(progress) as bars, open_output(output, identity, bars.say) as place:
        report = Report(
            task.name,
            task.title,
            command,
            task.measure,
            task.targets,
            labels,
            list(range(seeds)),
            tuned.source,
            environment(jobs),
            outcomes,
        )
        tell(jobs, bars.say)
        with place.receiving(report):
            state = place.state(resume)
            done: list[list[dict[str, Any]]] = state.get("seeds", [])
            running = state.get("race")
            for seed in range(seeds):
                if seed < len(done):
                    for curve, kept in zip(_curves(outcomes, labels), done[seed], strict=True):
                        curve.append(Curve(**kept))
                    continue
                problem = task.problem(seed, data)
                if problem.source != tuned.source:
                    raise ValueError(
                        f"the settings were tuned on other data ({tuned.source}) than these "
                        f"({problem.source}): give the --data they were tuned on, or add --tune, and --settings "
                        "FILE to keep both"
                    )
                race = Race(_entries(task, problem, seed, amounts, outcomes), task.shares(), jobs)
                if running:
                    race.load_state(running)
                    running = None
                rows = {
                    outcome.name: bars.add(f"seed {seed} {outcome.name}", total=len(amounts)) for outcome in outcomes
                }
                _proceed(race, rows, place, report, done)
                done.append([asdict(entry.curve) for entry in race.entries])
                place.keep(report, lambda: {"seeds": done, "race": None}, at_once=True)
    return report


def _proceed(race: Race, rows: dict[str, Bar], place: Output, report: Report, done: list[list[dict[str, Any]]]) -> None:
    """Let the race run to its end, with bars, and keep what there is."""

    def advanced(entry: Entry, share: float) -> None:
        bar = rows[entry.curve.method]
        bar.advance(1 / (len(race.shares) - 1) if share else 0.0)
        bar.note("diverged" if entry.run.diverged else f"error {entry.curve.test_error[-1]:.3g}")

    race.proceed(advanced, lambda: place.keep(report, lambda: {"seeds": done, "race": race.state()}))


def _curves(outcomes: list[Outcome], labels: list[str]) -> list[list[Curve]]:
    """Where the curves of each budget and method go, in the order of `_entries`."""
    return [outcome.curves[label] for label in labels for outcome in outcomes]


def _entries(
    task: Benchmark, problem: Problem, seed: int, amounts: list[float], outcomes: list[Outcome]
) -> list[Entry]:
    """One entry for each budget and method; their curves join the outcomes."""
    entries = []
    by_name = {method.name: method for method in task.methods}
    for amount in amounts:
        for outcome in outcomes:
            settings = outcome.settings[task.label(amount)]
            run = Run(problem, by_name[outcome.name], settings, seed)
            entries.append(Entry(run, task.budget(amount), task.scale(problem), Curve(outcome.name, settings)))
            outcome.curves[task.label(amount)].append(entries[-1].curve)
    return entries


def _command(
    task: Benchmark, seeds: int, data: Path | None, budgets: Sequence[float] | None, methods: list[str] | None
) -> str:
    command = f"python -m ngdnum bench {task.name.removesuffix('-digits')} --seeds {seeds}"
    command += "" if data is None else " --data DIR"
    command += "" if budgets is None else " --budget " + " ".join(f"{amount:g}" for amount in budgets)
    return command + ("" if methods is None else " --methods " + " ".join(methods))
