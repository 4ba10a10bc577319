"""The settings that won: those of the package, and those of a file in which `--tune` keeps all that it has tried."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reading import Node, read_json
from ..results import Settings, Stored, compact_json, read_settings, settings_text
from .method import Method
from .task import Benchmark

if TYPE_CHECKING:
    from rich.table import Table

WINNERS = Path(__file__).with_name("winners.json")
TRIALS = "trials of ngdnum"


@dataclass
class Winner:
    """The best settings of a method for each budget, among how many trials of which grid (`digest`) they are that."""

    settings: dict[str, Settings]
    trials: int
    grid: str


@dataclass
class Winners:
    """The winners of all methods of a task, on the same data, seeds and budgets."""

    unit: str
    budgets: list[float]
    seeds: list[int]
    source: dict[str, object]
    methods: dict[str, Winner] = field(default_factory=dict)


@dataclass
class Search:
    """How one method was tuned: every trial, the winner for each budget, of which grid, and on which machine."""

    grid: str
    winners: dict[str, Settings]
    trials: list[dict[str, object]]
    environment: dict[str, object]


@dataclass
class Tuned(Stored):
    """The searches of all methods of a task, on the same data, seeds and budgets."""

    task: str
    command: str
    unit: str
    budgets: list[float]
    seeds: list[int]
    source: dict[str, object]
    methods: dict[str, Search] = field(default_factory=dict)
    complete: bool = False

    def table(self) -> Table:
        """The winners; a star marks the least or largest of the values tried: is the grid too narrow?"""
        from rich.table import Table

        table = Table(title=f"{self.task}: best settings on validation data")
        for heading in ("method", "budget", "settings"):
            table.add_column(heading)
        for name, search in self.methods.items():
            tried: list[Any] = [trial["settings"] for trial in search.trials]
            for budget, winner in search.winners.items():
                table.add_row(name, budget, _starred(winner, tried))
        return table

    def alike(self, other: Tuned | Winners) -> bool:
        """Whether both searched under the same conditions, so that their methods may be compared."""
        return (self.unit, self.budgets, self.seeds, self.source) == (
            other.unit,
            other.budgets,
            other.seeds,
            other.source,
        )

    def winners(self) -> Winners:
        """What the package keeps of it."""
        methods = {
            name: Winner(search.winners, len(search.trials), search.grid) for name, search in self.methods.items()
        }
        return Winners(self.unit, self.budgets, self.seeds, self.source, methods)


def digest(grids: Iterable[Iterable[Mapping[str, object]]]) -> str:
    """A short name of the contents of grids."""
    return hashlib.sha256(json.dumps([list(grid) for grid in grids]).encode()).hexdigest()[:8]


def load_tuned(path: str | os.PathLike[str]) -> Tuned:
    """Read what `--tune` has written.

    Raises
    ------
    ValueError : no such file, or it holds no trials; the message names the place in it and what is wrong there.
    """
    try:
        root = read_json(path, TRIALS)
    except FileNotFoundError:
        raise ValueError(
            f"there are no trials in {os.fspath(path)!r}: run the same command with --tune first"
        ) from None
    fields = root.fields("task command unit budgets seeds source methods complete")
    methods = {name: _search(node) for name, node in fields["methods"].entries().items()}
    return Tuned(
        fields["task"].text(), fields["command"].text(), *_conditions(fields), methods, fields["complete"].flag()
    )


def package_winners(path: Path = WINNERS) -> dict[str, Winners]:
    """The settings of the package, by task."""
    found = {}
    for task, node in read_json(path, "winners of ngdnum").entries().items():
        fields = node.fields("unit budgets seeds source methods")
        methods = {}
        for name, winner in fields["methods"].entries().items():
            of = winner.fields("settings trials grid")
            methods[name] = Winner(_by_budget(of["settings"]), of["trials"].count(), of["grid"].text())
        found[task] = Winners(*_conditions(fields), methods)
    return found


def save_winners(winners: dict[str, Winners], path: Path = WINNERS) -> None:
    """Write the settings of the package."""
    content = {task: asdict(of_task) for task, of_task in winners.items()}
    path.write_text(compact_json(content) + "\n", encoding="utf-8")


def winners(task: Benchmark, path: Path | None = None) -> Winners:
    """The settings of the package for `task`; those in a file of trials take their place.

    Raises
    ------
    ValueError : nothing was tuned for this task, or the file was tuned under other conditions than the package.
    """
    found = package_winners().get(task.name)
    if path is None:
        if found is None:
            raise ValueError(f"nothing was tuned for {task.name}: add --tune, then --settings FILE")
        return found
    tuned = load_tuned(path)
    if found is not None and tuned.alike(found):
        found.methods |= tuned.winners().methods
        return found
    return tuned.winners()


def check_current(found: Winners, methods: tuple[Method, ...]) -> None:
    """Refuse settings of methods that were not tuned, or whose grid has changed since.

    Raises
    ------
    ValueError : the message names the methods to tune.
    """
    missing = [m.name for m in methods if m.name not in found.methods]
    if missing:
        raise ValueError(f"no tuned settings for {', '.join(missing)}: add --tune --methods {' '.join(missing)}")
    changed = [m.name for m in methods if found.methods[m.name].grid != digest([m.grid])]
    if changed:
        raise ValueError(
            f"the grid of {', '.join(changed)} has changed since it was tuned: add --tune --methods {' '.join(changed)}"
        )


def _search(node: Node) -> Search:
    fields = node.fields("grid winners trials environment")
    for trial in fields["trials"].elements():
        of = trial.fields("budget settings score validation_error")
        of["budget"].text()
        read_settings(of["settings"])
        for number in (of["score"], *of["validation_error"].elements()):
            if number.value is not None:
                number.number()
    return Search(
        fields["grid"].text(),
        _by_budget(fields["winners"]),
        [trial.mapping() for trial in fields["trials"].elements()],
        fields["environment"].mapping(),
    )


def _by_budget(node: Node) -> dict[str, Settings]:
    return {budget: read_settings(settings) for budget, settings in node.entries().items()}


def _conditions(fields: dict[str, Node]) -> tuple[str, list[float], list[int], dict[str, object]]:
    return (
        fields["unit"].text(),
        [amount.number() for amount in fields["budgets"].elements()],
        [seed.count() for seed in fields["seeds"].elements()],
        fields["source"].mapping(),
    )


def _starred(winner: Settings, tried: list[Settings]) -> str:
    texts = []
    for name, value in winner.items():
        values: list[Any] = sorted({settings[name] for settings in tried})
        edge = len(values) > 2 and value in (values[0], values[-1])
        texts.append(settings_text({name: value}) + ("*" if edge else ""))
    return ", ".join(texts)
