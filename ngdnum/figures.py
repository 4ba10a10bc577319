"""Figures of results, in one style: colour-blind-safe, on light and on dark pages alike."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .results import Result, median

INK = "#757575"  # text and axes: contrast ≥ 4.3 : 1 on white and on #121212, no grey does better on both
COLOURS = {"NGD": "#d55e00", "SGD": "#2c7fb8"}  # vermilion and blue differ for every kind of colour vision
OTHER_COLOURS = ("#a05fb4", "#1a936f", "#9c7a00", "#c2568b")
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_AXES = {"samples": "training examples seen", "seconds": "training time [s]"}
STYLE = {
    "font.size": 12, "svg.fonttype": "path",
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 2.2,
}


class Picture(Figure):
    """A figure that a notebook shows as SVG, without pyplot and its global state."""

    def _repr_svg_(self) -> str:
        svg = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(svg, format="svg", metadata={"Date": None})
        return svg.getvalue()


def curves_figure(result: Result) -> Picture:
    """Test error of every method against samples (left) and against training seconds (right), log scale.

    The dashed line is the smallest achievable error, where it is known.

    Raises
    ------
    ValueError : the result has no point to draw.
    """
    if not any(curve.samples for curve in result.curves):
        raise ValueError(f"the result of {result.experiment} has no curves yet: nothing to draw")
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(9.0, 4.0), layout="constrained")
        by_samples, by_seconds = figure.subplots(1, 2, sharey=True)
        for axes, column in ((by_samples, "samples"), (by_seconds, "seconds")):
            axes.set_yscale("log")
            for style, curve in zip(_styles(curve.method for curve in result.curves), result.curves):
                axes.plot(getattr(curve, column), curve.test_error, label=curve.method, **style)
            if result.floor is not None:
                axes.axhline(result.floor, color=INK, linestyle=(0, (3, 2)), linewidth=1.4)
            axes.set_xlim(left=0)
            _label_lines(axes)
        by_samples.set(xlabel="training examples seen", ylabel="test error per output")
        by_samples.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
        by_seconds.set_xlabel("training time [s]")
        if result.floor is not None:
            by_samples.annotate("smallest achievable", (0.02, result.floor), ha="left", va="bottom",
                                xycoords=by_samples.get_yaxis_transform(), xytext=(0, 2),
                                textcoords="offset points", fontsize=10)
    return figure


def curves_description(result: Result) -> str:
    """The figure in words, for those who cannot see it.

    Examples
    --------
    >>> from ngdnum.results import Curve
    >>> curves_description(Result("mine", "Mine", 0, "", {}, floor=0.5, curves=[
    ...     Curve("SGD", {}, [0, 20], [0.0, 0.25], [3.0, 1.0])]))
    'Mine: test error per output on a logarithmic scale against training examples and against seconds.
    SGD falls from 3 to 1 within 20 examples and 0.25 seconds. The smallest achievable error is 0.5.'
    """
    sentences = [f"{result.title}: test error per output on a logarithmic scale against training examples "
                 "and against seconds."]
    for curve in result.curves:
        if curve.samples:
            first, last = curve.test_error[0], curve.test_error[-1]
            verb = "falls" if last < first else "goes"
            sentences.append(f"{curve.method} {verb} from {first:.3g} to {last:.3g} "
                             f"within {curve.samples[-1]:,} examples and {curve.seconds[-1]:.3g} seconds.")
    if result.floor is not None:
        sentences.append(f"The smallest achievable error is {result.floor:.3g}.")
    return " ".join(sentences)


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
    methods, targets = report["methods"][::-1], report["targets"]
    seeds = len(report["seeds"])
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(9.0, 1.2 + 0.36 * len(methods)), layout="constrained")
        panels = figure.subplots(1, len(targets), sharey=True, sharex=True, squeeze=False)[0]
        for panel, target in zip(panels, targets):
            panel.set(xscale="log", title=f"error {target}", xlabel=_AXES[axis])
            panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
            panel.xaxis.set_minor_formatter(NullFormatter())
            for row, method in enumerate(methods):
                costs = [cost for cost in method[f"{axis}_to"][target] if cost is not None]
                colour = COLOURS["NGD" if method["name"].startswith("NGD") else "SGD"]
                panel.plot(costs, [row] * len(costs), "o", color=colour, alpha=0.6)
                middle = median(method[f"{axis}_to"][target])
                if math.isfinite(middle):
                    panel.plot([middle], [row], "|", color=colour, markersize=16, markeredgewidth=2.2)
                if len(costs) < seeds:
                    panel.text(0.99, row, f"{seeds - len(costs)} of {seeds} did not", fontsize=9, va="center",
                               ha="right", transform=panel.get_yaxis_transform())
        panels[0].set_yticks(range(len(methods)), [method["name"] for method in methods])
        left, right = panels[0].get_xlim()
        ticks = LogLocator(subs=(1, 3) if right < 30 * left else (1,)).tick_values(left, right)
        panels[0].set_xticks([tick for tick in ticks if left <= tick <= right])
        panels[0].set_xlim(left, right * (right / left) ** 0.8)
        panels[0].set_ylim(-0.6, len(methods) - 0.4)
    return figure


def _styles(methods: Iterable[str]) -> list[dict[str, object]]:
    """A colour and a dash pattern for each method; the same colour for the same name in every figure."""
    spare = iter(OTHER_COLOURS * 3)
    return [{"color": COLOURS.get(method) or next(spare), "linestyle": DASHES[i % len(DASHES)]}
            for i, method in enumerate(methods)]


def _label_lines(axes: Axes) -> None:
    """Write each line's name above its end, in its colour; a name that would cover another goes above it."""
    right, height = axes.get_xlim()[1], 72 / axes.figure.dpi  # points per pixel
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_") and len(line.get_xdata())]
    taken = -float("inf")
    for line in sorted(lines, key=lambda line: line.get_ydata()[-1]):
        end = line.get_xdata()[-1], line.get_ydata()[-1]
        late = end[0] > 0.5 * right
        y = axes.transData.transform(end)[1] * height
        taken = max(y + 5, taken + 14)
        axes.annotate(str(line.get_label()), end, xytext=(-2 if late else 5, taken - y),
                      textcoords="offset points", ha="right" if late else "left", va="bottom",
                      color=line.get_color(), weight="bold")
