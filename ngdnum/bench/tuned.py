"""The settings that tuning has found, with all it has tried: one JSON file for each task."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

from ..experiments.training import Method
from ..results import Settings, settings_text, write_atomically
from .tasks import Task

FOLDER = Path(__file__).with_name("settings")


@dataclass
class Search:
    """How one method was tuned: its grid, every trial, the winner for each budget, and on which machine."""

    grid: list[Settings]
    winners: dict[str, Settings]
    trials: list[dict[str, object]]
    environment: dict[str, object]


@dataclass
class Tuned:
    """The searches of all methods of a task, on the same data, seeds and budgets."""

    task: str
    command: str
    unit: str
    budgets: list[float]
    seeds: list[int]
    source: dict[str, object]
    methods: dict[str, Search] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as one JSON object."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path`: either all of it or nothing."""
        write_atomically(Path(path), self.to_json() + "\n")

    def table(self) -> Table:
        """The winners; a star marks the least or largest of the values tried: is the grid too narrow?"""
        table = Table(title=f"{self.task}: best settings on validation data")
        for heading in ("method", "budget", "settings"):
            table.add_column(heading)
        for name, search in self.methods.items():
            for budget, winner in search.winners.items():
                table.add_row(name, budget, _starred(winner, search.grid))
        return table

    def alike(self, other: Tuned) -> bool:
        """Whether both searched under the same conditions, so that their methods may be compared."""
        return (self.task, self.unit, self.budgets, self.seeds, self.source) == (
            other.task, other.unit, other.budgets, other.seeds, other.source)


def default_path(task: Task) -> Path:
    """Where the package keeps the settings of `task`."""
    return FOLDER / f"{task.name}.json"


def load_tuned(path: str | os.PathLike[str]) -> Tuned:
    """Read what `Tuned.save` has written.

    Raises
    ------
    ValueError : no such file, or it holds no tuned settings.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        methods = {name: Search(**search) for name, search in fields.pop("methods").items()}
        return Tuned(**fields, methods=methods)
    except FileNotFoundError:
        raise ValueError(f"there are no tuned settings in {os.fspath(path)!r}: run the same command with "
                         "--tune first") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds no tuned settings ({error}): run the same command with "
                         "--tune") from None


def check_current(tuned: Tuned, methods: tuple[Method, ...]) -> None:
    """Refuse settings of methods that were not tuned, or whose grid has changed since.

    Raises
    ------
    ValueError : the message names the methods to tune.
    """
    missing = [m.name for m in methods if m.name not in tuned.methods]
    if missing:
        raise ValueError(f"no tuned settings for {', '.join(missing)}: add --tune "
                         f"--methods {' '.join(missing)}")
    changed = [m.name for m in methods if tuned.methods[m.name].grid != list(m.grid)]
    if changed:
        raise ValueError(f"the grid of {', '.join(changed)} has changed since it was tuned: add --tune "
                         f"--methods {' '.join(changed)}")


def _starred(winner: Settings, grid: list[Settings]) -> str:
    texts = []
    for name, value in winner.items():
        tried = {settings[name] for settings in grid}
        edge = len(tried) > 2 and value in (min(tried), max(tried))
        texts.append(settings_text({name: value}) + ("*" if edge else ""))
    return ", ".join(texts)
