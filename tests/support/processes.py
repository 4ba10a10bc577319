"""Processes that begin where torch is in memory, for many tests want one and torch takes seconds to import.

They end as an interpreter does: what is registered for the exit runs, and standard streams are flushed.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "torch._dynamo", "ngdnum.experiments.cli"])  # the second by an optimizer


class Apart:
    """A process, in a session of its own, that works in `folder` and exits with `work(*arguments)`.

    `work` is a function of a module.
    """

    def __init__(self, work: Callable[..., int], folder: Path, *arguments: Any) -> None:
        self._name = work.__name__
        self._streams, writing = zip(*(PROCESSES.Pipe(duplex=False) for _ in range(2)))
        self.process = PROCESSES.Process(target=_exit, args=(work, folder, arguments, writing))
        self.process.start()
        for end in writing:
            end.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def communicate(self, seconds: float = 600) -> CompletedProcess[str]:
        """What it has printed when it has ended."""
        with ThreadPoolExecutor(2) as pool:
            out, err = pool.map(_read, self._streams)
        self.process.join(seconds)
        return CompletedProcess(self._name, self.process.exitcode, out, err)


def apart(work: Callable[..., int], folder: Path, *arguments: Any) -> CompletedProcess[str]:
    """What a process prints that works in `folder` and exits with `work(*arguments)`."""
    return Apart(work, folder, *arguments).communicate()


def _read(stream: Connection) -> str:
    with os.fdopen(os.dup(stream.fileno()), encoding="utf-8") as file:
        return file.read()


def _exit(work: Callable[..., int], folder: Path, arguments: tuple, streams: tuple[Connection, ...]) -> None:
    gc.freeze()  # what was there before needs no collection, not even at the end
    os.setsid()
    for number, stream in enumerate(streams, 1):
        os.dup2(stream.fileno(), number)
        stream.close()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctypes.pythonapi.Py_Exit(work(*arguments))
