"""Names beside curves, where they cross no curve and no other name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

GAP = 4.0  # points between a curve and its name
STEP = 3.0  # pixels between the points at which a curve is looked at
PLACES = np.linspace(1.0, 0.0, 41)  # along a curve, from its end
GAPS = (1, 3, 6, 12, 24)  # distances from the curve that are tried


def place_labels(panels: Sequence[Axes]) -> list[str]:
    """Write the name of each line of a figure's `panels` beside it, in its colour; return those without room.

    Of all places above and below the curve, from its end to its beginning, the nearest is taken at which the name
    crosses no curve, no other text and no edge of the panel; if there is none, the one that crosses least.
    """
    figure = panels[0].get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # now it is known where everything is
    return [name for axes in panels for name in _name_lines(axes)]


def _name_lines(axes: Axes) -> list[str]:
    paths = {line: _pixels(line) for line in axes.get_lines() if len(np.atleast_1d(line.get_xdata()))}
    everything = np.concatenate(list(paths.values())) if paths else np.empty((0, 2))
    taken = [text.get_window_extent() for text in axes.texts if text.get_text()]
    crossing = []
    for line, path in paths.items():
        name = str(line.get_label())
        if not name.startswith("_"):
            box, crossed = _place(axes, line, name, path, everything, taken)
            taken.append(box)
            crossing += [name] * crossed
    return crossing


def _place(
    axes: Axes, line: Line2D, name: str, path: np.ndarray, everything: np.ndarray, taken: list[Bbox]
) -> tuple[Bbox, bool]:
    """Where the name of this line stands now, and whether it crosses anything there."""
    label = axes.text(
        0, 0, name, transform=axes.transAxes, color=line.get_color(), weight="bold", ha="left", va="bottom"
    )
    figure = axes.get_figure(root=True)
    assert figure is not None
    dpi = figure.dpi
    label.set_in_layout(False)
    size = label.get_window_extent()
    inside = axes.get_window_extent()
    best, least = (inside.x0, inside.y0), np.inf
    for distance, at in product(GAPS, PLACES):
        gap = distance * GAP * dpi / 72
        x, y = path[round(at * (len(path) - 1))]
        for left in (x - size.width / 2, x - size.width - gap, x + gap):
            for bottom in (y + gap, y - gap - size.height, y - size.height / 2):
                box = Bbox.from_bounds(left, bottom, size.width, size.height)
                cost = _crossings(box, everything, taken, inside)
                if cost < least:
                    best, least = (left, bottom), cost
        if least == 0:
            break
    x, y = axes.transAxes.inverted().transform(best)
    label.set_position((float(x), float(y)))
    return Bbox.from_bounds(best[0], best[1], size.width, size.height), bool(least > 0)


def _crossings(box: Bbox, points: np.ndarray, taken: list[Bbox], inside: Bbox) -> float:
    """How many points of curves lie in the box; other names and the edge count as many more."""
    x, y = points.T
    hit = (x > box.x0 - 1) & (x < box.x1 + 1) & (y > box.y0 - 1) & (y < box.y1 + 1)
    beyond = not (box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0 and box.y1 <= inside.y1)
    return float(hit.sum()) + 1e3 * sum(box.padded(GAP).overlaps(other) for other in taken) + 1e4 * beyond


def _pixels(line: Line2D) -> np.ndarray:
    """The curve in pixels, with no gap wider than `STEP`."""
    corners = line.get_transform().transform(np.column_stack(np.broadcast_arrays(*line.get_data())).astype(float))
    corners = corners[np.isfinite(corners).all(1)]
    if len(corners) < 2:
        return corners
    counts = np.ceil(np.hypot(*np.diff(corners, axis=0).T) / STEP).astype(int).clip(1, 2_000)
    pieces = [np.linspace(a, b, count, endpoint=False) for a, b, count in zip(corners, corners[1:], counts)]
    return np.concatenate([*pieces, corners[-1:]])
