"""What a benchmark found, as dots: a panel for each target or time, a row for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator, NullFormatter

from .figures import AXES, COLOURS, STYLE, Picture
from .results import median

TICKS = 5  # of a logarithmic axis at most


def costs_figure(report: Mapping[str, Any], axis: str) -> Picture:
    """What each method spends until it reaches the targets of a benchmark, one panel each, log scale.

    A dot for each seed and a bar at their median; where seeds did not get there, the panel says how many.

    Parameters
    ----------
    report : mapping
        What `python -m ngdnum bench TASK --json` prints.
    axis : {"samples", "seconds"}
        What is counted.
    """
    counted = {
        f"error {target}": {m["name"]: m[f"{axis}_to"][target] for m in report["methods"]}
        for target in report["targets"]
    }
    return _dots_figure(counted, AXES[axis], "did not")


def errors_figure(report: Mapping[str, Any]) -> Picture:
    """Test errors of each method after parts of the longest budget, one panel each, log scale.

    A dot for each seed and a bar at their median; where runs diverged, the panel says how many.

    Parameters
    ----------
    report : mapping
        What `python -m ngdnum bench TASK --json` prints.
    """
    last, methods = report["budgets"][-1], report["methods"]
    parts = {
        f"after {part} of {last}": {m["name"]: m["error_on_the_way"][part] for m in methods}
        for part in methods[0]["error_on_the_way"]
    }
    parts[f"after {last}"] = {m["name"]: m["error_at"][last] for m in methods}
    figure = _dots_figure(parts, report["measure"], "diverged")
    for axes in (figure.axes[0], figure.axes[-1]):  # a measure may be long: it stands once, in the middle
        axes.set_xlabel("")
    return figure


def _dots_figure(panels: Mapping[str, Mapping[str, Sequence[float | None]]], xlabel: str, missing: str) -> Picture:
    """Panels by title side by side, in each a row of dots for each method, None: not there; a bar at the median."""
    names = list(next(iter(panels.values())))[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(9.0, 1.2 + 0.36 * len(names)), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
        for panel, (title, values) in zip(all_axes, panels.items()):
            panel.set(xscale="log", title=title, xlabel=xlabel)
            panel.xaxis.set_major_formatter(lambda value, _: _number(value))
            panel.xaxis.set_minor_formatter(NullFormatter())
            for row, name in enumerate(names):
                there = [value for value in values[name] if value is not None]
                colour = COLOURS["NGD" if name.startswith("NGD") else "SGD"]
                panel.plot(there, [row] * len(there), "o", color=colour, alpha=0.6)
                middle = median(values[name])
                if math.isfinite(middle):
                    panel.plot([middle], [row], "|", color=colour, markersize=16, markeredgewidth=2.2)
                if len(there) < len(values[name]):
                    panel.text(
                        0.99,
                        row,
                        f"{len(values[name]) - len(there)} of {len(values[name])} {missing}",
                        fontsize=9,
                        va="center",
                        ha="right",
                        transform=panel.get_yaxis_transform(),
                    )
        all_axes[0].set_yticks(range(len(names)), names)
        left, right = all_axes[0].get_xlim()
        end = right * (right / left) ** 0.8 if any(panel.texts for panel in all_axes) else right
        all_axes[0].set_xticks(_ticks(left, right, end))
        all_axes[0].set_xlim(left, end)
        all_axes[0].set_ylim(-0.6, len(names) - 0.4)
    return figure


def _ticks(left: float, right: float, end: float) -> list[float]:
    """A few round numbers between left and right of a logarithmic axis that goes on to its `end`."""
    powers = 10.0 ** np.arange(math.floor(math.log10(left)), math.ceil(math.log10(right)))
    candidates = ([d * power for power in powers for d in digits] for digits in ((1,), (1, 3), (1, 2, 5)))
    inside = [
        [tick for tick in ticks if left <= tick <= right]
        for ticks in (*candidates, MaxNLocator(3).tick_values(left, right))
    ]
    ticks = next((ticks for ticks in inside if len(ticks) >= 3), inside[-1])
    most = TICKS * math.log(right / left) / math.log(end / left)
    return ticks[:: math.ceil(len(ticks) / most)]


def _number(value: float) -> str:
    """A tick: 2k, 5, 0.01, 10⁻⁶."""
    if value >= 1_000:
        return f"{value / 1_000:g}k"
    return f"{value:g}" if value >= 1e-3 else f"$10^{{{math.log10(value):.0f}}}$"
