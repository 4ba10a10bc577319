"""Command line: `python -m ngdsym COMMAND`.

A command is a function of the parsed arguments that returns an exit code; `COMMANDS` maps its name to the
function that declares its arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from ngdsym.rules import generate


def emit(arguments: argparse.Namespace) -> int:
    """Write the rules as torch code, or report how the file differs from them."""
    if not arguments.check:
        try:
            generate.write(arguments.output)
        except OSError as error:
            print(f"cannot write {arguments.output}: {error.strerror or error}", file=sys.stderr)
            return 2
        return 0
    difference = generate.drift(arguments.output)
    sys.stdout.write(difference)
    if difference:
        print(f"{arguments.output} holds not what the rules say: run python -m ngdsym emit", file=sys.stderr)
    return 1 if difference else 0


def emit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff on drift")
    parser.add_argument("--output", type=Path, default=generate.TARGET, metavar="FOLDER", help="%(default)s")


def verify(arguments: argparse.Namespace) -> int:
    """Check theorems in up to three independent ways; exit 1 if any check fails."""
    from rich.console import Console

    from ngdsym.theorems import UnknownTheorem
    from ngdsym.theorems.verify import verify as check

    try:
        report = check(arguments.names, search=arguments.search, write=arguments.write, progress=True)
    except (UnknownTheorem, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(report.as_dict()))
    else:
        Console().print(report)
    return 0 if report.passed else 1


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="of theorems; all when none is given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--search", action="store_true", help="find the certificates anew instead of reading them")
    parser.add_argument("--write", action="store_true", help="with --search: keep the certificates that were found")


def show(arguments: argparse.Namespace) -> int:
    """Print a theorem: statement, hypotheses, checks, certificate."""
    from ngdsym.theorems import UnknownTheorem, theorems
    from ngdsym.theorems.verify import describe

    try:
        print("\n\n".join(map(describe, theorems(arguments.names).values())))
    except (UnknownTheorem, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="of theorems")


def bench(arguments: argparse.Namespace) -> int:
    """Time derivations beside plain SymPy code, and the prover on its public test set beside Singular's Letterplace."""
    from ngdsym.bench import derivations
    from ngdsym.bench.identities import identities, table

    if arguments.what == "identities":
        rows = identities()
        shown, data = table(rows), [row.as_dict() for row in rows]
    else:
        timings = [derivations.measure(case) for case in derivations.CASES]
        shown, data = derivations.table(timings), [timing.as_dict() for timing in timings]
    print(json.dumps(data) if arguments.json else shown)
    return 0


def bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("derivations", "identities"),
        default="derivations",
        help="derivations beside plain SymPy (default), or proofs beside Letterplace",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list")


COMMANDS = {verify: verify_arguments, show: show_arguments, emit: emit_arguments, bench: bench_arguments}


def main(argv: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(OSError):  # its descriptor is another one by now
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without Unicode
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
