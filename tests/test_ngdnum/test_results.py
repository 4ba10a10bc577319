"""Results survive the way to disk and back, are written whole or not at all, and name no path."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise

import matplotlib.colors as colors
import numpy as np
import pytest

from ngdnum import dots, figures
from ngdnum.recorded import FOLDER
from ngdnum.results import Curve, Result, environment, load, median, write_atomically


@pytest.fixture
def result() -> Result:
    curves = [
        Curve("SGD", {"lr": 0.1, "batch_size": 20}, [0, 20, 40], [0.0, 0.5, 1.0], [2.0, 1.0, 0.5]),
        Curve("NGD.paper", {"lr": 1.0}, [0, 1000], [0.0, 0.7], [2.0, 0.125]),
    ]
    return Result(
        "fig1a",
        "A figure",
        3,
        "python -m ngdnum run fig1a --seed 3",
        {"samples": 40, "seconds": None},
        {"kind": "test"},
        0.1,
        curves,
        environment(),
        complete=True,
    )


def test_round_trip(tmp_path, result):
    result.save(tmp_path / "new" / "folder" / "result.json")
    assert load(tmp_path / "new" / "folder" / "result.json") == result


def test_json_has_the_promised_keys(result):
    fields = json.loads(result.to_json())
    assert {"experiment", "seed", "floor", "curves", "environment", "complete"} <= set(fields)
    assert {"method", "settings", "samples", "seconds", "test_error"} <= set(fields["curves"][0])


def test_numbers_json_does_not_know_are_refused(result):
    result.curves[0].test_error[1] = math.nan
    with pytest.raises(ValueError):
        result.to_json()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"curves": [{"samples": []}]}', '{"curves": [], "x": 1}', "\xff", "[" * 100_000]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="other.json' is not a result of ngdnum"):
        load(tmp_path / "other.json")


@pytest.mark.what_if(
    "data and results", "a result has NaN for a number", "ValueError with file and reason: “NaN is no number”"
)
@pytest.mark.what_if(
    "data and results",
    "a result has text for a number",
    "ValueError with file and place: “curves[0].test_error[1] must be a number, not '1.0'”",
)
@pytest.mark.what_if(
    "data and results",
    "columns of a result differ in length",
    "ValueError with file and place: “curves[0].seconds has 2 entries, samples 3”",
)
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("curves.0.test_error.1", math.nan, "NaN is no number"),
        ("floor", math.inf, "Infinity is no number"),
        ("curves.0.test_error.1", "1.0", r"curves\[0\].test_error\[1\] must be a number, not '1.0'"),
        ("curves.1.seconds.0", None, r"curves\[1\].seconds\[0\] must be a number"),
        ("curves.0.samples.2", 40.5, r"curves\[0\].samples\[2\] must be a whole number"),
        ("curves.0.samples.2", -1, r"curves\[0\].samples\[2\] must be a whole number"),
        ("curves.0.seconds", [0.0, 0.5], r"curves\[0\].seconds has 2 entries, samples 3"),
        ("curves.0.test_error", [2.0], r"curves\[0\].test_error has 1 entries, samples 3"),
        ("curves.1.diverged", 0, r"curves\[1\].diverged must be true or false, not 0"),
        ("curves.0.settings.lr", True, r"curves\[0\].settings.lr must be a number"),
        ("curves.0.extra", 1, r"curves\[0\] has an unknown entry 'extra'"),
        ("curves", {}, "curves must be a list"),
        ("seed", "3", "seed must be a whole number"),
        ("complete", None, "complete must be true or false"),
        ("budget.samples", "40", "budget.samples must be a number"),
    ],
)
def test_damaged_results_are_refused_with_file_and_place(tmp_path, result, place, value, message):
    content = json.loads(result.to_json())
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    inner = content
    for part in way:
        inner = inner[part]
    inner[last] = value
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"bad.json' is not a result of ngdnum: {message}"):
        load(tmp_path / "bad.json")


def test_the_median_is_the_mean_of_the_middle_two():
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5 and median([None, 1.0, None]) == math.inf
    assert median([2.0, None, 1.0]) == 2.0 and math.isnan(median([]))


def write(path, text: str) -> None:
    with write_atomically(path) as file:
        file.write(text.encode())


@pytest.mark.what_if(
    "data and results", "writing a result fails half way", "the old file stays, and nothing lies beside it"
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]
    write(path, "new")
    assert path.read_text() == "new"


def test_what_lies_beside_a_file_for_a_moment_has_a_name_that_can_be(tmp_path):
    write(tmp_path / ("n" * 255), "new")
    write(tmp_path / ("数" * 85), "new")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["new", "new"]


def test_first_crossing(result):
    curve = result.curve("SGD")
    assert curve.samples_to(1.0) == 20 and curve.seconds_to(0.6) == 1.0
    assert curve.samples_to(0.1) is None and curve.seconds_to(0.1) is None
    with pytest.raises(KeyError, match="SGD"):
        result.curve("Adam")


def test_trim_drops_half_a_point(result):
    curve = result.curve("NGD.paper")
    curve.samples.append(2000)
    curve.trim()
    assert (curve.samples, curve.seconds, curve.test_error) == ([0, 1000], [0.0, 0.7], [2.0, 0.125])


def test_environment_names_versions_threads_processor_but_no_path():
    found = environment()
    assert {"ngd", "python", "torch", "threads", "processor", "system"} <= set(found)
    assert found["processor"]
    assert not any("/" in str(value) or os.uname().nodename == value for value in found.values())


def luminance(colour: str) -> float:
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colors.to_rgb(colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])
def test_every_colour_is_readable_on_light_and_dark(background):
    assert contrast(figures.INK, background) >= 4.0
    for colour in (*figures.COLOURS.values(), *figures.OTHER_COLOURS):
        assert contrast(colour, background) >= 3.0, colour


def test_figure_shows_both_curves_twice_with_labels_and_floor(result):
    figure = figures.curves_figure(result)
    left, right = figure.axes
    for axes, column in ((left, "samples"), (right, "seconds")):
        drawn = {line.get_label(): line.get_data() for line in axes.get_lines()}
        for curve in result.curves:
            x, y = drawn[curve.method]
            assert list(x) == getattr(curve, column) and list(y) == curve.test_error
        assert {"SGD", "NGD.paper"} <= {text.get_text() for text in axes.texts}
        assert any(set(line.get_ydata()) == {0.1} for line in axes.get_lines())
    assert left.get_yscale() == "log" and "second" not in left.get_xlabel() and "time" in right.get_xlabel()


def test_nothing_to_draw_is_an_error(result):
    result.curves = []
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.curves_figure(result)


def test_costs_show_every_seed_their_median_and_who_did_not_arrive():
    report = {
        "targets": ["10", "8"],
        "seeds": [0, 1, 2],
        "methods": [
            {"name": "SGD", "seconds_to": {"10": [3.0, 1.0, 2.0], "8": [None, None, 9.0]}},
            {"name": "NGD.fast", "seconds_to": {"10": [0.5, 0.5, 0.5], "8": [1.0, None, 2.0]}},
        ],
    }
    ten, eight = dots.costs_figure(report, "seconds").axes
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in ten.get_lines()]
    assert drawn == [([0.5] * 3, [0] * 3), ([0.5], [0]), ([3.0, 1.0, 2.0], [1] * 3), ([2.0], [1])]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in eight.get_lines()]
    assert drawn == [([1.0, 2.0], [0, 0]), ([2.0], [0]), ([9.0], [1])]
    assert [text.get_text() for text in (*ten.texts, *eight.texts)] == ["1 of 3 did not", "2 of 3 did not"]
    assert [label.get_text() for label in ten.get_yticklabels()] == ["NGD.fast", "SGD"]
    assert ten.get_xlabel() == "training time [s]"


def test_errors_show_every_part_of_the_budget_and_who_diverged():
    report = {
        "budgets": ["1s", "4s"],
        "measure": "test loss, nats",
        "methods": [
            {
                "name": "SGD",
                "error_on_the_way": {"1/4": [3.0, 2.0], "1/2": [2.0, None]},
                "error_at": {"1s": [9.0, 9.0], "4s": [1.0, 1.0]},
            }
        ],
    }
    quarter, half, whole = dots.errors_figure(report).axes
    drawn = [[list(line.get_xdata()) for line in axes.get_lines()] for axes in (quarter, half, whole)]
    assert drawn == [[[3.0, 2.0], [2.5]], [[2.0]], [[1.0, 1.0], [1.0]]]
    assert [text.get_text() for text in half.texts] == ["1 of 2 diverged"] and not quarter.texts
    assert [axes.get_title() for axes in (quarter, whole)] == ["after 1/4 of 4s", "after 4s"]
    assert [axes.get_xlabel() for axes in (quarter, half, whole)] == ["", "test loss, nats", ""]


def test_names_cross_no_curve_and_no_other_name():
    """Curves that end together, one above the other, and that cross."""
    x = np.linspace(0, 1, 50)
    crowded = [
        figures.Line(name, x, y)
        for name, y in (
            ("constant", 1 + 0 * x),
            ("falling", 2 - x),
            ("rising", x),
            ("a long name", 1.02 + 0.02 * x),
            ("steep", np.exp(-5 * x)),
        )
    ]
    (axes,) = (figure := figures.lines_figure(crowded)).axes
    figure.draw_without_rendering()
    names = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert list(names) == [line.name for line in crowded]
    curves = {
        line.get_label(): line.get_transform().transform(
            np.column_stack([np.linspace(0, 1, 5_000), np.interp(np.linspace(0, 1, 5_000), *line.get_data())])
        )
        for line in axes.get_lines()
    }
    for name, box in names.items():
        assert not any(box.overlaps(other) for key, other in names.items() if key != name)
        for points in curves.values():
            assert not box.count_contains(points)
        assert axes.get_window_extent().count_contains(box.corners()) >= 1


def test_a_name_without_room_is_a_warning():
    """So that a page with such a figure fails to build."""
    zigzag = figures.Line("there is no room for this", np.arange(200), np.arange(200) % 2)
    with pytest.warns(UserWarning, match="no room for the names there is no room for this: a larger figure"):
        figures.lines_figure([zigzag])


@pytest.mark.parametrize("value", [0.9, 7.0])
def test_a_logarithmic_axis_has_at_least_two_ticks_and_no_more_than_five(value):
    for times in (1.4, 3, 8, 40, 1e4, 1e9):
        panels = [{"name": m, "samples_to": {"t": [e]}} for m, e in (("a", value), ("b", value * times))]
        (axes,) = dots.costs_figure({"targets": ["t"], "methods": panels}, "samples").axes
        ticks, (left, right) = axes.get_xticks(), axes.get_xlim()
        assert 2 <= len(ticks) <= 5 and all(left <= tick <= right for tick in ticks)


@pytest.mark.parametrize(
    "file", sorted(set(FOLDER.glob("bench-*.json")) - {FOLDER / "bench-step.json"}), ids=lambda file: file.stem
)
def test_numbers_at_an_axis_do_not_touch(file):
    """Also where the axis is longer, for the words on how many did not get there."""
    report = json.loads(file.read_text())
    for figure in (
        dots.costs_figure(report, "samples"),
        dots.costs_figure(report, "seconds"),
        dots.errors_figure(report),
    ):
        figure.draw_without_rendering()
        for panel in figure.axes:
            boxes = [label.get_window_extent() for label in panel.get_xticklabels() if label.get_text()]
            assert len(boxes) >= 2 and all(a.x1 + 4 < b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize("file", sorted(FOLDER.glob("figure1/fig1[abc]-*-seed[02].json")), ids=lambda file: file.stem)
def test_names_in_figures_of_recorded_runs_cross_no_curve(file):
    """Where curves end side by side at the smallest achievable error, whose name is there too."""
    figure = figures.curves_figure(load(file))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 2
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])
            for line in axes.get_lines():
                x, y = line.get_transform().transform(np.column_stack(np.broadcast_arrays(*line.get_data()))).T
                points = np.linspace(x[0], x[-1], 5_000)
                assert not box.count_contains(np.column_stack([points, np.interp(points, x, y)]))
