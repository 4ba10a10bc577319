"""Tables of numbers that an experiment leaves, one row for each case and seed."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..reading import read_json
from ..results import Stored, environment
from ..table import text
from .output import open_output
from .progress import progress_bars
from .task import conditions
from .tuned import digest

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, object]


@dataclass
class Measurements(Stored):
    """What was measured, by which command, where, and the rows that came out."""

    experiment: str
    title: str
    command: str
    environment: dict[str, object] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    def values(self, column: str, **where: object) -> list[float]:
        """Numbers in `column` of the rows that agree with `where`; those without a number are left out.

        Examples
        --------
        >>> rows = [{"L": 1, "rho": 1.0}, {"L": 2, "rho": 0.7}, {"L": 2, "rho": None}]
        >>> Measurements("mine", "Mine", "", rows=rows).values("rho", L=2)
        [0.7]
        """
        return [
            float(str(row[column]))
            for row in self.rows
            if row.get(column) is not None and all(row.get(name) == value for name, value in where.items())
        ]

    def spread(self, column: str, **where: object) -> str:
        """Median, least and greatest of `values`, as text."""
        numbers = self.values(column, **where)
        if not numbers:
            return "–"
        return f"{text(statistics.median(numbers))} ({text(min(numbers))} … {text(max(numbers))})"

    def table(self) -> Table:
        """All rows."""
        from rich.table import Table

        names = list(dict.fromkeys(name for row in self.rows for name in row))
        table = Table(*names, title=self.title, caption=None if self.complete else "interrupted: partial result")
        for row in self.rows:
            table.add_row(*(_text(row.get(name)) for name in names))
        return table


def measure_rows(
    experiment: str,
    title: str,
    cases: list[Row],
    measure: Callable[[Row], Row],
    *,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    within: object = None,
) -> Measurements:
    """A row for each of `cases`: the case and what `measure` tells about it, with one thread.

    `resume` keeps the rows that an interrupted call with the same cases has left, `within` the same conditions.

    Raises
    ------
    ValueError : the rows to resume belong to other cases, or their file is damaged.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` holds the rows so far.
    NotWritten : the output could not be written at the end.
    """
    command = f"python -m ngdnum run {experiment}"
    result = Measurements(experiment, title, command)
    identity = {"command": command, "cases": digest([cases]), "conditions": str(within), "version": version("ngd")}
    with conditions(), progress_bars(progress) as bars, open_output(output, identity, bars.say) as place:
        result.environment = environment()
        with place.receiving(result):
            result.rows = place.state(resume).get("rows", [])
            bar = bars.add(experiment, total=len(cases))
            bar.advance(len(result.rows))
            for case in cases[len(result.rows) :]:
                result.rows.append({**case, **measure(case)})
                place.keep(result, lambda: {"rows": result.rows})
                bar.advance(1)
    return result


def load_measurements(path: str | Path) -> Measurements:
    """Read what `Measurements.save` has written.

    Raises
    ------
    ValueError : the file is no such result; the message names the place in it.
    """
    fields = read_json(path, "measurements of ngdnum").fields("experiment title command environment rows complete")
    experiment, title, command = (fields[name].text() for name in ("experiment", "title", "command"))
    return Measurements(
        experiment,
        title,
        command,
        fields["environment"].mapping(),
        [row.mapping() for row in fields["rows"].elements()],
        fields["complete"].flag(),
    )


def _text(value: object) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
