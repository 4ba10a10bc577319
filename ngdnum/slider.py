"""Figures that answer a question "what if": one picture for each value, and a slider that chooses among them."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

from .figures import Picture

_CHOOSE = (
    "const own = this.closest('figure'); own.querySelectorAll('img').forEach((p, i) => p.hidden = i != this.value); "
)
_SAY = "own.querySelector('output').value = this.getAttribute('data-values').split('|')[this.value]"


class Slider:
    """Pictures by the value of a quantity, one to be seen at a time.

    It is one piece of HTML, which needs no server and no file: in a notebook, in the book, and saved from either.

    Parameters
    ----------
    quantity : str
        What is chosen, as the slider is labelled.
    pictures : mapping of str to Picture
        The pictures by their values, in order; at least two.
    start : str, optional
        The value that is shown first; by default the first one.
    alt : str
        What is to be seen, for those who cannot see it; the value is added.

    Raises
    ------
    ValueError
        If there are less than two pictures, or none at `start`.

    Examples
    --------
    >>> from ngdnum.figures import Line, lines_figure
    >>> pictures = {f"{a}": lines_figure([Line("line", [0, 1], [0, a])]) for a in (1, 2, 3)}
    >>> slider = Slider("slope", pictures, alt="A line")
    >>> slider._repr_html_().count("<img")
    3
    """

    def __init__(self, quantity: str, pictures: Mapping[str, Picture], *, alt: str, start: str | None = None) -> None:
        start = next(iter(pictures), "") if start is None else start
        if len(pictures) < 2 or start not in pictures:
            raise ValueError(f"a slider needs two or more pictures, one of them at {start!r}; got {list(pictures)}")
        self.quantity, self.pictures, self.alt, self.start = quantity, dict(pictures), alt, start

    def __repr__(self) -> str:
        return f"Slider({self.quantity!r}, {len(self.pictures)} pictures)"

    def _repr_html_(self) -> str:
        values = list(self.pictures)
        chosen = values.index(self.start)
        images = "".join(
            f'<img alt="{html.escape(f"{self.alt}; {self.quantity} {value}", quote=True)}" '
            f'src="data:image/svg+xml;base64,{base64.b64encode(picture._repr_svg_().encode()).decode()}"'
            f"{'' if i == chosen else ' hidden'}>"
            for i, (value, picture) in enumerate(self.pictures.items())
        )
        return (
            f'<figure class="slider"><label>{html.escape(self.quantity)} <input type="range" min="0" '
            f'max="{len(values) - 1}" value="{chosen}" data-values="{html.escape("|".join(values), quote=True)}" '
            f'oninput="{html.escape(_CHOOSE + _SAY, quote=True)}"> <output>{html.escape(values[chosen])}</output>'
            f"</label>{images}</figure>"
        )
