"""Figure 1 in the layout of the paper: A–D side by side, by examples above and by seconds below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import torch

from .data import Problem
from .figures import GUIDE, INK, STYLE, Line, Picture, name_curves
from .results import Result

METHODS = {"SGD": "SGD", "NGD.paper": "NGD"}
AXES = {"samples": "thousand examples", "seconds": "seconds"}


def figure1(panels: Mapping[str, Sequence[Result]], scales: Mapping[str, float]) -> Picture:
    """Test errors of SGD and of the paper's rule, one column for each of `panels`, a curve for each seed.

    Errors are multiplied by the panel's entry in `scales`, if there is one, and then drawn on a linear axis; without,
    on a logarithmic one, where the smallest achievable error is dashed. Curves are named in the first panel.
    """
    with matplotlib.rc_context({**STYLE, "font.size": 10}):
        figure = Picture(figsize=(9.0, 4.6), layout="constrained")
        grid = figure.subplots(2, len(panels), squeeze=False)
        for row, column in zip(grid, AXES):
            for axes, (title, results) in zip(row, panels.items()):
                scale = scales.get(title)
                for result in results:
                    for method, name in METHODS.items():
                        curve = result.curve(method)
                        x = [value / (1_000 if column == "samples" else 1) for value in getattr(curve, column)]
                        y = [error * (scale or 1.0) for error in curve.test_error]
                        named = axes is row[0] and result is results[0]
                        Line(name if named else None, x, y, name, width=1.6).draw(axes)
                if scale is None:
                    axes.set_yscale("log")
                    if results[0].floor is not None:
                        axes.axhline(results[0].floor, color=INK, linestyle=GUIDE, linewidth=1.2)
                else:
                    axes.set_ylim(0.0, 0.5)
                axes.set_xlabel(AXES[column])
                axes.set_xlim(left=0)
                if column == "samples":
                    axes.set_title(title, loc="left", weight="bold")
            row[0].set_ylabel("test error per output")
        for title, axes in zip(panels, grid[0]):
            if title in scales:
                axes.set_ylabel("variance left")
        name_curves([row[0] for row in grid])
    return figure


def least_squares_error(problem: Problem, count: int, rank: int | None = None) -> float:
    """Test error per output of the best linear map for the first `count` training examples, of `rank` if there is one.

    With normal noise of the same size on all outputs it is what the examples say about the map: least squares, or for
    a bottleneck reduced-rank regression, which cuts the fitted outputs to their leading singular directions.

    Examples
    --------
    >>> from ngdnum.data import linear_teacher
    >>> problem = linear_teacher((4, 4), train=100, noise=1e-4)
    >>> least_squares_error(problem, 100) < 1.2 * problem.floor < 10 * least_squares_error(problem, 5)
    True
    """
    x, y = problem.train.x[:count], problem.train.y[:count]
    W = torch.linalg.lstsq(x, y).solution
    if rank is not None:
        directions = torch.linalg.svd(x @ W, full_matrices=False).Vh[:rank]
        W = W @ directions.mT @ directions
    return float((problem.test.x @ W - problem.test.y).square().mean())
