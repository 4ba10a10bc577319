"""How every command of `python -m ngdnum` ends: messages, exit status, JSON or a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from .experiments import Diverged, Interrupted
from .experiments.experiment import Savable


class Job(NamedTuple):
    """Work that leaves its result in `file`, how to show it, and what an interrupt leaves there."""

    work: Callable[[], Savable]
    file: Path
    table: Callable[[Any], Table] = lambda result: result.table()
    partial: str = "the partial result is"


def finish(prepare: Callable[[], Job], as_json: bool) -> int:
    """Do the job, print its result on standard output and what went wrong on standard error.

    Returns
    -------
    int : exit status; 0 done, 1 a method diverged with every setting, 2 wrong input, 130 interrupted (a partial
        result is printed).
    """
    status = 0
    try:
        job = prepare()
        result = job.work()
    except (Diverged, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, Diverged) else 2
    except Interrupted as stop:
        result, status = stop.result, 130
        print(f"interrupted: {job.partial} in {job.file}", file=sys.stderr)
    if as_json:
        print(result.to_json())
    else:
        Console().print(job.table(result), f"written to {job.file}")
    return status
