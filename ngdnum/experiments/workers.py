"""Training runs in other processes: on cores of this machine, or on an engine of yours that joblib knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

import torch

from ..results import Curve
from .entry import Entry, TrialFailed
from .extra import check_installed
from .stacked import advance_stacked
from .task import conditions
from .training import Budget, Recipe, Run

NOTE = (
    "note: several settings train at a time. Whatever is counted in examples comes out the same; seconds are the "
    "processor time of each worker, and on busy cores they are longer: do not compare them with others"
)
NAMED = 8  # settings in a message at most
_one_at_a_time = Lock()  # of the threads of a worker: torch's threads, precision and seeds belong to the process


def check_jobs(jobs: int | None) -> None:
    """Raise an error if so many runs cannot train at a time.

    Raises
    ------
    ValueError : not a positive number, or None for the engine of `joblib.parallel_config`.
    ModuleNotFoundError : more than one, without joblib.
    """
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"the number of jobs is a positive number, got {jobs!r}")
    if jobs != 1:
        check_installed("joblib", "several jobs need joblib", "or leave out jobs")


def tell(jobs: int | None, say: Callable[[str], None]) -> None:
    """Say what several runs at a time mean for their seconds."""
    if jobs != 1:
        say(NOTE)


def trained_apart(
    entries: Sequence[Entry], shares: list[float], jobs: int | None, stacked: bool = False
) -> Iterator[Entry]:
    """Train each entry to the last of `shares` in a worker, and yield it when it is done.

    Problem, method and the state of the run travel to the worker, and the state comes back: the numbers are those of
    training here. Where a worker has several threads, they train one after the other.

    Raises
    ------
    TrialFailed : an entry could not be trained, or its worker has ended; others may have been yielded before.
    """
    from joblib import Parallel, delayed

    left = {i: entry for i, entry in enumerate(entries) if not entry.reached(shares[-1])}
    yield from (entry for i, entry in enumerate(entries) if i not in left)
    precision = torch.get_float32_matmul_precision()
    calls = [
        delayed(_train)(i, entry.run.recipe(), entry.budget, entry.scale, entry.state(), shares, precision, stacked)
        for i, entry in left.items()
    ]
    workers = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    try:
        for i, state in workers(calls):
            left[i].load_state(state)
            yield left.pop(i)
    except TrialFailed:
        raise
    except Exception as error:
        names = [entry.run.name() for entry in left.values()]
        more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
        what = " ".join(str(error).split())
        raise TrialFailed(
            f"a worker has failed ({type(error).__name__}: {what}); not trained yet: {'; '.join(names[:NAMED])}{more}"
        ) from error


def _train(
    i: int,
    recipe: Recipe,
    budget: Budget,
    scale: float,
    state: dict[str, Any],
    shares: list[float],
    precision: str,
    stacked: bool,
) -> tuple[int, dict[str, Any]]:
    with _one_at_a_time, conditions(precision):
        run = Run(*recipe)
        entry = Entry(run, budget, scale, Curve(run.method.name, run.settings))
        entry.load_state(state)
        for share in shares:
            if stacked:
                advance_stacked([entry], share)
            entry.advance(share)
        return i, entry.state()
