"""Search of every grid, by successive halving over budgets (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ..data import Problem
from ..experiments.experiment import Interrupted, progress_bars
from ..experiments.training import Method, Run
from ..experiments.tuning import Diverged
from ..results import Curve, Settings, finite, settings_text
from .methods import SCHEDULES
from .race import Entry, race
from .tasks import Task, conditions, environment, scale
from .tuned import Search, Tuned, load_tuned

TURNS = 20  # of every setting in each budget
SURVIVORS = 2  # of each schedule at least, however small half of them is


def blind(problem: Problem) -> Problem:
    """`problem` without its test examples: the validation examples take their place.

    Where the noise is known, its variance is the floor there.
    """
    return problem._replace(test=problem.validation, floor=problem.source.get("noise"))


def score(curve: Curve, amount: float, task: Task) -> float:
    """What is minimised: at most 1, the share of the budget until the goal was met; otherwise the log error.

    Examples
    --------
    >>> from ngdnum.bench import TASKS
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
    return first / amount


def halve(
    task: Task,
    method: Method,
    problems: Sequence[Problem],
    budgets: Sequence[float],
    advanced: Callable[[float], None] = lambda amount: None,
) -> tuple[dict[str, Settings], list[dict[str, object]]]:
    """The best settings of `method` for each budget, and every trial.

    The whole grid trains for the two smallest budgets, the better half of it for the next, and so on, each time anew
    from the start, so that schedules end with the budget. What is slow at first has a second chance, and halves are
    taken of each schedule by itself: a rate that falls to zero needs a larger budget to show what it is worth. A
    trial's score is its mean over `problems`, one for each tuning seed.

    Raises
    ------
    Diverged : every setting did.
    """
    alive, trials, winners = list(method.grid), [], {}
    for amount in budgets:
        entries = [
            [Entry(Run(problem, method, settings, seed), task.budget(amount), scale(problem),
                   Curve(method.name, settings)) for seed, problem in zip(task.tuning_seeds, problems)]
            for settings in alive
        ]
        everyone = [entry for of_setting in entries for entry in of_setting]
        race(everyone, TURNS, lambda entry, share: advanced(amount / TURNS if share else 0.0))
        scores = []
        for settings, of_setting in zip(alive, entries):
            curves = [entry.curve for entry in of_setting]
            scores.append(math.fsum(score(curve, amount, task) for curve in curves) / len(curves))
            trials.append({"budget": task.label(amount), "settings": settings, "score": finite(scores[-1]),
                           "validation_error": [None if c.diverged else c.test_error[-1] for c in curves]})
        order = sorted(range(len(alive)), key=scores.__getitem__)
        if math.isinf(scores[order[0]]):
            raise Diverged(f"{method.name} diverged within {task.label(amount)} with each of {len(alive)} "
                           "settings: check the data, or give the method a wider grid")
        winners[task.label(amount)] = alive[order[0]]
        if amount == budgets[0]:
            continue
        ranked = {schedule: [alive[i] for i in order if alive[i]["schedule"] == schedule] for schedule in SCHEDULES}
        alive = [settings for some in ranked.values() for settings in some[: _half(len(some))]]
    return winners, trials


def _half(count: int) -> int:
    """How many of `count` settings go on."""
    return max(SURVIVORS, math.ceil(count / 2))


def halving_cost(candidates: int, seeds: int, budgets: Sequence[float]) -> float:
    """Units of training that `halve` spends, with equally many candidates of each schedule.

    Examples
    --------
    >>> halving_cost(12, 1, (5.0, 10.0, 20.0, 40.0))
    460.0
    """
    cost, of_each = 0.0, candidates // len(SCHEDULES)
    for amount in budgets:
        cost += seeds * len(SCHEDULES) * of_each * amount
        if amount > budgets[0]:
            of_each = min(of_each, _half(of_each))
    return cost


def tune_task(
    task: Task,
    path: Path,
    *,
    data: Path | None = None,
    budgets: Sequence[float] | None = None,
    methods: list[str] | None = None,
    progress: bool = True,
) -> Tuned:
    """Search the grids of `methods` (None: all) on validation examples, and keep the result in `path`.

    Settings that the file holds for other methods stay, if they were found under the same conditions.

    Raises
    ------
    ValueError : unknown method, bad budgets, bad data, or settings found under other conditions would remain.
    Diverged : every setting of a grid did; the methods before it are kept.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` are the finished searches, also in `path`.
    """
    chosen, amounts = task.chosen(methods), check_budgets(budgets, task)
    command = f"python -m ngdnum bench {task.name} --tune" + ("" if data is None else " --data DIR")
    with conditions(task.precision), progress_bars(progress) as bars:
        problems = [blind(task.problem(seed, data)) for seed in task.tuning_seeds]
        tuned = Tuned(task.name, command, task.unit, amounts, list(task.tuning_seeds), problems[0].source)
        tuned.methods = _kept(tuned, path, some=methods is not None)
        try:
            for method in chosen:
                total = halving_cost(len(method.grid), len(problems), amounts)
                bar = bars.add_task(f"tuning {method.name}", total=total, note="")
                winners, trials = halve(task, method, problems, amounts, lambda part: bars.advance(bar, part))
                tuned.methods[method.name] = Search(list(method.grid), winners, trials, environment())
                tuned.save(path)
                bars.update(bar, note=settings_text(winners[task.label(amounts[-1])]))
        except KeyboardInterrupt:
            raise Interrupted(tuned) from None
    return tuned


def check_budgets(budgets: Sequence[float] | None, task: Task) -> list[float]:
    """The budgets in increasing order, None: those of the task.

    Raises
    ------
    ValueError : a budget that is not a positive number.
    """
    amounts = sorted({float(amount) for amount in (task.budgets if budgets is None else budgets)})
    if not all(0 < amount < math.inf for amount in amounts):
        raise ValueError(f"a budget is a positive number of {task.unit}, got {[*map(str, amounts)]}")
    return amounts


def _kept(tuned: Tuned, path: Path, some: bool) -> dict[str, Search]:
    """Searches in the file that may stay beside new ones; refused if `some` would stay that may not."""
    if not path.exists():
        return {}
    try:
        before = load_tuned(path)
    except ValueError:
        if some:
            raise
        return {}
    if before.alike(tuned):
        return before.methods
    if some:
        raise ValueError(f"{str(path)!r} was tuned with other budgets, seeds or data: tune all methods anew, "
                         "without --methods, or into another file, with --settings FILE")
    return {}
