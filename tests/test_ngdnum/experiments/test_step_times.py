"""Times of a step, measured in turns."""

from __future__ import annotations

import json

import torch

from ngdnum import NGD, Gaussian
from ngdnum.__main__ import main
from ngdnum.data import linear_teacher
from ngdnum.experiments import step
from ngdnum.experiments.training import Run
from support.runs import METHODS


def test_steps_are_timed_in_turns_and_compared_with_sgd(tmp_path, monkeypatch, capfd):
    case = step.Case("tiny", lambda: linear_teacher((4, 6, 3), train=500), 100, METHODS, "high")
    monkeypatch.setattr(step, "CASES", (case,))
    trained, conditions, one = [], set(), Run.step

    def observed(run):
        trained.append(run.method.name)
        conditions.add((torch.get_float32_matmul_precision(), torch.get_num_threads()))
        one(run)
        run.seconds = run.steps * (0.25 if run.method.name == "SGD" else 0.5)

    monkeypatch.setattr(Run, "step", observed)
    output = tmp_path / "step.json"
    assert main(["bench", "step", "--json", "--output", str(output)]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == json.loads(output.read_text()) and printed["task"] == "step" and printed["complete"]
    turn = ["SGD"] * step.TURN + ["NGD.paper"] * step.TURN
    assert trained == turn * ((step.WARM_UP + step.BLOCKS * step.STEPS) // step.TURN)
    by_sgd, by_ngd = printed["methods"]
    assert by_sgd["ratio_to_sgd"] == 1.0 and by_ngd["ratio_to_sgd"] == 2.0
    assert (by_ngd["step_ms"], by_sgd["step_ms"]) == (500, 250) and by_ngd["settings"]["batch_size"] == 100
    assert conditions == {("high", 1)} and by_ngd["float32_matmul_precision"] == "high"
    assert printed["environment"]["threads"] == 1 and "float32_matmul_precision" not in printed["environment"]
    assert main(["bench", "step", "--methods", "NGD.paper", "--output", str(output)]) == 0
    assert "× SGD" in capfd.readouterr().out


def test_blocks_of_timed_steps_hold_whole_intervals_of_the_fast_preset():
    preset = NGD.fast(torch.nn.Linear(1, 1), Gaussian())
    for every in (preset.factors.every, preset.inverse.every):
        assert step.STEPS % every == 0 and step.WARM_UP >= every
