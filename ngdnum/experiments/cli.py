"""`python -m ngdnum run EXPERIMENT` and `python -m ngdnum bench TASK`: arguments, and what they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results import Result, settings_text
from . import EXPERIMENTS, SETTINGS, TASKS, run
from .ablation import ablate
from .blocks import compare_blocks
from .blow_up import count_blow_ups
from .command import Job
from .compare import SEEDS, compare
from .endurance import measure_endurance
from .feedback import compare_feedback
from .flow import follow_flows
from .inverses import compare_inverses
from .measurements import Measurements
from .ranks import joined
from .readings import compare_readings
from .report import Report
from .step import StepTimes, time_steps
from .task import Benchmark
from .tasks import find_task
from .tuned import Tuned, winners
from .tuning import tune_task

if TYPE_CHECKING:
    from rich.table import Table

MEASURED: dict[str, tuple[str, Callable[..., Measurements]]] = {
    "readings": ("the paper's text against its code", compare_readings),
    "blocks": ("the full Fisher matrix and its blocks", compare_blocks),
    "flow": ("continuous time against closed forms", follow_flows),
    "inverses": ("accuracy and cost of inverses, and what sampling does to them", compare_inverses),
    "feedback": ("errors sent back by other matrices than the transposes", compare_feedback),
    "ablation": ("the paper's algorithm with one part changed at a time", ablate),
    "endurance": ("memory over 100,000 steps of a small network", measure_endurance),
    "blow-up": ("random starts whose flow meets a singular map", count_blow_ups),
}
JOBS = "train so many settings at a time, with joblib; their seconds are then those of busy cores (default 1)"
RESUME = "go on where the interrupted command with these arguments has stopped"


def add_parsers(commands: Any) -> None:
    """Add the commands `run` and `bench`."""
    _add_run(commands)
    _add_bench(commands)


def _add_run(commands: Any) -> None:
    command = commands.add_parser(
        "run", help="run an experiment", description="Tune, train and compare the methods of an experiment."
    )
    command.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="; ".join(
            [f"{e.name}: {e.title}" for e in EXPERIMENTS.values()]
            + [f"{name}: {title}" for name, (title, _) in MEASURED.items()]
        ),
    )
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of data and weights (default 0)")
    command.add_argument(
        "--settings",
        choices=list(SETTINGS),
        default="paper",
        help="follow the paper's text (default) or the authors' public code, where they differ",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of IDX files (MNIST, Fashion-MNIST)")
    command.add_argument("--budget", type=float, metavar="SECONDS", help="training time of each method at most")
    command.add_argument("--samples", type=int, metavar="N", help="training examples of each method at most")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="file for the result (default results/EXPERIMENT-seedN.json)"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="in tuning, " + JOBS)
    command.add_argument("--resume", action="store_true", help=RESUME)
    command.set_defaults(job=_run)


def _add_bench(commands: Any) -> None:
    titles = "; ".join(f"{t.name}: {t.title}" for t in TASKS.values() if t.name != "fig1d-digits")
    command = commands.add_parser(
        "bench",
        help="compare natural gradient descent with other optimizers",
        description="Train all methods of a task in turns, with settings tuned on validation data, from "
        "fresh seeds, and tell how many samples and seconds each needs to reach the targets on "
        "test data.",
    )
    command.add_argument("task", metavar="TASK", help=f"{titles}; step: milliseconds of a training step")
    command.add_argument(
        "--tune", action="store_true", help="search the grids and keep all trials, instead of comparing"
    )
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.add_argument("--seeds", type=int, metavar="N", help=f"runs of each method (default {SEEDS})")
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of IDX files for fig1d and classifiers (Fashion-MNIST); default: the bundled digits",
    )
    command.add_argument("--methods", nargs="+", metavar="NAME", help="only these methods")
    command.add_argument(
        "--budget",
        nargs="+",
        type=float,
        metavar="X",
        help="only these budgets, in samples (fig1a, fig1b, fig1c) or seconds (all others)",
    )
    command.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="file of the trials that --tune makes (default results/trials-TASK.json), or whose "
        "winners take the place of the package's settings",
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="file for the result (default results/bench-TASK.json)"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="N", help=JOBS)
    command.add_argument("--resume", action="store_true", help=RESUME)
    command.set_defaults(job=_bench)


def _run(args: argparse.Namespace) -> Job:
    if args.experiment in MEASURED:
        return _measure(args)
    settings = "" if args.settings == "paper" else f"-{args.settings}"
    output = args.output or Path("results") / f"{args.experiment}{settings}-seed{args.seed}.json"

    def work() -> Result:
        with joined(args.resume, args.jobs) as first:
            return run(
                args.experiment,
                settings=args.settings,
                seed=args.seed,
                data=args.data,
                budget=args.budget,
                samples=args.samples,
                progress=first,
                output=output if first else None,
                resume=args.resume,
                jobs=args.jobs,
            )

    return Job(work, output, _summary)


def _without(args: argparse.Namespace, why: str, **defaults: object) -> None:
    """Refuse options that are given and have no meaning here."""
    given = [name for name, default in defaults.items() if vars(args)[name] != default]
    if given:
        raise ValueError(f"{why}; leave out --{' --'.join(given)}")


def _measure(args: argparse.Namespace) -> Job:
    _without(
        args,
        f"{args.experiment} has cases and seeds of its own",
        seed=0,
        data=None,
        budget=None,
        samples=None,
        settings="paper",
        jobs=1,
    )
    output = args.output or Path("results") / f"{args.experiment}.json"
    return Job(lambda: MEASURED[args.experiment][1](output=output, resume=args.resume), output)


def _bench(args: argparse.Namespace) -> Job:
    output = args.output or Path("results") / f"bench-{args.task}.json"
    if args.task == "step":
        return Job(lambda: _steps(args, output), output)
    task = find_task(args.task, args.data)
    if args.tune:
        trials = args.settings or Path("results") / f"trials-{task.name}.json"
        return Job(lambda: _tune(args, task, trials), trials)
    return Job(lambda: _compare(args, task, output), output)


def _steps(args: argparse.Namespace, output: Path) -> StepTimes:
    _without(
        args,
        "step times untuned steps on random data",
        tune=False,
        seeds=None,
        data=None,
        budget=None,
        settings=None,
        jobs=1,
    )
    return time_steps(methods=args.methods, output=output, resume=args.resume)


def _tune(args: argparse.Namespace, task: Benchmark, trials: Path) -> Tuned:
    if args.seeds is not None:
        own = ", ".join(map(str, task.tuning_seeds))
        raise ValueError(f"tuning has seeds of its own, {own}; leave out --seeds")
    return tune_task(
        task,
        trials,
        data=args.data,
        budgets=args.budget,
        methods=args.methods,
        resume=args.resume,
        jobs=args.jobs,
    )


def _compare(args: argparse.Namespace, task: Benchmark, output: Path) -> Report:
    return compare(
        task,
        winners(task, args.settings),
        seeds=SEEDS if args.seeds is None else args.seeds,
        data=args.data,
        budgets=args.budget,
        methods=args.methods,
        output=output,
        resume=args.resume,
        jobs=args.jobs,
    )


def _summary(result: Result) -> Table:
    from rich.table import Table

    table = Table(title=result.title, caption=None if result.complete else "interrupted: partial result")
    for heading in ("method", "test error", "× floor", "samples", "seconds", "settings"):
        table.add_column(heading, justify="left" if heading in ("method", "settings") else "right")
    for curve in result.curves:
        last = ("–",) * 4
        if curve.test_error:
            error = curve.test_error[-1]
            last = (
                f"{error:.4g}",
                f"{error / result.floor:.3g}" if result.floor else "–",
                f"{curve.samples[-1]:,}",
                f"{curve.seconds[-1]:.2f}",
            )
        table.add_row(curve.method, *last, settings_text(curve.settings))
    return table
