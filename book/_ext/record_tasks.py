"""Measure tasks of the benchmark anew, by the commands that their stored results tell.

    python book/_ext/record_tasks.py [--data DIR] [--tune NAME... --] TASK...

The settings of the methods that `--tune` names, "NGD" for all that begin so, are searched first and become those of the
package; those of all others stay. Seconds are of use only if nothing else runs meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from ngdnum.experiments.tasks import TASKS
from ngdnum.recorded import recorded

EXT = Path(__file__).resolve().parent
TRIALS = EXT.parent / "results" / "trials"


def python(*arguments: str | Path) -> None:
    """Run it, and stop where it fails."""
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def record(task: str, data: str, tune: list[str]) -> None:
    """Search and compare."""
    stored = recorded(f"bench-{task}.json")
    command = shlex.split(json.loads(stored.read_text(encoding="utf-8"))["command"])[1:]
    command = [data if word == "DIR" else word for word in command]
    methods = [m.name for m in TASKS[task].methods if m.name.startswith(tuple(tune))]
    if methods:
        seeds = command.index("--seeds")
        search = command[:seeds] + command[seeds + 2 :]
        python(*search, "--tune", "--methods", *methods, "--settings", TRIALS / f"{task}.json")
        python(EXT / "winners.py")
    python(*command, "--output", stored)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=sorted(task.name for task in TASKS.values()), metavar="TASK")
    parser.add_argument("--data", default="DIR", help="folder of IDX files")
    parser.add_argument("--tune", nargs="+", default=[], metavar="NAME")
    arguments = parser.parse_args()
    for name in arguments.tasks:
        record(name, arguments.data, arguments.tune)
    python(EXT / "shorten.py")
