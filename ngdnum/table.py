"""Numbers side by side: aligned in a terminal, a table in a notebook and in the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

MANY = 1000
"""From here on numbers are written out, with commas."""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows below a header; `repr` and `str` align the columns, a notebook shows HTML.

    Columns of numbers are aligned right.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __repr__(self) -> str:
        texts = [list(self.header), *([text(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*texts)]
        right = self._numbers()
        return "\n".join(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width) for cell, width, number in zip(row, widths, right)
            ).rstrip()
            for row in texts
        )

    def _repr_html_(self) -> str:
        right = self._numbers()

        def line(cells: Sequence[object], tag: str) -> str:
            return "".join(
                f'<{tag} style="text-align: {"right" if number else "left"}">{escape(text(cell))}</{tag}>'
                for cell, number in zip(cells, right)
            )

        body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return f"<table>\n<thead><tr>{line(self.header, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"

    def _numbers(self) -> list[bool]:
        """For each column whether there is no text in it."""
        return [not any(isinstance(cell, str) and cell for cell in column) for column in zip(*self.rows)]


def table(cells: Mapping[object, object], *header: str) -> Table:
    """A row for each of `cells`: its key, or the parts of a key that is a tuple, and then its value or values.

    `header` names the columns, from the left; where the values are mappings, their keys name the others.

    Raises
    ------
    ValueError : there are no cells, or the rows have not as many columns as have names.

    Examples
    --------
    >>> table({("SGD", 0): 1200, ("NGD", 0): None}, "method", "seed", "examples")
    method  seed  examples
    SGD        0     1,200
    NGD        0         –
    >>> table({"SGD": {"lr": 0.08}, "NGD": {"lr": 1.0, "K": 1}}, "method")
    method    lr  K
    SGD     0.08
    NGD        1  1
    """
    names = dict.fromkeys(name for value in cells.values() if isinstance(value, Mapping) for name in value)
    rows = []
    for key, value in cells.items():
        if isinstance(value, Mapping):
            values: list[object] = [value.get(name, "") for name in names]
        else:
            values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else [*value]
        rows.append([*(key if isinstance(key, tuple) else (key,)), *values])
    titles = [*header, *map(str, names)]
    if {len(row) for row in rows} != {len(titles)}:
        raise ValueError(f"columns {titles} for rows of {sorted({len(row) for row in rows})} cells")
    return Table(titles, rows)


def text(value: object) -> str:
    """A number as one reads it, with three digits or all before the point; – for none.

    Examples
    --------
    >>> [text(value) for value in (None, 45678.9, 12000, 0.12345, 1e-7, float("inf"), "all")]
    ['–', '45,679', '12,000', '0.123', '1e-07', '∞', 'all']
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if MANY <= abs(value) < MANY**2 else f"{value:.3g}".replace("inf", "∞")
    return str(value)
