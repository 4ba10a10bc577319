"""Figures in one style: colour-blind-safe, on light and on dark pages alike, every curve with its name beside it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("figures need matplotlib: pip install 'ngd[experiments]'") from error

from .labels import place_labels
from .results import Result

INK = "#757575"  # text and axes: contrast ≥ 4.3 : 1 on white and on #121212, no grey does better on both
COLOURS = {"NGD": "#d55e00", "SGD": "#2c7fb8"}  # vermilion and blue differ for every kind of colour vision
OTHER_COLOURS = ("#a05fb4", "#1a936f", "#9c7a00", "#c2568b")
OWN = {
    "NGD.fast": COLOURS["NGD"],
    "SGD": COLOURS["SGD"],
    "NGD.paper": OTHER_COLOURS[0],
    "NGD.exact": OTHER_COLOURS[1],
    "SGD with momentum": OTHER_COLOURS[2],
}  # the same colour for the same method in every figure
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
GUIDE: Any = (0, (3, 2))  # dashes of lines that are no curve
AXES = {"samples": "training examples seen", "seconds": "training time [s]"}
STYLE: Any = {
    "font.size": 12,
    "svg.fonttype": "path",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.2,
}


class Picture(Figure):
    """A figure that a notebook shows as SVG, without pyplot and its global state."""

    def _repr_svg_(self) -> str:
        svg = io.StringIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(svg, format="svg", metadata={"Date": None})
        return svg.getvalue()


@dataclass(frozen=True)
class Line:
    """A curve: its name, its points, its colour (a key of `COLOURS`, "ink", or any of matplotlib) and its dashes.

    Lines without a name belong to the one before. `marker` as in matplotlib.
    """

    name: str | None
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    colour: str = "ink"
    dash: Any = "solid"
    marker: str = ""
    width: float = 2.2

    def draw(self, axes: Axes) -> None:
        """Add the curve to `axes`."""
        colour = {**COLOURS, "ink": INK}.get(self.colour, self.colour)
        axes.plot(
            self.x,
            self.y,
            color=colour,
            linestyle=self.dash,
            marker=self.marker,
            linewidth=self.width,
            markersize=4,
            label=self.name or "_",
        )


def lines_figure(lines: Iterable[Line], *, size: tuple[float, float] = (6.0, 3.6), **options: Any) -> Picture:
    """Curves in one panel, each named beside it; `options` are those of `Axes.set`: `xlabel`, `yscale` and so on."""
    return panels_figure([lines], size=size, options=[options])


def panels_figure(
    panels: Iterable[Iterable[Line]], *, size: tuple[float, float], options: Sequence[Mapping[str, Any]]
) -> Picture:
    """Panels of curves side by side, with common axes; names stand in each panel that has some."""
    panels = [list(lines) for lines in panels]
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, lines, chosen in zip(all_axes, panels, options, strict=True):
            for line in lines:
                line.draw(axes)
            axes.set(**chosen)
        name_curves(all_axes)
    return figure


def name_curves(panels: Sequence[Axes]) -> None:
    """Names beside all curves of these panels; a warning for those that cross something, for want of room."""
    if crossing := place_labels(panels):
        warnings.warn(
            f"no room for the names {', '.join(crossing)}: a larger figure or wider limits of its axes give some",
            stacklevel=3,
        )


def bars_figure(
    panels: Sequence[Mapping[str, float]],
    *,
    size: tuple[float, float],
    options: Sequence[Mapping[str, Any]],
    ours: Container[str],
    points: Mapping[str, Sequence[float]] | None = None,
    labels: str | None = None,
) -> Picture:
    """Horizontal bars by name, the first on top; those among `ours` in the colour of NGD.

    `points` are drawn below the bars, `labels` is the format of numbers at their ends.
    """
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, values, chosen in zip(all_axes, panels, options, strict=True):
            names = list(values)[::-1]
            bars = axes.barh(
                names,
                [values[name] for name in names],
                height=0.55,
                color=[COLOURS["NGD" if name in ours else "SGD"] for name in names],
            )
            for name, spread in (points or {}).items():
                axes.plot(spread, [names.index(name) - 0.42] * len(spread), ".", color=INK)
            if labels:
                axes.bar_label(bars, fmt=labels, padding=3)
            axes.set(**chosen)
    return figure


def curves_figure(result: Result) -> Picture:
    """Test error of every method against samples (left) and against training seconds (right), log scale.

    The dashed line is the smallest achievable error, where it is known.

    Raises
    ------
    ValueError : the result has no point to draw.
    """
    if not any(curve.samples for curve in result.curves):
        raise ValueError(f"the result of {result.experiment} has no curves yet: nothing to draw")
    styles = list(zip(_styles(curve.method for curve in result.curves), result.curves))
    with matplotlib.rc_context(STYLE):
        figure = Picture(figsize=(9.0, 4.0), layout="constrained")
        by_samples, by_seconds = figure.subplots(1, 2, sharey=True)
        for axes, column in ((by_samples, "samples"), (by_seconds, "seconds")):
            axes.set_yscale("log")
            for style, curve in styles:
                Line(curve.method, getattr(curve, column), curve.test_error, *style).draw(axes)
            if result.floor is not None:
                axes.axhline(result.floor, color=INK, linestyle=GUIDE, linewidth=1.4)
            axes.set(xlabel=AXES[column])
            axes.set_xlim(left=0)
        by_samples.set_ylabel("test error per output")
        by_samples.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
        if result.floor is not None:
            bottom, top = by_samples.get_ylim()
            by_samples.set_ylim(bottom * (bottom / top) ** 0.08, top)  # no curve is below the floor, its name is
            text = by_samples.annotate(
                "smallest achievable",
                (0.98, result.floor),
                ha="right",
                va="top",
                xycoords=by_samples.get_yaxis_transform(),
                xytext=(0, -2),
                textcoords="offset points",
                fontsize=10,
            )
            text.set_in_layout(False)
        place_labels((by_samples, by_seconds))
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
    sentences = [
        f"{result.title}: test error per output on a logarithmic scale against training examples and against seconds."
    ]
    for curve in result.curves:
        if curve.samples:
            first, last = curve.test_error[0], curve.test_error[-1]
            verb = "falls" if last < first else "goes"
            sentences.append(
                f"{curve.method} {verb} from {first:.3g} to {last:.3g} "
                f"within {curve.samples[-1]:,} examples and {curve.seconds[-1]:.3g} seconds."
            )
    if result.floor is not None:
        sentences.append(f"The smallest achievable error is {result.floor:.3g}.")
    return " ".join(sentences)


def _styles(methods: Iterable[str]) -> list[tuple[str, Any]]:
    """A colour and a dash pattern for each method."""
    spare = iter((OTHER_COLOURS[3], INK) * 9)
    return [(OWN.get(method) or next(spare), DASHES[i % len(DASHES)]) for i, method in enumerate(methods)]
