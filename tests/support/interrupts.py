"""Interrupts at any point of a call: an exception before the k-th bytecode, or a signal at the k-th C function."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import ngdnum

NGDNUM = Path(ngdnum.__file__).parent
FOLDERS = (str(NGDNUM), str(Path(torch.optim.__file__).parent))


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but certainly ours."""


class Tracer:
    """Counts the bytecodes that run within `folders`, and raises Interrupt before number `at`."""

    def __init__(self, at: int | None = None, folders: tuple[str, ...] = FOLDERS) -> None:
        self.at, self.count, self.where, self.folders = at, 0, "", folders

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self.folders):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._local

    def _local(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.count += 1
            if self.count == self.at:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise Interrupt
        return self._local


@contextmanager
def traced(at: int | None = None, folders: tuple[str, ...] = FOLDERS) -> Iterator[Tracer]:
    """Within, bytecodes are counted; whoever traced before, a debugger or the coverage, does so afterwards."""
    before, tracer = sys.gettrace(), Tracer(at, folders)
    sys.settrace(tracer)
    try:
        yield tracer
    finally:
        sys.settrace(before)


def bytecodes(call: Callable[[], object], folders: tuple[str, ...] = FOLDERS) -> int:
    """How many run in `call`."""
    with traced(None, folders) as tracer:
        call()
    return tracer.count


def interrupted(call: Callable[[], object], at: int, folders: tuple[str, ...] = FOLDERS) -> tuple[bool, str]:
    """Whether the interrupt before bytecode number `at` came out of `call`, and where it happened."""
    with traced(at, folders) as tracer:
        try:
            call()
        except Interrupt:
            return True, tracer.where
    return False, tracer.where


class Sender:
    """Counts the C functions that are called from Python, in whatever file, and sends a signal at number `at`."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count = at, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def sending(at: int | None = None) -> Iterator[Sender]:
    """Within, the handler of a SIGINT raises an Interrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    handler, before, sender = signal.signal(signal.SIGINT, interrupt), sys.getprofile(), Sender(at)
    sys.setprofile(sender)
    try:
        yield sender
    finally:
        sys.setprofile(before)
        signal.signal(signal.SIGINT, handler)


def c_calls(call: Callable[[], object]) -> int:
    """How many C functions `call` calls."""
    with sending() as sender:
        call()
    return sender.count


def signalled(call: Callable[[], object], at: int) -> bool:
    """Whether the interrupt by a signal at C function number `at` came out of `call`."""
    with sending(at):
        try:
            call()
        except Interrupt:
            return True
    return False
