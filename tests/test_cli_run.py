"""`python -m ngdnum run`: one JSON object on standard output, clear errors, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from ngdnum.__main__ import main
from ngdnum.data import linear_teacher
from ngdnum.experiments import EXPERIMENTS, Experiment
from ngdnum.experiments.methods import sgd
from ngdnum.experiments.training import Budget
from ngdnum.results import load

COMMAND = (sys.executable, "-m", "ngdnum", "run")


def test_json_is_all_there_is_on_standard_output(tmp_path, capfd):
    output = tmp_path / "result.json"
    assert main(["run", "fig1a", "--json", "--seed", "3", "--budget", "0.05", "--output", str(output)]) == 0
    captured = capfd.readouterr()
    printed = json.loads(captured.out)
    assert printed["experiment"] == "fig1a" and printed["seed"] == 3 and printed["complete"] is True
    assert [curve["method"] for curve in printed["curves"]] == ["SGD", "NGD"]
    assert all(len(curve["samples"]) == len(curve["test_error"]) > 1 for curve in printed["curves"])
    assert printed["command"] == "python -m ngdnum run fig1a --seed 3 --budget 0.05"
    assert "training NGD" in captured.err
    assert printed == json.loads(output.read_text())


def test_default_file_and_table(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "fig1a", "--budget", "0.05"]) == 0
    assert load("results/fig1a-seed0.json").complete
    shown = capfd.readouterr().out
    assert "Figure 1A" in shown and "NGD" in shown and "results/fig1a-seed0.json" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["fig7"], "choose from fig1a, fig1b, fig1c, fig1d"),
     (["fig1d", "--data", "nowhere"], "does not exist; give a folder with IDX files"),
     (["fig1a", "--data", "nowhere"], "leave the data folder out"),
     (["fig1a", "--budget", "-1"], "positive number of seconds"),
     (["fig1a", "--output", "file/inside"], "file")],
)
def test_wrong_input_exits_with_2(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["run", *arguments, "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and message in captured.err and "Traceback" not in captured.err


def test_divergence_everywhere_exits_with_1(tmp_path, monkeypatch, capfd):
    hopeless = Experiment("fig1a", "Hopeless", lambda seed, data: linear_teacher((4, 6, 3), seed),
                          (sgd((50.0, 100.0)),), Budget(samples=4_000))
    monkeypatch.setitem(EXPERIMENTS, "fig1a", hopeless)
    assert main(["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]) == 1
    captured = capfd.readouterr()
    assert captured.out == "" and "error: SGD diverged with each of the 2 settings" in captured.err
    assert "wider grid" in captured.err and "Traceback" not in captured.err
    assert not load(tmp_path / "r.json").complete


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "fig1a", "--seed", "x"], ["sing"]])
def test_wrong_usage_exits_with_2(arguments, capfd):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: python -m ngdnum" in capfd.readouterr().err


def test_interrupt_prints_and_keeps_the_partial_result(tmp_path):
    output = tmp_path / "result.json"
    process = subprocess.Popen(
        (*COMMAND, "fig1a", "--json", "--output", str(output)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not output.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, messages = process.communicate()
    # 130 in a shell, too, if `-m` dies of the signal: CPython does so when it came inside an exec()
    assert process.returncode in (130, -signal.SIGINT), messages
    assert json.loads(printed) == json.loads(output.read_text())
    assert json.loads(printed)["complete"] is False and load(output).experiment == "fig1a"
    assert "interrupted" in messages and "Traceback" not in messages
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
