"""Figure 1 in the paper's layout, and how few examples a regression needs."""

from __future__ import annotations

import pytest
import torch

from ngdnum.data import linear_teacher
from ngdnum.figure1 import figure1, least_squares_error
from ngdnum.results import Curve, Result


def result(floor: float | None) -> Result:
    curves = [
        Curve("SGD", {}, [0, 2_000], [0.0, 4.0], [8.0, 4.0]),
        Curve("NGD.paper", {}, [0, 1_000], [0.0, 1.0], [8.0, 2.0]),
    ]
    return Result("mine", "Mine", 0, "", {}, floor=floor, curves=curves)


def test_errors_are_drawn_by_examples_above_and_by_seconds_below() -> None:
    figure = figure1({"A": [result(1.0)], "D": [result(None)]}, scales={"D": 0.1})
    above, scaled, below, _ = figure.axes
    assert above.get_yscale() == below.get_yscale() == "log" and scaled.get_yscale() == "linear"
    sgd, ngd, floor = above.get_lines()
    assert list(sgd.get_xdata()) == [0, 2] and list(ngd.get_ydata()) == [8, 2] and set(floor.get_ydata()) == {1.0}
    assert list(below.get_lines()[0].get_xdata()) == [0, 4]
    assert list(scaled.get_lines()[0].get_ydata()) == pytest.approx([0.8, 0.4])
    assert {text.get_text() for text in above.texts} == {"SGD", "NGD"}


def test_least_squares_pays_for_each_dimension_once() -> None:
    """The excess over the floor is n/(m − n − 1) of it, in the mean over normal inputs."""
    excess = []
    for seed in range(20):
        problem = linear_teacher((6, 6), seed, noise=1e-2)
        excess.append(least_squares_error(problem, 37) / problem.floor - 1)
    assert sum(excess) / len(excess) == pytest.approx(6 / 30, rel=0.25)


def test_a_map_of_low_rank_needs_fewer_examples() -> None:
    problem = linear_teacher((10, 1, 10), 0, noise=1e-2)
    assert least_squares_error(problem, 30, rank=1) < least_squares_error(problem, 30)
    full, cut = (least_squares_error(problem, 10_000, rank) for rank in (None, 1))
    assert cut == pytest.approx(full, rel=0.01) and torch.isfinite(torch.tensor(cut))
