"""`python -m ngdnum run EXPERIMENT` and `bench TASK`: experiments from the command line."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys

from .experiments.cli import add_parsers
from .experiments.command import Job, finish
from .experiments.extra import check_installed


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 nothing converged, 2 wrong input, 130 interrupted (a partial result is left)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # its descriptor is another one by now
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without Unicode
    parser = argparse.ArgumentParser(prog="python -m ngdnum", description="Natural gradient descent: experiments.")
    add_parsers(parser.add_subparsers(dest="command", required=True))
    args = parser.parse_args(arguments)

    def prepare() -> Job:
        check_installed("rich", "the commands show tables and progress with rich")
        return args.job(args)

    return finish(prepare, args.json)


if __name__ == "__main__":
    sys.exit(main())
