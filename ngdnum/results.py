"""Results of experiments: one format, in memory and on disk, written atomically."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

Settings = dict[str, float | int | str]


@dataclass
class Curve:
    """Test error of one method while it trains.

    `samples` counts the training examples seen (repeats included), `seconds` the processor time of
    training alone, `test_error` is the mean squared error per output.  `tuning` lists every setting tried with its
    validation error (None: diverged) and the share of the tuning budget it was trained for.
    """

    method: str
    settings: Settings
    samples: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    test_error: list[float] = field(default_factory=list)
    diverged: bool = False
    tuning: list[dict[str, object]] = field(default_factory=list)

    def append(self, samples: int, seconds: float, test_error: float) -> None:
        """Add one point."""
        self.samples.append(samples)
        self.seconds.append(seconds)
        self.test_error.append(test_error)

    def trim(self) -> None:
        """Drop a point that an interrupt has left half written."""
        count = min(len(self.samples), len(self.seconds), len(self.test_error))
        for column in (self.samples, self.seconds, self.test_error):
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
class Result:
    """One run of an experiment: what was run, on what, where, and the curves that came out.

    `budget` limits each method; tuning trains its best settings for `tuning_share` of it.
    `complete` is False while the run goes on, and stays False when it was interrupted.
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

    def to_json(self) -> str:
        """The result as one JSON object; numbers JSON cannot express are refused."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path`: either all of it or nothing, never a part."""
        write_atomically(Path(path), self.to_json() + "\n")


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result that `Result.save` or `python -m ngdnum run … --json` has written.

    Raises
    ------
    ValueError : the file is no such result.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        curves = [Curve(**curve) for curve in fields.pop("curves")]
        return Result(**fields, curves=curves)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a result of ngdnum ({error})") from None


def write_atomically(path: Path, text: str) -> None:
    """Replace the content of `path` in one step, so that a reader or a crash never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def environment() -> dict[str, object]:
    """Versions, threads and processor: what a reader needs to judge the seconds of a result."""
    return {
        "ngd": version("ngd"),
        "python": platform.python_version(),
        "torch": torch.__version__,
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
    return ", ".join(f"{name} {value if isinstance(value, str) else format(value, 'g')}"
                     for name, value in settings.items())


def finite(value: float) -> float | None:
    """`value`, or None where JSON has no number for it (nan, ±inf)."""
    return value if math.isfinite(value) else None


def median(values: Iterable[float | None]) -> float:
    """Median, with None as infinity; nan of nothing.

    Examples
    --------
    >>> median([3.0, None, 1.0])
    3.0
    """
    values = sorted(math.inf if value is None else value for value in values)
    return values[len(values) // 2] if values else math.nan
