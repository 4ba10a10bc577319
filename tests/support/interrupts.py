"""Interrupts at every point of a call: an exception raised before the k-th bytecode of some files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import ngdnum

FOLDERS = (str(Path(ngdnum.__file__).parent), str(Path(torch.optim.__file__).parent))


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but certainly ours."""


class Tracer:
    """Counts the bytecodes that run within `FOLDERS`, and raises Interrupt before number `at`."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.where = at, 0, ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(FOLDERS):
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
def traced(at: int | None = None) -> Iterator[Tracer]:
    """Within, bytecodes are counted; whoever traced before, a debugger or the coverage, does so afterwards."""
    before, tracer = sys.gettrace(), Tracer(at)
    sys.settrace(tracer)
    try:
        yield tracer
    finally:
        sys.settrace(before)


def bytecodes(call: Callable[[], object]) -> int:
    """How many run in `call`."""
    with traced() as tracer:
        call()
    return tracer.count


def interrupted(call: Callable[[], object], at: int) -> tuple[bool, str]:
    """Whether the interrupt before bytecode number `at` came out of `call`, and where it happened."""
    with traced(at) as tracer:
        try:
            call()
        except Interrupt:
            return True, tracer.where
    return False, tracer.where
