"""Results of experiments: one format, in memory and on disk, written atomically."""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO

import torch

from .reading import Node, read_json

Settings = dict[str, float | int | str]
TEMPORARY = ".tmp"
"""Ending of what is written until it takes the place of a file."""
LONGEST = 60
"""Letters of a file's name that the name of a temporary one begins with, which must not be too long."""


class Stored:
    """What an experiment leaves: it can be shown, and written to a file as a whole.

    `complete` is False while it grows, and stays False when it was interrupted.
    """

    complete: bool

    def to_json(self) -> str:
        """All of it as one JSON object; numbers JSON cannot express are refused."""
        return compact_json(asdict(self))  # type: ignore[call-overload]  # heirs are dataclasses

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path`: either all of it or nothing, never a part."""
        with write_atomically(Path(path)) as file:
            file.write((self.to_json() + "\n").encode())

    def trim(self) -> None:
        """Drop what an interrupt has left half done."""


@dataclass
class Curve:
    """Test error of one method while it trains.

    `samples` counts the training examples seen (repeats included), `seconds` the processor time of
    training alone, `test_error` is the mean squared error per output, or what else the problem measures; `accuracy` has
    as many entries where there are right answers, else none.  `tuning` lists every setting tried with its
    validation error (None: diverged) and the share of the tuning budget it was trained for.
    """

    method: str
    settings: Settings
    samples: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)
    diverged: bool = False
    tuning: list[dict[str, object]] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def append(self, samples: int, seconds: float, test_error: float) -> None:
        """Add one point."""
        self.samples.append(samples)
        self.seconds.append(seconds)
        self.test_error.append(test_error)

    def trim(self) -> None:
        """Drop a point that an interrupt has left half written."""
        count = min(len(self.samples), len(self.seconds), len(self.test_error))
        for column in (self.samples, self.seconds, self.test_error, self.accuracy):
            del column[count:]

    def _first(self, target: float) -> int | None:
        return next((i for i, error in enumerate(self.test_error) if error <= target), None)

    def samples_to(self, target: float) -> int | None:
        """Samples at the first recorded test error not above `target`; None if it was never reached.

        Examples
        --------
        >>> Curve("SGD", {}, [0, 20, 40], [0.0, 0.1, 0.2], [1.0, 0.5, 0.2]).samples_to(0.5)
        20
        """
        i = self._first(target)
        return None if i is None else self.samples[i]

    def seconds_to(self, target: float) -> float | None:
        """Training seconds at the first recorded test error not above `target`; None if never reached."""
        i = self._first(target)
        return None if i is None else self.seconds[i]


@dataclass
class Result(Stored):
    """One run of an experiment: what was run, on what, where, and the curves that came out.

    `budget` limits each method; tuning trains its best settings for `tuning_share` of it.
    """

    experiment: str
    title: str
    seed: int
    command: str
    budget: dict[str, float | None]
    source: dict[str, object] = field(default_factory=dict)
    floor: float | None = None
    curves: list[Curve] = field(default_factory=list)
    environment: dict[str, object] = field(default_factory=dict)
    complete: bool = False

    def curve(self, method: str) -> Curve:
        """The curve of `method`.

        Raises
        ------
        KeyError : no such curve; the message lists those there are.
        """
        for curve in self.curves:
            if curve.method == method:
                return curve
        raise KeyError(f"no curve {method!r}; there are {[curve.method for curve in self.curves]}")

    def trim(self) -> None:
        for curve in self.curves:
            curve.trim()


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result that `Result.save` or `python -m ngdnum run … --json` has written.

    Raises
    ------
    ValueError : the file is no such result; the message names the file, the place in it and what is wrong there.
    """
    root = read_json(path, "a result of ngdnum")
    fields = root.fields("experiment title seed command budget source floor curves environment complete")
    floor = fields["floor"]
    return Result(
        fields["experiment"].text(),
        fields["title"].text(),
        fields["seed"].count(),
        fields["command"].text(),
        {name: None if node.value is None else node.number() for name, node in fields["budget"].entries().items()},
        fields["source"].mapping(),
        None if floor.value is None else floor.number(),
        [_curve(node) for node in fields["curves"].elements()],
        fields["environment"].mapping(),
        fields["complete"].flag(),
    )


def _curve(node: Node) -> Curve:
    fields = node.fields("method settings samples seconds test_error diverged tuning", "accuracy")
    samples = [value.count() for value in fields["samples"].elements()]
    columns = [[value.number() for value in fields[name].elements()] for name in ("seconds", "test_error")]
    for name, column in zip(("seconds", "test_error"), columns):
        if len(column) != len(samples):
            raise fields[name].error(f"has {len(column)} entries, samples {len(samples)}")
    for trial in fields["tuning"].elements():
        read_settings(trial.fields("settings validation_error share")["settings"])
    tuning = [trial.mapping() for trial in fields["tuning"].elements()]
    return Curve(
        fields["method"].text(),
        read_settings(fields["settings"]),
        samples,
        columns[0],
        columns[1],
        fields["diverged"].flag(),
        tuning,
        [value.number() for value in fields["accuracy"].elements()] if "accuracy" in fields else [],
    )


def read_settings(node: Node) -> Settings:
    """The settings of a method in a JSON file: text or numbers by name."""
    return {
        name: child.value if isinstance(child.value, str) else child.number() for name, child in node.entries().items()
    }


def compact_json(content: object) -> str:
    """JSON for people and for version control: one line for each entry, numbers in a list in one line.

    Examples
    --------
    >>> print(compact_json({"errors": [1.5, None], "methods": [{"name": "SGD", "grid": [{"lr": 0.1}]}]}))
    {
     "errors": [1.5, null],
     "methods": [
      {
       "name": "SGD",
       "grid": [
        {"lr": 0.1}
       ]
      }
     ]
    }
    """
    return _dump(content, "\n")


def _dump(content: object, line: str) -> str:
    children = (
        list(content.values() if isinstance(content, dict) else content)
        if isinstance(content, dict | list | tuple)
        else []
    )
    depth = _depth(content)
    if depth <= 1 or (depth == 2 and isinstance(content, dict) and line.count(" ") > 2):
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    below = line + " "
    inner = (_dump(child, below) for child in children)
    if isinstance(content, dict):
        inner = (f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in zip(content, inner))
        return "{" + below + f",{below}".join(inner) + line + "}"
    return "[" + below + f",{below}".join(inner) + line + "]"


def _depth(content: object) -> int:
    children = content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else None
    return 0 if children is None else 1 + max(map(_depth, children), default=0)


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Replace the content of `path` in one step by what the body writes, so that nobody ever meets half a file.

    If the body or the writing fails, `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(TEMPORARY, f".{path.name[:LONGEST]}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what those have left who were killed while they wrote `path`; nobody may be writing it now."""
    if len(path.name) <= LONGEST:
        for file in path.parent.glob(f".{glob.escape(path.name)}.????????{TEMPORARY}"):
            with contextlib.suppress(OSError):
                file.unlink()


def environment() -> dict[str, object]:
    """Versions, threads and processor: what a reader needs to judge the seconds of a result."""
    return {
        "ngd": version("ngd"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def settings_text(settings: Settings) -> str:
    """Settings in one line.

    Examples
    --------
    >>> settings_text({"lr": 0.10, "schedule": "linear"})
    'lr 0.1, schedule linear'
    """
    return ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, 'g')}" for name, value in settings.items()
    )


def finite(value: float) -> float | None:
    """`value`, or None where JSON has no number for it (nan, ±inf)."""
    return value if math.isfinite(value) else None


def median(values: Iterable[float | None]) -> float:
    """Median, with None as infinity; the mean of the middle two of an even number; nan of nothing.

    Examples
    --------
    >>> median([3.0, None, 1.0]), median([1.0, 2.0]), median([1.0, None])
    (3.0, 1.5, inf)
    """
    numbers = [math.inf if value is None else value for value in values]
    return statistics.median(numbers) if numbers else math.nan
