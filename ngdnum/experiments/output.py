"""The file that receives a result: never half written, never replaced by less, and locked while somebody writes it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..results import Stored, remove_leftovers, write_atomically

BESIDE = ".part", ".state"
"""Endings of the files beside an unfinished result: what there is of it, and what is needed to go on."""
SHARE = 0.05  # of the time that saving an unfinished result may take


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during an experiment; `result` is what there was by then, `file` where it was kept, if anywhere."""

    def __init__(self, result: Stored, file: Path | None = None) -> None:
        super().__init__("interrupted")
        self.result, self.file = result, file


class NotWritten(OSError):
    """A finished `result` that could not be written to its file."""

    def __init__(self, result: Stored, message: str) -> None:
        super().__init__(message)
        self.result = result


class Output:
    """A file for one result; without a path nothing is written.

    While the result grows, `FILE.part` holds what there is of it, and `FILE.state` what is needed to go on. Both are
    gone when the result is complete and in the file.

    Parameters
    ----------
    path : the file.
    identity : what a state must belong to so that this run may go on from it.
    say : receives sentences for people.
    """

    def __init__(self, path: Path | None, identity: dict[str, str], say: Callable[[str], None]) -> None:
        self.path, self.identity, self.say = path, identity, say
        self.kept = False
        self._last, self._cost = -float("inf"), 0.0

    def _beside(self, ending: str) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ending)

    def state(self, resume: bool) -> dict[str, Any]:
        """What the interrupted run has left, if this one shall `resume` it; otherwise nothing.

        Raises
        ------
        ValueError : it was left by another command or other methods, or the file is damaged.
        """
        if self.path is None:
            return {}
        file = self._beside(".state")
        if not file.exists():
            if resume:
                self.say(f"note: nothing to resume, {file} does not exist; this run starts from the beginning")
            return {}
        if not resume:
            self.say(
                f"note: an interrupted run has left {file}; this one starts anew and replaces it, --resume would go on"
            )
            return {}
        try:
            content = torch.load(file, weights_only=True)
            found, state = content["identity"], content["state"]
        except Exception as error:
            raise ValueError(
                f"{str(file)!r} is damaged ({type(error).__name__}): leave out --resume to start anew"
            ) from None
        for name, own in self.identity.items():
            if found.get(name) != own:
                raise ValueError(
                    f"{str(file)!r} was left by a run with {name} {found.get(name)!r}, not {own!r}: "
                    "resume that one, or leave out --resume to start anew"
                )
        self.kept = True
        return state

    def keep(self, result: Stored, state: Callable[[], dict[str, Any]], at_once: bool = False) -> None:
        """Save the unfinished `result` and its `state`, as often as that takes little time, or `at_once`."""
        start = time.monotonic()
        if self.path is None or (not at_once and (start - self._last) * SHARE < self._cost):
            return
        content = io.BytesIO()  # of a full disk, a file says more than torch does
        torch.save({"identity": self.identity, "state": state()}, content)
        try:
            with write_atomically(self._beside(".state")) as file:
                file.write(content.getbuffer())
            self.kept = True
            result.save(self._beside(".part"))
        except OSError as error:
            if self._cost < float("inf"):
                self.say(f"note: the unfinished result cannot be kept ({_reason(error)}); the run goes on")
            self._cost = float("inf")
            return
        self._last = time.monotonic()
        self._cost = self._last - start

    @contextlib.contextmanager
    def receiving(self, result: Stored) -> Iterator[None]:
        """Write `result` when the body has completed it; when the body is interrupted, keep what there is.

        Raises
        ------
        Interrupted : Ctrl-C.
        NotWritten : the file cannot be written.
        """
        try:
            yield
        except KeyboardInterrupt:
            result.trim()
            kept = self.kept
            if kept:
                with contextlib.suppress(OSError):
                    result.save(self._beside(".part"))
            raise Interrupted(result, self._beside(".part") if kept else None) from None
        result.complete = True
        if self.path is None:
            return
        try:
            result.save(self.path)
        except OSError as error:
            raise NotWritten(result, f"{str(self.path)!r} cannot be written ({_reason(error)})") from None
        for ending in BESIDE:
            with contextlib.suppress(OSError):
                self._beside(ending).unlink()


@contextlib.contextmanager
def open_output(
    path: str | os.PathLike[str] | None, identity: dict[str, str], say: Callable[[str], None]
) -> Iterator[Output]:
    """An `Output`, after everything that could go wrong with its file has been checked.

    Raises
    ------
    ValueError : the file is a folder, a device or a pipe, may not be written, or another run writes it.
    """
    if path is None:
        yield Output(None, identity, say)
        return
    file = _checked(Path(path))
    with _locked(file):
        if file.exists():
            say(f"note: {file} stays as it is until this run is complete")
        for written in (file, *(file.with_name(file.name + ending) for ending in BESIDE)):
            remove_leftovers(written)
        yield Output(file, identity, say)


def _checked(file: Path) -> Path:
    """What a result may replace, links followed."""
    try:
        file.resolve(strict=False).exists()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, or a link to itself
        raise _unwritable(file, error) from None
    if file.is_dir():
        raise ValueError(f"the output {str(file)!r} is a folder; give a file in it")
    if file.exists() and not file.is_file():
        raise ValueError(
            f"the output {str(file)!r} is no ordinary file, and a result would replace it; give another "
            "file, or use --json for standard output"
        )
    if file.exists() and any(_is(file, stream) for stream in (1, 2)):
        raise ValueError(
            f"the output {str(file)!r} is where this command prints, and a result would replace it; give another "
            "file, or use --json for standard output"
        )
    if file.exists() and not os.access(file, os.W_OK):
        raise ValueError(f"the output {str(file)!r} may not be written; change its permissions or give another file")
    return file.resolve() if file.is_symlink() else file


def _unwritable(file: Path, error: Exception) -> ValueError:
    return ValueError(f"the output {str(file)!r} cannot be written ({_reason(error)}); give another file")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Make the folder of `path`, and keep others from writing `path` meanwhile."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        if not _lock(descriptor) or not _is(lock, descriptor):
            raise ValueError(f"another run is writing {str(path)!r}: wait until it ends, or give another file")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether this process has the lock now; it ends with the process, however that ends."""
    if sys.platform == "win32":
        return True  # a file that is open cannot be unlinked there, and nothing better is at hand
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, descriptor: int) -> bool:
    """Whether `path` is still the file that was opened, and not removed by its last owner."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:  # either is gone
        return False


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
