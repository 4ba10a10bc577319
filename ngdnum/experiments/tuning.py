"""Grid search on validation examples, by successive halving (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

from collections.abc import Callable

from ..data import Problem
from ..results import Settings, finite
from .training import Budget, Method, Run

RUNGS = (0.25, 0.5, 1.0)
TURNS = 10  # of every setting on each rung


class Diverged(RuntimeError):
    """No setting of a grid has led to a finite error."""


def tune(
    problem: Problem,
    method: Method,
    budget: Budget,
    seed: int,
    advanced: Callable[[float], None] = lambda share: None,
) -> tuple[Settings, list[dict[str, object]]]:
    """The settings of `method.grid` with the least validation error after this budget, and all trials.

    All settings train for a quarter of the budget, the better half of them up to half of it, the better half
    of those to its end.  They take turns, so that a drifting machine is fair to all.  The test examples are
    never looked at.

    Parameters
    ----------
    advanced : called with each share of the budget as it is spent, for a progress bar.

    Returns
    -------
    The winner, and for each setting its validation error (None: diverged) after the share it was trained for.

    Raises
    ------
    Diverged : every setting did.
    """
    runs = [Run(problem, method, settings, seed) for settings in method.grid]
    trials: list[dict[str, object]] = [{} for _ in runs]
    alive, before = list(range(len(runs))), 0.0
    for share in RUNGS:
        for turn in range(1, TURNS + 1):
            for i in alive:
                runs[i].advance(budget, before + (share - before) * turn / TURNS)
                advanced((share - before) / TURNS)
        errors = {i: runs[i].error(problem.validation) for i in alive}
        for i, error in errors.items():
            trials[i] = {"settings": method.grid[i], "validation_error": finite(error), "share": share}
        alive, before = sorted(alive, key=errors.__getitem__)[: max(1, (len(alive) + 1) // 2)], share
    winner = alive[0]
    if trials[winner]["validation_error"] is None:
        raise Diverged(
            f"{method.name} diverged with each of the {len(method.grid)} settings of its grid: check the data"
            f" ({problem.source['kind']}), or give the method a wider grid"
        )
    return method.grid[winner], trials


def tuning_cost(candidates: int) -> float:
    """Budgets that `tune` spends on a grid of this size.

    Examples
    --------
    >>> tuning_cost(8)
    4.0
    """
    cost, before = 0.0, 0.0
    for share in RUNGS:
        cost, before = cost + candidates * (share - before), share
        candidates = max(1, (candidates + 1) // 2)
    return cost
