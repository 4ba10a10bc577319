"""Results are never lost: unfinished ones lie beside the file, and what was interrupted goes on to the same numbers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ngdnum import NGD
from ngdnum.__main__ import main
from ngdnum.data import linear_teacher
from ngdnum.experiments import EXPERIMENTS, NotWritten, output, run_experiment, step
from ngdnum.experiments.compare import compare
from ngdnum.experiments.method import adamw, method, muon, natural, sgd
from ngdnum.experiments.output import open_output
from ngdnum.experiments.report import Report
from ngdnum.experiments.search import SCHEDULES
from ngdnum.experiments.task import Benchmark, Experiment
from ngdnum.experiments.training import Budget, Run
from ngdnum.experiments.tuned import Tuned, load_tuned
from ngdnum.experiments.tuning import tune_task
from ngdnum.results import Result, load
from support.runs import curves

METHODS = (
    method("SGD", sgd, (0.05, 0.1), (20,), schedule=SCHEDULES, momentum=(0.9,)),
    method("AdamW", adamw, (0.01, 0.02), (20,), schedule=("linear",)),
    method("Muon.torch", muon, (0.01, 0.02), (20,), schedule=("linear",)),
    method("NGD.paper", natural(NGD.paper), (1.0,), (100,), True, damping=(1e-2, 1e-1), schedule=SCHEDULES),
    method("NGD.fast", natural(NGD.fast), (0.5, 1.0), (50,), schedule=("linear",)),
    method("NGD.sample_efficient", natural(NGD.sample_efficient), (0.5, 1.0), (50,), True, schedule=("linear",)),
)
if not hasattr(torch.optim, "Muon"):
    METHODS = tuple(m for m in METHODS if m.name != "Muon.torch")


class Killed(BaseException):
    """As sudden as a signal that nobody can catch."""


def problem(seed, data):
    return linear_teacher((4, 6, 3), seed, train=500, validation=100, test=100)


EXPERIMENT = Experiment("small", "Small", problem, METHODS, points=20, budget=Budget(samples=600))
TASK = Benchmark(
    "small",
    "Small",
    problem,
    METHODS[-3:],
    points=10,
    budgets=(200, 600),
    unit="samples",
    targets={"10×floor": 10.0},
    measure="test error ÷ floor of the seed",
    goal=1.5,
    tuning_seeds=(1_000, 1_001),
)


SAVED = 30
"""Batches before the last one, from which on whatever may be saved is saved: more would only take time."""


@pytest.fixture
def kill_at(monkeypatch):
    """Let the batch with this number of all batches of all runs be the last; None: no more killing.

    Returns how many have been drawn since.
    """
    one, state = Run.draw, {"stop": None, "calls": 0}

    def killed(run):
        if state["calls"] == state["stop"]:
            raise Killed
        state["calls"] += 1
        near = state["stop"] is not None and state["calls"] > state["stop"] - SAVED
        monkeypatch.setattr(output, "SHARE", float("inf") if near else 0.0)
        return one(run)

    def set_stop(stop):
        state.update(stop=stop, calls=0)
        return lambda: state["calls"]

    monkeypatch.setattr(Run, "draw", killed)
    return set_stop


@pytest.fixture(scope="module")
def whole_and_steps() -> tuple[Result, int]:
    """An uninterrupted run, and how many steps it trains."""
    counted, one = [], Run.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "draw", lambda run: counted.append(run) or one(run))
        return run_experiment(EXPERIMENT, progress=False), len(counted)


@pytest.fixture(scope="module")
def whole_tuning() -> Tuned:
    return tune_task(TASK, None, progress=False)


@pytest.fixture(scope="module")
def whole_comparison(whole_tuning) -> Report:
    return compare(TASK, whole_tuning.winners(), seeds=2, progress=False)


@pytest.mark.what_if(
    "files and commands", "a run is killed", "the old result stays; `--resume` goes on to the same numbers"
)
@pytest.mark.parametrize("stop", [3, 47, 150, 280])
def test_a_killed_run_goes_on_to_the_same_numbers_and_leaves_the_old_result(tmp_path, kill_at, whole_and_steps, stop):
    """What was trained is not trained again, but for batches of the settings that were training."""
    file, (whole, steps) = tmp_path / "r.json", whole_and_steps
    whole.save(file)
    before = file.read_bytes()
    kill_at(stop)
    with pytest.raises(Killed):
        run_experiment(EXPERIMENT, progress=False, output=file)
    assert file.read_bytes() == before
    if stop > 10:
        assert not load(tmp_path / "r.json.part").complete
    drawn = kill_at(None)
    resumed = run_experiment(EXPERIMENT, progress=False, output=file, resume=True)
    assert steps - stop <= drawn() < steps - stop + 50
    assert curves(resumed) == curves(whole) and resumed.complete
    assert load(file) == resumed and [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.what_if(
    "files and commands", "tuning is killed", "finished trials are kept, and `--resume` finds the same winners"
)
@pytest.mark.parametrize("stop", [30, 120])
def test_killed_tuning_keeps_its_trials(tmp_path, kill_at, whole_tuning, stop):
    kill_at(stop)
    with pytest.raises(Killed):
        tune_task(TASK, tmp_path / "t.json", progress=False)
    kill_at(None)
    resumed = tune_task(TASK, tmp_path / "t.json", progress=False, resume=True)
    assert resumed.winners() == whole_tuning.winners()
    for name, search in whole_tuning.methods.items():
        assert resumed.methods[name].trials == search.trials
    assert load_tuned(tmp_path / "t.json") == resumed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json"]


@pytest.mark.parametrize("stop", [5, 45, 70])
def test_a_killed_comparison_goes_on_to_the_same_numbers(tmp_path, kill_at, whole_tuning, whole_comparison, stop):
    tuned = whole_tuning.winners()
    kill_at(stop)
    with pytest.raises(Killed):
        compare(TASK, tuned, seeds=2, progress=False, output=tmp_path / "b.json")
    kill_at(None)
    resumed = compare(TASK, tuned, seeds=2, progress=False, output=tmp_path / "b.json", resume=True)
    for ours, theirs in zip(resumed.outcomes, whole_comparison.outcomes, strict=True):
        assert ours.final() == theirs.final()
        assert ours.first(10.0, "samples") == theirs.first(10.0, "samples")
    assert json.loads((tmp_path / "b.json").read_text())["complete"] is True


def test_timed_cases_are_not_timed_again(tmp_path, monkeypatch, kill_at):
    monkeypatch.setattr(step, "STEPS", 16)
    monkeypatch.setattr(step, "WARM_UP", 16)
    cases = [step.Case(name, lambda: problem(0, None), 100, METHODS[:2], "highest") for name in ("a", "b")]
    kill_at(200)  # each case is 2 methods of (1 + 3) · 16 steps
    with pytest.raises(Killed):
        step.time_steps(cases, progress=False, output=tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json.part").read_text())["complete"] is False
    kill_at(128)
    found = step.time_steps(cases, progress=False, output=tmp_path / "s.json", resume=True)
    assert [case for case, _ in found.blocks] == ["a", "a", "b", "b"] and found.complete


@pytest.mark.what_if(
    "files and commands", "`--resume` finds a damaged state", "ValueError: “is damaged … leave out --resume”"
)
def test_a_state_of_something_else_is_refused(tmp_path, kill_at):
    kill_at(100)
    with pytest.raises(Killed):
        run_experiment(EXPERIMENT, progress=False, output=tmp_path / "r.json")
    kill_at(None)
    state = tmp_path / "r.json.state"
    for experiment, seed, message in (
        (EXPERIMENT, 1, "with command 'python -m ngdnum run small --seed 0', not"),
        (replace(EXPERIMENT, methods=METHODS[:2]), 0, "with settings"),
        (replace(EXPERIMENT, problem=lambda seed, data: linear_teacher((4, 5, 3), seed, train=500)), 0, "other data"),
    ):
        with pytest.raises(ValueError, match=message):
            run_experiment(experiment, seed=seed, progress=False, output=tmp_path / "r.json", resume=True)
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged .* leave out --resume"):
        run_experiment(EXPERIMENT, progress=False, output=tmp_path / "r.json", resume=True)


@pytest.mark.what_if(
    "files and commands",
    "the output is a pipe or a device",
    "ValueError: “is no ordinary file”, and it is not replaced",
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_an_output_that_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path, "is a folder; give a file in it"),
        (tmp_path / "pipe", "is no ordinary file"),
        (Path("/dev/null"), "is no ordinary file"),
        (tmp_path / "file" / "r.json", "cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            run_experiment(EXPERIMENT, progress=False, output=path)
    assert (tmp_path / "pipe").is_fifo() and sorted(p.name for p in tmp_path.iterdir()) == ["file", "pipe"]


@pytest.mark.what_if(
    "files and commands",
    "the output is `/dev/stdout`, and standard output goes to a file",
    "ValueError: “is where this command prints”, and the file is not replaced",
)
@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no name for standard output")
def test_the_file_that_standard_output_goes_to_is_not_replaced(tmp_path):
    with open(tmp_path / "printed", "w+b") as file:
        before, name = os.dup(1), Path("/dev/stdout")
        os.dup2(file.fileno(), 1)
        try:
            with pytest.raises(ValueError, match="is where this command prints"):
                run_experiment(EXPERIMENT, progress=False, output=name)
        finally:
            os.dup2(before, 1)
            os.close(before)
        assert os.path.samestat(os.stat(tmp_path / "printed"), os.fstat(file.fileno()))


def test_an_output_that_may_not_be_written_is_refused_at_once(tmp_path, monkeypatch, kill_at):
    kill_at(0)
    (tmp_path / "r.json").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="may not be written"):
        run_experiment(EXPERIMENT, progress=False, output=tmp_path / "r.json")


@pytest.mark.what_if(
    "files and commands", "two runs write one file", "the second gets a ValueError: “another run is writing …r.json”"
)
def test_of_two_runs_writing_one_file_the_second_is_told(tmp_path, kill_at):
    kill_at(0)
    with open_output(tmp_path / "r.json", {}, print):
        with pytest.raises(ValueError, match="another run is writing .*r.json"):
            run_experiment(EXPERIMENT, progress=False, output=tmp_path / "r.json")
    with pytest.raises(Killed):
        run_experiment(EXPERIMENT, progress=False, output=tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "r.json").symlink_to(tmp_path / "folder" / "real.json")
    run_experiment(replace(EXPERIMENT, methods=METHODS[:1]), progress=False, output=tmp_path / "r.json")
    assert (tmp_path / "r.json").is_symlink() and load(tmp_path / "folder" / "real.json").complete


@pytest.fixture
def small_fig1a(monkeypatch):
    small = replace(EXPERIMENT, name="fig1a", methods=METHODS[:1])
    monkeypatch.setitem(EXPERIMENTS, "fig1a", small)


@pytest.mark.what_if(
    "files and commands",
    "the disk is full when the result is written",
    "NotWritten; under `--json` the result is printed all the same, with exit status 2",
)
def test_a_result_that_cannot_be_written_is_printed_all_the_same(tmp_path, small_fig1a, monkeypatch, capfd):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Result, "save", full)
    with pytest.raises(NotWritten) as caught:
        run_experiment(EXPERIMENTS["fig1a"], progress=False, output=tmp_path / "r.json")
    assert caught.value.result.complete
    assert main(["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]) == 2
    captured = capfd.readouterr()
    assert json.loads(captured.out)["complete"] is True
    assert "cannot be kept (No space left on device); the run goes on" in captured.err
    assert captured.err.count("cannot be kept") == 1 and "cannot be written (No space left" in captured.err


@pytest.mark.parametrize("ending", [".part", ".state"])
def test_a_result_is_complete_also_where_what_lies_beside_it_cannot_be_removed(tmp_path, small_fig1a, capfd, ending):
    (tmp_path / f"r.json{ending}").mkdir()
    assert main(["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["complete"] and load(tmp_path / "r.json").complete
    assert "the unfinished result cannot be kept" in captured.err


def test_one_sample_is_the_least_that_a_budget_can_be_parted_into():
    assert Budget(samples=1).part(0.25) == Budget(samples=1)
    found = run_experiment(replace(EXPERIMENT, methods=METHODS[:1], tuning_share=0.25), samples=1, progress=False)
    assert found.complete and found.curves[0].samples[-1] == 20


def test_the_command_says_what_lies_where(tmp_path, small_fig1a, kill_at, capfd):
    command = ["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]
    kill_at(None)
    assert main(command) == 0 and "note" not in capfd.readouterr().err
    kill_at(80)
    with pytest.raises(Killed):
        main(command)
    assert "r.json stays as it is until this run is complete" in capfd.readouterr().err
    kill_at(80)
    with pytest.raises(Killed):
        main(command)
    assert "--resume would go on" in capfd.readouterr().err
    kill_at(None)
    assert main([*command, "--resume"]) == 0
    assert main([*command, "--resume"]) == 0
    assert "nothing to resume" in capfd.readouterr().err


@pytest.mark.what_if(
    "files and commands", "the screen is 40 columns wide", "tables show fewer columns, and say so: “more columns”"
)
@pytest.mark.parametrize(
    ("width", "shown", "hidden"),
    [
        (40, ["SGD", "test", "more columns"], ["settings", "seconds", "…"]),
        (120, ["settings", "lr 0."], ["more column"]),
    ],
)
def test_narrow_tables_show_fewer_columns(tmp_path, small_fig1a, monkeypatch, capfd, width, shown, hidden):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["run", "fig1a", "--output", str(tmp_path / "r.json")]) == 0
    text = capfd.readouterr().out
    assert all(word in text for word in shown) and not any(word in text for word in hidden)
    assert all(len(line.rstrip()) <= width for line in text.splitlines() if not line.startswith("written"))
