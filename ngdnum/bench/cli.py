"""`python -m ngdnum bench TASK`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..command import Job
from .compare import SEEDS, compare
from .report import Report
from .step import StepTimes, time_steps
from .tasks import TASKS, Task, find_task
from .tuned import Tuned, default_path, load_tuned
from .tuning import tune_task


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command `bench` to those of `python -m ngdnum`."""
    titles = "; ".join(f"{t.name}: {t.title}" for t in TASKS.values() if t.name != "fig1d-digits")
    command = commands.add_parser(
        "bench", help="compare natural gradient descent with other optimizers",
        description="Train all methods of a task in turns, with settings tuned on validation data, from "
                    "fresh seeds, and tell how many samples and seconds each needs to reach the targets on "
                    "test data.",
    )
    command.add_argument("task", metavar="TASK", help=f"{titles}; step: milliseconds of a training step")
    command.add_argument("--tune", action="store_true",
                         help="search the grids and keep the best settings, instead of comparing")
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.add_argument("--seeds", type=int, metavar="N", help=f"runs of each method (default {SEEDS})")
    command.add_argument("--data", type=Path, metavar="DIR",
                         help="folder of IDX files for fig1d (Fashion-MNIST); default: the bundled digits")
    command.add_argument("--methods", nargs="+", metavar="NAME", help="only these methods")
    command.add_argument("--budget", nargs="+", type=float, metavar="X",
                         help="only these budgets, in samples (fig1a, fig1b, fig1c) or seconds (fig1d)")
    command.add_argument("--settings", type=Path, metavar="FILE",
                         help="file of the tuned settings (default: the one of the package)")
    command.add_argument("--output", type=Path, metavar="FILE",
                         help="file for the result (default results/bench-TASK.json)")
    command.set_defaults(job=_job)


def _job(args: argparse.Namespace) -> Job:
    output = args.output or Path("results") / f"bench-{args.task}.json"
    if args.task == "step":
        return Job(lambda: _steps(args, output), output)
    task = find_task(args.task, args.data)
    settings = args.settings or default_path(task)
    if args.tune:
        return Job(lambda: _tune(args, task, settings), settings, partial="the methods tuned so far are")
    return Job(lambda: _compare(args, task, settings, output), output)


def _steps(args: argparse.Namespace, output: Path) -> StepTimes:
    given = [name for name in ("tune", "seeds", "data", "budget", "settings") if getattr(args, name)]
    if given:
        raise ValueError(f"step times untuned steps on random data; leave out --{' --'.join(given)}")
    return time_steps(methods=args.methods, output=output)


def _tune(args: argparse.Namespace, task: Task, settings: Path) -> Tuned:
    if args.seeds is not None:
        own = ", ".join(map(str, task.tuning_seeds))
        raise ValueError(f"tuning has seeds of its own, {own}; leave out --seeds")
    return tune_task(task, settings, data=args.data, budgets=args.budget, methods=args.methods)


def _compare(args: argparse.Namespace, task: Task, settings: Path, output: Path) -> Report:
    return compare(task, load_tuned(settings), seeds=SEEDS if args.seeds is None else args.seeds,
                   data=args.data, budgets=args.budget, methods=args.methods, output=output)
