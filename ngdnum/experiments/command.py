"""How every command of `python -m ngdnum` ends: messages, exit status, JSON or a table."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from ..results import Stored
from .entry import TrialFailed
from .output import Interrupted, NotWritten
from .search import Diverged

if TYPE_CHECKING:
    from rich.table import Table

DONE, DIVERGED, WRONG, PIPE, INTERRUPTED = 0, 1, 2, 128 + 13, 128 + 2  # exit status


class Job(NamedTuple):
    """Work that leaves its result in `file`, and how to show it."""

    work: Callable[[], Stored]
    file: Path
    table: Callable[[Any], Table] = lambda result: result.table()


class Told:
    """A `stream` for what people are told; what it does not take, since its reader has left or a disk is full, is lost.

    So nobody loses a result for want of somebody who watches its progress.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def finish(prepare: Callable[[], Job], as_json: bool) -> int:
    """Do the job, print its result on standard output and what went wrong on standard error.

    Returns
    -------
    int : exit status; 0 done, 1 a method diverged with every setting, 2 wrong input, a trial that failed, or a file
        that cannot be written (a result there is, is printed all the same), 130 interrupted (a partial result is
        printed), 141 nobody reads what is printed.
    """
    before = signal.signal(signal.SIGINT, _interrupt_once)
    try:
        with contextlib.redirect_stderr(Told(sys.stderr or io.StringIO())):
            return _finish(prepare, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush has somewhere to go
        return PIPE
    except KeyboardInterrupt:
        print("interrupted: there was nothing unfinished to keep", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)


def _finish(prepare: Callable[[], Job], as_json: bool) -> int:
    status = DONE
    try:
        job = prepare()
        result, written = job.work(), f"written to {job.file}"
    except (Diverged, TrialFailed, ValueError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED if isinstance(error, Diverged) else WRONG
    except NotWritten as error:
        result, status, written = error.result, WRONG, "not written to a file"
        print(f"error: {error}", file=sys.stderr)
    except Interrupted as stop:
        result, status = stop.result, INTERRUPTED
        written = f"the partial result is in {stop.file}; --resume goes on" if stop.file else "nothing was kept yet"
        print(f"interrupted: {written}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    if sys.stdout is None:
        print("error: standard output is closed", file=sys.stderr)
        return status or WRONG
    try:
        if as_json:
            print(_ascii(result.to_json()), flush=True)
        else:
            show(job.table(result), written)
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: standard output cannot be written ({error.strerror})", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WRONG
    return status


def _ascii(text: str) -> str:
    """JSON with all other letters as escapes of JSON, which any terminal takes and any reader reads."""
    return re.sub(r"[^\x00-\x7f]", lambda letter: json.dumps(letter[0])[1:-1], text)


def show(table: Table, note: str) -> None:
    """Print a table, with the columns for which there is room; those on the left matter most."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.text import Text

    console = Console()
    unlimited = console.options.update(max_width=10_000)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
        width = max((len(str(cell)) for cell in column.cells), default=0)
        column.header = textwrap.fill(str(column.header), max(width, 8), break_long_words=False)
    left_out = 0
    while len(table.columns) > 2 and Measurement.get(console, unlimited, table).maximum > console.width:
        table.columns.pop()
        left_out += 1
    with console.capture() as text:  # printed by ourselves: rich has its own ideas of a broken pipe
        console.print(table)
        if left_out:
            columns = "column is" if left_out == 1 else "columns are"
            console.print(Text(f"{left_out} more {columns} shown on a wider screen, or with --json"))
        console.print(Text(note), soft_wrap=True)
    print(text.get(), end="")


def _interrupt_once(number: int, frame: object) -> None:
    """The first Ctrl-C interrupts; others must not interrupt the saving of what there is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
