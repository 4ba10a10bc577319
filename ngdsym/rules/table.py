"""A small table that reads well in a terminal and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from sympy import Add, Basic, sstr

from ngdsym.algebra.tex import tex

LONG = 4  # terms


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of text, or of SymPy expressions, which a notebook shows as formulas; `repr` and `str` align the columns.

    Examples
    --------
    >>> Table(["rule", "exact"], [["sgd", "no"], ["natural", "yes"]])
    rule     exact
    -------  -----
    sgd      no
    natural  yes
    """

    header: list[str]
    rows: list[list[str | Basic]]

    def columns(self, *numbers: int) -> Table:
        """The table with these columns only, counted from 0."""
        return Table([self.header[k] for k in numbers], [[row[k] for k in numbers] for row in self.rows])

    def __repr__(self) -> str:
        texts = [[cell if isinstance(cell, str) else sstr(cell) for cell in row] for row in self.rows]
        rows = [self.header, *texts]
        widths = [max(map(len, column)) for column in zip(*rows)]
        rows.insert(1, ["-" * width for width in widths])
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _repr_html_(self) -> str:
        def formula(cell: Basic) -> str:
            return " ".join(rf'<span class="math">\({escape(part)}\)</span>' for part in _parts(cell))

        def line(cells: list[str | Basic], tag: str) -> str:
            texts = (escape(cell) if isinstance(cell, str) else formula(cell) for cell in cells)
            return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

        body = "\n".join(line(row, "td") for row in self.rows)
        return f"<table>\n<thead>{line(self.header, 'th')}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _parts(cell: Basic) -> list[str]:
    """The expression in LaTeX, of a long sum each term by itself, so that a line can end between them."""
    if not (isinstance(cell, Add) and len(cell.args) > LONG):
        return [tex(cell)]
    first, *others = (tex(term) for term in cell.as_ordered_terms())
    return [first, *("{} " + (term if term.startswith("-") else f"+ {term}") for term in others)]
