"""`python -m ngdnum run EXPERIMENT` and `bench TASK`: experiments from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table

from .bench import cli as bench
from .command import Job, finish
from .experiments import EXPERIMENTS, run
from .results import Result, settings_text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ngdnum", description="Natural gradient descent: experiments."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    bench.add_parser(commands)
    command = commands.add_parser(
        "run", help="run an experiment", description="Tune, train and compare the methods of an experiment."
    )
    command.add_argument("experiment", metavar="EXPERIMENT",
                         help="; ".join(f"{e.name}: {e.title}" for e in EXPERIMENTS.values()))
    command.add_argument("--json", action="store_true", help="print the result as one JSON object")
    command.add_argument("--seed", type=int, default=0, metavar="N",
                         help="seed of data and weights (default 0)")
    command.add_argument("--data", type=Path, metavar="DIR",
                         help="folder of IDX files (MNIST, Fashion-MNIST)")
    command.add_argument("--budget", type=float, metavar="SECONDS",
                         help="training time of each method at most")
    command.add_argument("--output", type=Path, metavar="FILE",
                         help="file for the result (default results/EXPERIMENT-seedN.json)")
    command.set_defaults(job=_job)
    return parser


def _summary(result: Result) -> Table:
    table = Table(title=result.title, caption=None if result.complete else "interrupted: partial result")
    for heading in ("method", "settings", "samples", "seconds", "test error", "× floor"):
        table.add_column(heading, justify="left" if heading in ("method", "settings") else "right")
    for curve in result.curves:
        if curve.test_error:
            error = curve.test_error[-1]
            last = (f"{curve.samples[-1]:,}", f"{curve.seconds[-1]:.2f}", f"{error:.4g}",
                    f"{error / result.floor:.3g}" if result.floor else "–")
        else:
            last = ("–",) * 4
        table.add_row(curve.method, settings_text(curve.settings), *last)
    return table


def _job(args: argparse.Namespace) -> Job:
    output = args.output or Path("results") / f"{args.experiment}-seed{args.seed}.json"
    return Job(lambda: run(args.experiment, seed=args.seed, data=args.data, budget=args.budget, output=output),
               output, _summary)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 nothing converged, 2 wrong input, 130 interrupted (a partial result is left)."""
    args = _parser().parse_args(arguments)
    return finish(lambda: args.job(args), args.json)


if __name__ == "__main__":
    sys.exit(main())
