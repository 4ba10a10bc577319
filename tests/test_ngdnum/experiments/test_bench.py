"""`python -m ngdnum bench`: all methods tuned alike on validation data, compared in turns on test data."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from torch import nn

from ngdnum import NGD, Gaussian
from ngdnum.__main__ import main
from ngdnum.data import Examples, linear_teacher
from ngdnum.experiments import Diverged, Interrupted, tuned, tuning
from ngdnum.experiments.compare import compare
from ngdnum.experiments.method import method, natural, sgd
from ngdnum.experiments.report import Outcome
from ngdnum.experiments.search import SCHEDULES
from ngdnum.experiments.task import Benchmark
from ngdnum.experiments.tasks import BEYOND, TASKS, find_task
from ngdnum.experiments.training import Run
from ngdnum.experiments.tuned import load_tuned, winners
from ngdnum.experiments.tuning import score, task_search, tune_task
from ngdnum.results import Curve
from support.runs import METHODS


def tiny(**changes) -> Benchmark:
    def problem(seed, data):
        if data is not None:
            raise ValueError("leave the data folder out")
        return linear_teacher((4, 6, 3), seed, train=500, validation=100, test=100)

    task = Benchmark(
        "tiny",
        "Tiny",
        problem,
        METHODS,
        points=10,
        budgets=(500, 1_500),
        unit="samples",
        targets={"100×floor": 100.0, "1.5×floor": 1.5},
        measure="test error ÷ floor of the seed",
        goal=1.5,
        tuning_seeds=(1_000, 1_001),
    )
    return replace(task, **changes)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tuned") / "tiny.json"
    tune_task(tiny(), path, progress=False)
    return path


@pytest.fixture
def settings(found, tmp_path) -> Path:
    return Path(shutil.copy(found, tmp_path))


@pytest.fixture
def registered(monkeypatch, settings):
    monkeypatch.setitem(TASKS, "tiny", tiny())
    found = load_tuned(settings).winners()
    monkeypatch.setattr(tuned, "package_winners", lambda: {"tiny": found})
    monkeypatch.chdir(settings.parent)


def test_every_method_of_a_task_has_equally_many_settings():
    for task in TASKS.values():
        assert len({len(m.grid) for m in task.methods}) == 1, task.name
        schedules = {"linear"} if task in BEYOND else {"constant", "linear"}
        for m in task.methods:
            assert {settings["schedule"] for settings in m.grid} == schedules
            assert len({json.dumps(settings) for settings in m.grid}) == len(m.grid)
        assert list(task.budgets) == sorted(task.budgets)
        muon = "Muon.express" if task in BEYOND else "Muon.torch"
        rivals = {"SGD+momentum", "AdamW", muon, "NGD.sample_efficient"} if task.name != "mlp-others" else set()
        assert {"NGD.fast", *rivals} <= {m.name for m in task.methods}


def test_a_name_means_the_same_optimizer_in_all_tasks():
    built = defaultdict(set)
    for m in (m for task in TASKS.values() for m in task.methods):
        built[m.name].add(type(m.build(nn.Linear(2, 2), Gaussian(), m.grid[0], 0)))
    assert {name for name, kinds in built.items() if len(kinds) > 1} == set()


def test_json_has_an_entry_per_seed_and_target(registered, capfd):
    assert main(["bench", "tiny", "--seeds", "3", "--json"]) == 0
    captured = capfd.readouterr()
    printed = json.loads(captured.out)
    assert printed == json.loads(Path("results/bench-tiny.json").read_text())
    assert printed["task"] == "tiny" and printed["targets"] == ["100×floor", "1.5×floor"]
    assert printed["seeds"] == [0, 1, 2] and printed["budgets"] == ["0.5k", "1.5k"] and printed["complete"] is True
    assert printed["environment"]["threads"] == 1
    assert printed["environment"]["float32_matmul_precision"] == "highest"
    assert printed["environment"]["muon_arithmetic"] in ("float32", "bfloat16")
    assert [m["name"] for m in printed["methods"]] == ["SGD", "NGD.paper"] and "NGD.paper" in captured.err
    for m in printed["methods"]:
        assert "accuracy_at" not in m
        way = (*m["error_on_the_way"].values(), m["error_at"]["1.5k"])
        assert all(early > late for parts in zip(*way) for early, late in pairwise(parts))
        assert set(m["samples_to"]) == set(m["seconds_to"]) == set(printed["targets"])
        for costs in (*m["samples_to"].values(), *m["seconds_to"].values(), *m["error_at"].values()):
            assert len(costs) == 3
        assert set(m["settings"]) == set(m["error_at"]) == set(m["diverged"]) == {"0.5k", "1.5k"}
        assert m["step_ms"] > 0 and m["trials"] == 4 + 4
    ngd = printed["methods"][1]
    assert all(100 <= samples <= 1_500 for samples in ngd["samples_to"]["100×floor"])
    assert ngd["resolution"]["1.5k"]["samples"] <= 150 + 100
    assert ngd["error_at"]["1.5k"] < printed["methods"][0]["error_at"]["1.5k"]


def test_table_marks_what_was_not_reached(registered, capfd):
    assert main(["bench", "tiny", "--seeds", "1", "--budget", "500", "--methods", "SGD"]) == 0
    shown = capfd.readouterr().out
    assert "– / –" in shown and "0.5k" in shown and "results/bench-tiny.json" in shown and "1.5k" not in shown


def test_the_shortest_budget_that_reaches_a_target_tells_the_cost():
    def curve(errors):
        return Curve("m", {}, list(range(0, 10 * len(errors), 10)), [0.0] * len(errors), errors)

    short, long = [curve([9.0, 2.0]), curve([9.0, 5.0])], [curve([9.0, 1.0]), curve([9.0, 8.0, 1.0])]
    assert Outcome("m", {}, 0, {"short": short, "long": long}).first(2.0, "samples") == [10, 20]
    assert Outcome("m", {}, 0, {"short": short, "long": long}).first(0.5, "samples") == [None, None]


def test_errors_on_the_way_are_the_first_after_a_part_of_the_time():
    curve = Curve("m", {}, [0, 10, 20, 30], [0.0, 1.0, 2.2, 4.0], [9.0, 7.0, 5.0, 3.0])
    broken = Curve("m", {}, [0], [0.0], [9.0], diverged=True)
    assert Outcome("m", {}, 0, {"4s": [curve, broken]}).on_the_way() == {"1/4": [7.0, None], "1/2": [5.0, None]}


def test_methods_take_turns(settings, monkeypatch):
    trained, advance = [], Run.advance

    def noted(self, budget, share):
        trained.append((self.method.name, budget.samples, share))
        advance(self, budget, share)

    monkeypatch.setattr(Run, "advance", noted)
    compare(tiny(), load_tuned(settings).winners(), seeds=2, progress=False)
    turn = [("SGD", 500), ("NGD.paper", 500), ("SGD", 1_500), ("NGD.paper", 1_500)]
    assert [entry[:2] for entry in trained] == 2 * 11 * turn
    assert [entry[2] for entry in trained] == 2 * [point / 10 for point in range(11) for _ in turn]


def test_tuned_file_holds_every_trial_and_can_be_read_again(settings):
    found = load_tuned(settings)
    assert (found.budgets, found.seeds, found.unit) == ([500, 1_500], [1_000, 1_001], "samples")
    assert found.source["kind"] == "random linear map" and list(found.methods) == ["SGD", "NGD.paper"]
    for m in METHODS:
        search = found.methods[m.name]
        assert search.grid == tuned.digest([m.grid]) and search.environment["threads"] == 1
        assert [trial["budget"] for trial in search.trials] == ["0.5k"] * 4 + ["1.5k"] * 4
        for budget, winner in search.winners.items():
            best = min((t for t in search.trials if t["budget"] == budget), key=lambda t: t["score"])
            assert winner == best["settings"]
    found.save(settings)
    assert load_tuned(settings) == found
    assert [path.name for path in settings.parent.iterdir()] == ["tiny.json"]


def test_schedules_are_halved_by_themselves():
    """Three of six settings of each schedule go on from the second budget, though the best of all would be others."""
    rates = method("SGD", sgd, (0.01, 0.02, 0.04, 0.06, 0.08, 0.1), (20,), schedule=SCHEDULES)
    task = tiny()
    problems, budgets = {seed: task.problem(seed, None) for seed in task.tuning_seeds}, (250, 500, 1_500)
    search = task_search(task, rates, problems, budgets)
    assert search.proceed() == search.winners()["1.5k"]
    first, second, third = ([t for t in search.trials if t.rung == task.label(amount)] for amount in budgets)
    assert len(first) == len(second) == 12
    for schedule in ("constant", "linear"):
        ranked = sorted((t for t in second if t.settings["schedule"] == schedule), key=lambda t: t.score)
        assert [t.settings for t in third if t.settings["schedule"] == schedule] == [t.settings for t in ranked[:3]]


def test_tuning_never_sees_the_test_examples():
    task = tiny()
    problems = {seed: task.problem(seed, None) for seed in task.tuning_seeds}
    blinded = {
        seed: p._replace(test=Examples(p.test.x * math.nan, p.test.y), floor=math.nan) for seed, p in problems.items()
    }
    for m in METHODS:
        searches = [task_search(task, m, of, task.budgets) for of in (problems, blinded)]
        found, again = [(search.proceed(), search.trials) for search in searches]
        assert found == again and all(math.isfinite(trial.score) for trial in found[1])


def test_tuned_seeds_are_not_benchmarked(settings):
    for task in TASKS.values():
        assert min(task.tuning_seeds) >= 1_000
    found = load_tuned(settings).winners()
    for seeds, others in ((0, found), (1_001, found), (3, replace(found, seeds=[2]))):
        with pytest.raises(ValueError, match="number of seeds must be between 1 and"):
            compare(tiny(), others, seeds=seeds, progress=False)


def test_the_score_prefers_the_goal_then_its_date_then_the_error():
    task = tiny()

    def scored(*errors, diverged=False):
        return score(Curve("m", {}, [0, 10, 20], [0.0, 0.1, 0.2], list(errors), diverged), 20, task)

    assert scored(9, 1.4, 1.3) < scored(9, 2, 1.0) <= 1 < scored(9, 1.4, 1.6) < scored(9, 9, 9)
    assert scored(9, 9, 9, diverged=True) == math.inf
    assert score(Curve("m", {}, [0, 9], [0.0, 0.1], [3.0, 1.0]), 9, replace(task, goal=None)) == 0.0


def test_tuning_one_method_keeps_the_others(settings):
    before = load_tuned(settings)
    wider = tiny(
        methods=(METHODS[0], method("NGD.paper", natural(NGD.paper), (1.0,), (100, 50), True, schedule=SCHEDULES))
    )
    with pytest.raises(ValueError, match="the grid of NGD.paper has changed .* --tune --methods NGD.paper"):
        compare(wider, before.winners(), progress=False)
    tune_task(wider, settings, methods=["NGD.paper"], progress=False)
    after = load_tuned(settings)
    assert after.methods["SGD"] == before.methods["SGD"] and len(after.methods["NGD.paper"].trials) == 8
    with pytest.raises(ValueError, match="other budgets, seeds or data"):
        tune_task(wider, settings, methods=["SGD"], budgets=[200], progress=False)
    assert load_tuned(settings) == after
    tune_task(wider, settings, budgets=[400, 200], progress=False)
    assert load_tuned(settings).budgets == [200, 400]


def test_interrupts_leave_what_was_finished(settings, tmp_path, monkeypatch):
    record, calls = Run.record, []

    def interrupted(self, curve, scale):
        record(self, curve, scale)
        calls.append(self.method.name)
        if len(calls) == stop:
            curve.samples.append(0)  # as if in the middle of a new point
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "record", interrupted)
    stop, output = 44 + 10, tmp_path / "out.json"
    with pytest.raises(Interrupted) as caught:
        compare(tiny(points=10), load_tuned(settings).winners(), seeds=3, progress=False, output=output)
    assert not output.exists()
    written = json.loads((tmp_path / "out.json.part").read_text())
    assert written == json.loads(caught.value.result.to_json()) and written["complete"] is False
    assert [len(m["samples_to"]["1.5×floor"]) for m in written["methods"]] == [2, 2]
    assert caught.value.result.table().row_count == 2

    calls.clear()
    stop, fresh = 10_000, tmp_path / "fresh.json"
    monkeypatch.setattr(tuning, "task_search", lambda task, m, *rest: _search_or_stop(task, m, *rest))
    with pytest.raises(Interrupted) as caught:
        tune_task(tiny(), fresh, progress=False)
    part = load_tuned(tmp_path / "fresh.json.part")
    assert list(part.methods) == list(caught.value.result.methods) == ["SGD"] and not fresh.exists()
    with pytest.raises(ValueError, match="no tuned settings for NGD.paper: add --tune --methods NGD.paper"):
        compare(tiny(), part.winners(), progress=False)
    left = ["fresh.json.part", "fresh.json.state", "out.json.part", "out.json.state", "tiny.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def _search_or_stop(task, m, *rest):
    if m.name != "SGD":
        raise KeyboardInterrupt
    return task_search(task, m, *rest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig7"], f"choose from fig1a, fig1b, fig1c, fig1d, {', '.join(task.name for task in BEYOND)}, tiny, step"),
        (["tiny", "--methods", "Adam"], "tiny has no method 'Adam'; choose from SGD, NGD.paper"),
        (["tiny", "--budget", "700"], "no settings for a budget of 700 samples, only for 500, 1500"),
        (["tiny", "--tune", "--budget", "-1"], "positive number of samples"),
        (["tiny", "--tune", "--budget", "0.4"], "positive number of samples"),
        (["tiny", "--settings", "."], "'.' cannot be read (Is a directory)"),
        (["step", "--seeds", "0"], "leave out --seeds"),
        (["tiny", "--tune", "--seeds", "2"], "seeds of its own, 1000, 1001"),
        (["tiny", "--data", "nowhere"], "leave the data folder out"),
        (["tiny", "--settings", "absent.json"], "run the same command with --tune first"),
        (["tiny", "--settings", "broken.json"], "'broken.json' is not trials of ngdnum: it has no 'task'"),
        (["fig1d", "--data", "nowhere", "--tune"], "does not exist; give a folder with IDX files"),
        (["step", "--tune", "--seeds", "3"], "leave out --tune --seeds"),
        (["step", "--methods", "Adam"], "step has no method 'Adam'"),
    ],
)
def test_wrong_input_exits_with_2(registered, capfd, arguments, message):
    Path("broken.json").write_text('{"methods": 3}')
    before = load_tuned("tiny.json")
    assert main(["bench", *arguments, "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and message in captured.err and "Traceback" not in captured.err
    assert load_tuned("tiny.json") == before


def test_settings_of_other_data_are_refused(settings):
    def problem(seed, data):
        return linear_teacher((4, 6, 3), seed, train=400, validation=100, test=100)

    with pytest.raises(ValueError, match="tuned on other data"):
        compare(tiny(problem=problem), load_tuned(settings).winners(), progress=False)
    assert find_task("fig1d", None).name == "fig1d-digits" and find_task("fig1d", Path("x")).name == "fig1d"


def test_tuning_from_the_command_line_and_hopeless_grids(registered, monkeypatch, capfd):
    assert main(["bench", "tiny", "--tune", "--methods", "SGD", "--settings", "new.json"]) == 0
    captured = capfd.readouterr()
    assert "best settings on validation data" in captured.out and "tuning SGD" in captured.err
    assert list(load_tuned("new.json").methods) == ["SGD"]
    hopeless = tiny(methods=(*METHODS, method("wild", sgd, (50.0, 100.0), (20,), schedule=SCHEDULES)))
    monkeypatch.setitem(TASKS, "tiny", hopeless)
    with pytest.raises(Diverged, match="wild diverged within 0.5k with each of the 4 settings"):
        tune_task(hopeless, Path("new.json"), progress=False)
    assert list(load_tuned("new.json.part").methods) == ["SGD", "NGD.paper"]


@pytest.mark.parametrize(
    ("ending", "status", "message"),
    [
        (KeyboardInterrupt, 130, "interrupted: nothing was kept yet"),
        (Diverged("wild diverged"), 1, "error: wild diverged"),
    ],
)
def test_tuning_that_ends_early_says_so(registered, monkeypatch, capfd, ending, status, message):
    def search(*task_and_method):
        raise ending

    monkeypatch.setattr(tuning, "task_search", search)
    command = ["bench", "tiny", "--tune", "--methods", "SGD", "--settings", "tiny.json", "--json"]
    assert main(command) == status
    captured = capfd.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    printed = json.loads(captured.out)["methods"] if captured.out else {}
    assert list(printed) == (["SGD", "NGD.paper"] if status == 130 else [])


def test_winners_of_a_file_take_the_place_of_those_of_the_package(registered, settings):
    other = method("other", sgd, (0.05, 0.06), (20,), schedule=SCHEDULES)
    task = tiny(methods=(*METHODS, other))
    tune_task(task, "other.json", methods=["other"], progress=False)
    found = winners(task, Path("other.json"))
    assert list(found.methods) == ["SGD", "NGD.paper", "other"]
    assert found.methods["SGD"] == load_tuned(settings).winners().methods["SGD"]
