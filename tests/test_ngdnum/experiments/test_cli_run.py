"""`python -m ngdnum run`: one JSON object on standard output, clear errors, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from ngdnum.__main__ import main
from ngdnum.data import linear_teacher
from ngdnum.experiments import EXPERIMENTS, Experiment
from ngdnum.experiments.command import Job, finish
from ngdnum.experiments.method import method, sgd
from ngdnum.experiments.training import Budget
from ngdnum.results import Result, load


def test_json_is_all_there_is_on_standard_output(tmp_path, capfd):
    output = tmp_path / "result.json"
    assert main(["run", "fig1a", "--json", "--seed", "3", "--budget", "0.05", "--output", str(output)]) == 0
    captured = capfd.readouterr()
    printed = json.loads(captured.out)
    assert printed["experiment"] == "fig1a" and printed["seed"] == 3 and printed["complete"] is True
    assert [curve["method"] for curve in printed["curves"]] == ["SGD", "NGD.paper"]
    assert all(len(curve["samples"]) == len(curve["test_error"]) > 1 for curve in printed["curves"])
    assert printed["command"] == "python -m ngdnum run fig1a --seed 3 --budget 0.05"
    assert "training NGD.paper" in captured.err
    assert printed == json.loads(output.read_text())


def test_default_file_and_table(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "fig1a", "--budget", "0.05"]) == 0
    assert load("results/fig1a-seed0.json").complete
    shown = capfd.readouterr().out
    assert "Figure 1A" in shown and "NGD.paper" in shown and "results/fig1a-seed0.json" in shown


@pytest.mark.what_if(
    "files and commands", "the experiment is misspelt", "exit status 2: “choose from fig1a, fig1b, fig1c, fig1d”"
)
@pytest.mark.what_if(
    "files and commands", "the budget is infinite or negative", "exit status 2: “positive number of seconds”"
)
@pytest.mark.what_if("files and commands", "the seed is huge", "exit status 2: “a seed is a whole number”")
@pytest.mark.what_if("files and commands", "the output is a link to itself", "exit status 2: “cannot be written”")
@pytest.mark.what_if("files and commands", "the output is a folder", "exit status 2: “is a folder”")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig7"], "choose from fig1a, fig1b, fig1c, fig1d"),
        (["fig1d", "--data", "nowhere"], "does not exist; give a folder with IDX files"),
        (["fig1a", "--data", "nowhere"], "leave the data folder out"),
        (["fig1a", "--budget", "-1"], "positive number of seconds"),
        (["fig1a", "--budget", "inf"], "positive number of seconds"),
        (["fig1a", "--seed", str(10**30)], "a seed is a whole number"),
        (["fig1a", "--output", "."], "is a folder"),
        (["fig1a", "--output", "file/inside"], "file"),
        (["fig1a", "--output", "a\0b"], "cannot be written (embedded null byte)"),
        (["fig1a", "--output", "loop"], "the output 'loop' cannot be written"),
        (["fig1a", "--output", "n" * 300], "cannot be written (File name too long)"),
        (["fig1d", "--data", "file"], "data folder 'file' is no folder"),
        (["flow", "--budget", "0"], "leave out --budget"),
    ],
)
def test_wrong_input_exits_with_2(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    assert main(["run", *arguments, "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and message in captured.err and "Traceback" not in captured.err


def test_divergence_everywhere_exits_with_1(tmp_path, monkeypatch, capfd):
    hopeless = Experiment(
        "fig1a",
        "Hopeless",
        lambda seed, data: linear_teacher((4, 6, 3), seed),
        (method("SGD", sgd, (50.0, 100.0), (20,)),),
        budget=Budget(samples=4_000),
    )
    monkeypatch.setitem(EXPERIMENTS, "fig1a", hopeless)
    assert main(["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]) == 1
    captured = capfd.readouterr()
    assert (
        captured.out == ""
        and "error: SGD diverged within 0.25 of the tuning with each of the 2 settings" in captured.err
    )
    assert "wider grid" in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "fig1a", "--seed", "x"], ["sing"]])
def test_wrong_usage_exits_with_2(arguments, capfd):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: python -m ngdnum" in capfd.readouterr().err


@pytest.mark.what_if(
    "files and commands",
    "a command with wrong arguments has a finished result as its output",
    "the result stays as it is",
)
def test_wrong_input_leaves_a_finished_result_alone(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "fig1a", "--samples", "100"]) == 0
    kept = (tmp_path / "results" / "fig1a-seed0.json").read_bytes()
    for wrong in (["--data", "nowhere"], ["--budget", "inf"], ["--samples", "-1"]):
        assert main(["run", "fig1a", *wrong]) == 2
        assert (tmp_path / "results" / "fig1a-seed0.json").read_bytes() == kept
        assert [path.name for path in (tmp_path / "results").iterdir()] == ["fig1a-seed0.json"]


@pytest.mark.what_if("files and commands", "the terminal has no letters beyond ASCII", "escapes in their place")
@pytest.mark.parametrize(
    "command", [["ngdnum", "run", "fig1a", "--budget", "0.05"], ["ngdsym", "show", "spring"]], ids=["ngdnum", "ngdsym"]
)
def test_a_terminal_without_unicode(command, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"\\" in done.stdout and done.stdout.isascii()


def test_json_is_read_on_a_terminal_without_unicode(monkeypatch, tmp_path):
    stored = Result("mine", "λ × 2 𝔽", 0, "", {})
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert finish(lambda: Job(lambda: stored, tmp_path / "mine.json"), as_json=True) == 0
    assert json.loads(out.buffer.getvalue())["title"] == "λ × 2 𝔽"
