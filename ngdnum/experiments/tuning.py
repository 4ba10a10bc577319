"""Settings for the benchmark: search of every grid, by successive halving over budgets."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .. import results
from ..data import Problem
from ..results import Curve, settings_text
from . import search as halving
from .method import Method
from .muon import arithmetic
from .output import Output, open_output
from .progress import Bar, progress_bars
from .search import Rung, as_json, best_two, better_half_of_schedules
from .task import Benchmark, conditions
from .tuned import Search, Tuned, digest, load_tuned
from .workers import check_jobs, tell

TURNS = 20  # of every setting in each budget, fewer if the task records fewer points
FEW_TURNS = 4  # where only the error at the end of several short rungs counts


def environment(jobs: int | None = 1) -> dict[str, object]:
    """What a reader needs to judge seconds: versions, processor, precision, arithmetic of Muon, runs at a time, load.

    `load` is the mean number of programs that have wanted a core in the last five minutes, None where nobody counts.
    """
    return {
        **results.environment(),
        "jobs": jobs,
        "load": round(os.getloadavg()[1], 1) if hasattr(os, "getloadavg") else None,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "muon_arithmetic": str(arithmetic(torch.device("cpu"))).removeprefix("torch."),
    }


def score(curve: Curve, amount: float, task: Benchmark) -> float:
    """What is minimised: at most 1, the share of the budget until the goal was met; otherwise the log error.

    Examples
    --------
    >>> from ngdnum.experiments import TASKS
    >>> curve = Curve("SGD", {}, [0, 20, 40], [0.0, 0.1, 0.2], [1e3, 1.2, 1.1])
    >>> score(curve, 40, TASKS["fig1a"])
    0.5
    """
    if curve.diverged:
        return math.inf
    goal, end = task.goal, curve.test_error[-1]
    if goal is None:
        return math.log(end)
    if end > goal:
        return 1 + math.log(end / goal)
    first = curve.samples_to(goal) if task.unit == "samples" else curve.seconds_to(goal)
    assert first is not None
    return first / amount


def task_search(
    task: Benchmark, method: Method, problems: dict[int, Problem], budgets: Sequence[float], jobs: int | None = 1
) -> halving.Search:
    """Search the grid of `method` for the best settings in each budget.

    Of each budget, there is a rung for every one of the task's `tuning_shares`; what each ends with, the last decides.
    Of several shares, the whole grid trains for the first and the best two settings for each other one. Of one share,
    the whole grid trains for the two smallest budgets, the better half of each schedule for every larger one. Each time
    it is anew from the start, so that schedules end with the budget.
    """
    *early, last = task.tuning_shares
    turns = FEW_TURNS if early else min(TURNS, task.points)
    shares = tuple(turn / turns for turn in range(turns + 1))
    rungs, amounts = [], {}
    for amount in budgets:
        label = task.label(amount)
        for name, share in [*((f"{share:g} of {label}", share) for share in early), (label, last)]:
            rungs.append(Rung(name, task.budget(amount * share), shares))
            amounts[name] = amount
    return halving.Search(
        method,
        problems,
        rungs,
        task.scale,
        lambda curve, rung: score(curve, amounts[rung.name], task),
        best_two if early else better_half_of_schedules,
        jobs,
    )


def tune_task(
    task: Benchmark,
    path: str | os.PathLike[str] | None,
    *,
    data: Path | None = None,
    budgets: Sequence[float] | None = None,
    methods: list[str] | None = None,
    progress: bool = True,
    resume: bool = False,
    jobs: int | None = 1,
) -> Tuned:
    """Search the grids of `methods` (None: all) on validation examples, and keep all trials in the file `path`.

    Trials that the file holds of other methods stay, if they were made under the same conditions. `resume` goes on
    where an interrupted search has stopped. `jobs` settings train at a time, on the cores of this machine, or on the
    engine that `joblib.parallel_config` names around this call; None takes as many as that engine has room for.

    Raises
    ------
    ValueError : unknown method, bad budgets, bad data, or trials made under other conditions would remain.
    Diverged : every setting of a grid did; what was found before is in `FILE.part`.
    TrialFailed : a setting could not be trained, other than that it diverged; likewise.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` are the trials so far.
    """
    chosen, amounts = task.chosen(methods), check_budgets(budgets, task)
    check_jobs(jobs)
    command = f"python -m ngdnum bench {task.name} --tune" + ("" if data is None else " --data DIR")
    identity = {
        "command": command,
        "budgets": str(amounts),
        "methods": " ".join(m.name for m in chosen),
        "settings": digest(m.grid for m in chosen),
    }
    with conditions(task.precision), progress_bars(progress) as bars, open_output(path, identity, bars.say) as place:
        tell(jobs, bars.say)
        problems = {seed: task.problem(seed, data) for seed in task.tuning_seeds}
        source = next(iter(problems.values())).source
        tuned = Tuned(task.name, command, task.unit, amounts, list(task.tuning_seeds), source)
        tuned.methods = _kept(tuned, place, some=methods is not None)
        with place.receiving(tuned):
            state = place.state(resume)
            if state and state["source"] != source:
                raise ValueError("the search to resume was made with other data: give the same --data")
            done: dict[str, Any] = state.get("methods", {})
            tuned.methods |= {name: Search(**found) for name, found in done.items()}
            running = state.get("search")
            for method in chosen[len(done) :]:
                bar = bars.add(f"tuning {method.name}")
                search = task_search(task, method, problems, amounts, jobs)
                if running:
                    search.load_state(running)
                    running = None

                _proceed(search, bar, place, tuned, done)
                winners = {label: search.winners()[label] for label in map(task.label, amounts)}
                found = Search(digest([method.grid]), winners, [as_json(t) for t in search.trials], environment(jobs))
                tuned.methods[method.name] = found
                done[method.name] = asdict(found)
                place.keep(tuned, lambda: {"source": source, "methods": done, "search": None}, at_once=True)
                bar.note(settings_text(found.winners[task.label(amounts[-1])]))
    return tuned


def _proceed(search: halving.Search, bar: Bar, place: Output, tuned: Tuned, done: dict[str, Any]) -> None:
    """Search to the end, and keep what there is."""
    search.proceed(
        bar.advance,
        lambda: place.keep(tuned, lambda: {"source": tuned.source, "methods": done, "search": search.state()}),
    )


def check_budgets(budgets: Sequence[float] | None, task: Benchmark) -> list[float]:
    """The budgets in increasing order, None: those of the task.

    Raises
    ------
    ValueError : a budget that is not a positive number, or less than one sample.
    """
    amounts = sorted({float(amount) for amount in (task.budgets if budgets is None else budgets)})
    least = 1 if task.unit == "samples" else 0
    if not all(0 < amount < math.inf and amount >= least for amount in amounts):
        raise ValueError(f"a budget is a positive number of {task.unit}, got {[*map(str, amounts)]}")
    return amounts


def _kept(tuned: Tuned, place: Output, some: bool) -> dict[str, Search]:
    """Searches in the file that may stay beside new ones; refused if `some` would stay that may not."""
    if place.path is None or not place.path.exists():
        return {}
    try:
        before = load_tuned(place.path)
    except ValueError:
        if some:
            raise
        return {}
    if before.alike(tuned):
        return before.methods
    if some:
        raise ValueError(
            f"{str(place.path)!r} was tuned with other budgets, seeds or data: tune all methods anew, "
            "without --methods, or into another file, with --settings FILE"
        )
    return {}
