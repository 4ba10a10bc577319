"""Progress bars, and sentences beside them, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .extra import check_installed

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """A bar that grows, with a note behind it; nothing is shown without a `display`."""

    def __init__(self, name: str, total: float, display: Progress | None) -> None:
        self.display = display
        self._task = None if display is None else display.add_task(name, total=total, note="")

    def advance(self, amount: float) -> None:
        """Let the bar grow."""
        if self.display is not None and self._task is not None:
            self.display.advance(self._task, amount)

    def note(self, text: str) -> None:
        """Write `text` behind the bar."""
        if self.display is not None and self._task is not None:
            self.display.update(self._task, note=text)


class Bars:
    """Bars one below the other; nothing is shown without a `display`."""

    def __init__(self, display: Progress | None = None) -> None:
        self.display = display

    def add(self, name: str, total: float = 1.0) -> Bar:
        """A new bar."""
        return Bar(name, total, self.display)

    def say(self, text: str) -> None:
        """Print a sentence above the bars."""
        if self.display is not None:
            self.display.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress_bars(shown: bool) -> Iterator[Bars]:
    """Bars with a note, on standard error.

    Raises
    ------
    ModuleNotFoundError : rich is not installed; the message says how to install it.
    """
    if not shown:
        yield Bars()
        return
    check_installed("rich", "progress bars need rich", "or leave them out with progress=False")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    name = Column(min_width=27, no_wrap=True)  # of the longest name, which is not what may be cut
    columns = (
        TextColumn("{task.description}", table_column=name),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        yield Bars(display)
