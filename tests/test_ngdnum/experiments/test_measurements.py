"""Measurements that were interrupted keep their rows, and go on with the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngdnum.__main__ import main
from ngdnum.experiments import Interrupted, output
from ngdnum.experiments.blow_up import count_blow_ups
from ngdnum.experiments.cli import MEASURED
from ngdnum.experiments.measurements import Measurements, Row, load_measurements, measure_rows


@pytest.fixture(autouse=True)
def save_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "SHARE", float("inf"))


CASES: list[Row] = [{"case": number} for number in range(5)]


def squares(file: Path, cases: list[Row] = CASES, stop: int | None = None, resume: bool = False) -> list[object]:
    """Measure the squares of the cases, and tell which were measured; Ctrl-C when case `stop` is reached."""
    measured = []

    def measure(case: Row) -> Row:
        if case["case"] == stop:
            raise KeyboardInterrupt
        measured.append(case["case"])
        return {"square": int(str(case["case"])) ** 2}

    measure_rows("squares", "Squares", cases, measure, progress=False, output=file, resume=resume)
    return measured


@pytest.mark.what_if(
    "files and commands", "measurements are interrupted", "each finished row is kept; `--resume` goes on with the next"
)
def test_interrupted_measurements_keep_each_row_and_go_on_with_the_next(tmp_path: Path) -> None:
    file = tmp_path / "squares.json"
    with pytest.raises(Interrupted) as caught:
        squares(file, stop=3)
    assert caught.value.file == tmp_path / "squares.json.part"
    kept = load_measurements(tmp_path / "squares.json.part")
    assert kept.values("square") == [0, 1, 4] and not kept.complete and not file.exists()
    assert squares(file, resume=True) == [3, 4]
    assert load_measurements(file).values("square") == [0, 1, 4, 9, 16]
    assert [path.name for path in tmp_path.iterdir()] == ["squares.json"]


@pytest.mark.what_if(
    "files and commands", "measurements to resume are of other cases", "ValueError: “was left by a run with cases”"
)
def test_rows_of_other_cases_are_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        squares(tmp_path / "squares.json", stop=3)
    with pytest.raises(ValueError, match="was left by a run with cases"):
        squares(tmp_path / "squares.json", cases=CASES[1:], resume=True)


def test_rows_measured_under_other_conditions_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Measurements, path: Path) -> None:
        raise KeyboardInterrupt

    options = {"widths": (2,), "depths": (1,), "seeds": 2, "progress": False, "output": tmp_path / "b.json"}
    with monkeypatch.context() as patch:
        patch.setattr(Measurements, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            count_blow_ups(starts=10, **options)
    with pytest.raises(ValueError, match="was left by a run with conditions '10', not '20'"):
        count_blow_ups(starts=20, **options, resume=True)


@pytest.mark.parametrize("name", MEASURED)
def test_the_command_hands_resume_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def measure(*, output: Path, resume: bool) -> Measurements:
        return Measurements(name, "Given", "", rows=[{"resume": resume}])

    monkeypatch.setitem(MEASURED, name, ("", measure))
    assert main(["run", name, "--output", str(tmp_path / "r.json"), "--json", "--resume"]) == 0
    assert '"resume": true' in capfd.readouterr().out
