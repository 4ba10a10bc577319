"""Processes that begin where torch is in memory, for many tests want one and torch takes seconds to import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "torch._dynamo", "ngdnum"])  # the second by the first optimizer


def apart(work: Callable[..., int], folder: Path, *arguments: Any) -> CompletedProcess[str]:
    """What a process prints that works in `folder` and exits with `work(*arguments)`, a function of a module."""
    with tempfile.TemporaryDirectory() as printed:
        process = PROCESSES.Process(target=_exit, args=(work, folder, arguments, Path(printed)))
        process.start()
        process.join()
        out, err = ((Path(printed) / name).read_text() for name in ("out", "err"))
    return CompletedProcess(work.__name__, process.exitcode, out, err)


def _exit(work: Callable[..., int], folder: Path, arguments: tuple, printed: Path) -> None:
    for number, name in (1, "out"), (2, "err"):
        os.dup2(os.open(printed / name, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(work(*arguments))
