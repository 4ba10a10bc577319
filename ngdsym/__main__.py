"""Command line: `python -m ngdsym COMMAND`.

A command is a function of the parsed arguments that returns an exit code; `COMMANDS` maps its name to the
function that declares its arguments.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ngdsym import generate


def emit(arguments: argparse.Namespace) -> int:
    """Write the rules as torch code, or report how the file differs from them."""
    if not arguments.check:
        generate.write(arguments.output)
        return 0
    difference = generate.drift(arguments.output)
    sys.stdout.write(difference)
    if difference:
        print(f"{arguments.output} is not what the rules say: run python -m ngdsym emit", file=sys.stderr)
    return 1 if difference else 0


def emit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff on drift")
    parser.add_argument("--output", type=Path, default=generate.TARGET, metavar="PATH", help="%(default)s")


COMMANDS = {emit: emit_arguments}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ngdsym", description="Formulas, proved and compiled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, declare in COMMANDS.items():
        sub = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        declare(sub)
        sub.set_defaults(command=command)
    arguments = parser.parse_args(argv)
    return arguments.command(arguments)


if __name__ == "__main__":
    sys.exit(main())
