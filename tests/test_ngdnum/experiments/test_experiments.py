"""The harness is fair and repeatable, and the paper's Figure 1A comes out of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ngdnum import NGD
from ngdnum.data import Examples, linear_network, linear_teacher
from ngdnum.experiments import EXPERIMENTS, Diverged, Interrupted, TrialFailed, run, training
from ngdnum.experiments.experiment import run_experiment, search
from ngdnum.experiments.method import Method, method, natural, settings_grid, sgd
from ngdnum.experiments.task import Experiment
from ngdnum.experiments.training import Budget, Run, batches
from ngdnum.recorded import recorded
from ngdnum.results import Result, load
from ngdnum.stack import NotFinite

SGD = method("SGD", sgd, (0.05, 0.1), (20,))


def ngd(dampings, batch_size=100) -> Method:
    return method("NGD.paper", natural(NGD.paper), (1.0,), (batch_size,), True, damping=dampings)


BOTH = SGD, ngd((0.01, 0.1))


def small(methods=BOTH, samples=2_000) -> Experiment:
    def problem(seed, data):
        return linear_teacher((4, 6, 3), seed, train=500, validation=100, test=100)

    return Experiment("small", "Small", problem, tuple(methods), budget=Budget(samples=samples))


def tune(problem, tuned, budget, shares=None):
    searched = search(small((tuned,)), problem, tuned.name, budget, 0)
    winner = searched.proceed(*([] if shares is None else [shares.append]))
    return winner, [(trial.rung, trial.settings, trial.score) for trial in searched.trials]


def without_seconds(result: Result) -> list:
    return [(c.method, c.settings, c.samples, c.test_error, c.tuning) for c in result.curves]


def test_batches_pass_through_all_examples_once_before_any_twice():
    examples = Examples(torch.arange(23.0)[:, None], torch.arange(23.0)[:, None])
    stream = batches(examples, 5, torch.Generator().manual_seed(0))
    passes = [torch.cat([next(stream).x for _ in range(4)]).flatten().tolist() for _ in range(2)]
    assert all(len(set(rows)) == 20 for rows in passes) and passes[0] != passes[1]
    with pytest.raises(ValueError, match="a batch of 24 needs as many examples, there are only 23"):
        next(batches(examples, 24, torch.Generator()))


def test_a_result_is_repeatable_and_depends_on_the_seed():
    first, again, other = (run_experiment(small(), seed=seed, progress=False) for seed in (0, 0, 1))
    assert without_seconds(first) == without_seconds(again)
    assert first.curve("NGD.paper").test_error != other.curve("NGD.paper").test_error


def test_both_methods_start_from_the_same_network_and_learn():
    result = run_experiment(small(), progress=False)
    by_sgd, by_ngd = result.curve("SGD"), result.curve("NGD.paper")
    assert by_sgd.test_error[0] == by_ngd.test_error[0] and by_sgd.samples[0] == by_ngd.samples[0] == 0
    assert by_sgd.seconds[0] == by_ngd.seconds[0] == 0.0
    for curve in result.curves:
        assert curve.test_error[-1] < 0.1 * curve.test_error[0]
        assert 2_000 <= curve.samples[-1] < 2_000 + curve.settings["batch_size"]
        assert curve.samples == sorted(set(curve.samples)) and len(curve.samples) == len(curve.seconds)
    assert result.complete and result.floor == pytest.approx(1e-6, rel=0.3)


def test_tuning_never_sees_the_test_examples():
    problem = small().problem(0, None)
    blinded = problem._replace(test=Examples(problem.test.x * math.nan, problem.test.y))
    for tuned in small().methods:
        assert tune(problem, tuned, Budget(2_000)) == tune(blinded, tuned, Budget(2_000))


def test_tuning_takes_the_best_setting_and_survives_diverging_ones():
    problem = small().problem(0, None)
    rates = method("SGD", sgd, (1e-5, 1e-4, 0.1, 1e-3, 50.0), (20,))
    shares = []
    best, _ = tune(problem, rates, Budget(4_000), shares)
    assert best == {"lr": 0.1, "batch_size": 20} and sum(shares) == pytest.approx(1)
    trials = run_experiment(small((rates,), 4_000), progress=False).curve("SGD").tuning
    assert [trial["share"] for trial in trials] == [0.25, 0.5, 1.0, 1.0, 0.25]
    assert [trial["settings"]["lr"] for trial in trials] == [1e-5, 1e-4, 0.1, 1e-3, 50.0]
    assert trials[4]["validation_error"] is None
    with pytest.raises(Diverged, match="SGD diverged within .* with each of the 2 settings of its grid"):
        tune(problem, method("SGD", sgd, (50.0, 100.0), (20,)), Budget(4_000))


def test_of_one_setting_nothing_is_sought():
    steps, one = [], method("SGD", sgd, (0.1,), (20,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "draw", lambda run, draw=Run.draw: steps.append(run) or draw(run))
        curve = run_experiment(small((one,)), progress=False).curve("SGD")
    assert (curve.settings, curve.tuning, curve.samples[-1]) == (one.grid[0], [], 2_000) and len(steps) == 100


def test_settings_take_turns_in_tuning():
    trained = []

    class Recording(torch.optim.SGD):
        def step(self):
            trained.append(self.param_groups[0]["lr"])
            return super().step()

    problem = small().problem(0, None)
    recorded = Method(
        "m",
        lambda model, likelihood, settings, seed: Recording(model.parameters(), settings["lr"]),
        settings_grid(lr=(0.1, 0.01), batch_size=(20,)),
    )
    tune(problem, recorded, Budget(samples=800))
    assert trained == [0.1, 0.01] * 10 + [0.1] * 30


def test_a_factor_that_overflows_is_a_divergence_and_other_errors_are_not():
    problem = linear_teacher((4, 3), train=500, dtype=torch.float32)
    model = linear_network((4, 3), torch.Generator().manual_seed(0), torch.float32)
    model[0].weight.data.mul_(1e-25)
    huge = problem._replace(train=Examples(problem.train.x * 1e25, problem.train.y), model=model)
    for overflowing in (ngd((0.1,)), method("NGD.fast", natural(NGD.fast), (0.5,), (100,))):
        trial = Run(huge, overflowing, overflowing.grid[0], 0)
        trial.advance(Budget(samples=1_000), 1.0)
        assert trial.diverged and trial.samples == 100 and trial.error(problem.validation) == math.inf

    class Failing(torch.optim.SGD):
        error = ValueError("a mistake")

        def step(self):
            raise self.error

    failing = Method(
        "failing",
        lambda model, likelihood, settings, seed: Failing(model.parameters(), 0.1),
        settings_grid(batch_size=(20,)),
    )
    with pytest.raises(TrialFailed, match="failing with batch_size 20, seed 0: ValueError: a mistake"):
        tune(problem, failing, Budget(100))
    Failing.error = NotFinite("overflow")
    with pytest.raises(Diverged):
        tune(problem, failing, Budget(100))


def test_a_linear_schedule_ends_at_zero_with_the_budget():
    rates = []

    class Recording(torch.optim.SGD):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            return super().step()

    problem = small().problem(0, None)
    for schedule, expected in (("constant", [0.1] * 4), ("linear", [0.1, 0.075, 0.05, 0.025])):
        method = Method(
            "m",
            lambda model, likelihood, settings, seed: Recording(model.parameters(), settings["lr"]),
            settings_grid(lr=(0.1,), batch_size=(20,), schedule=(schedule,)),
        )
        rates.clear()
        Run(problem, method, method.grid[0], 0).advance(Budget(samples=80), 1.0)
        assert rates == pytest.approx(expected)


def test_seconds_are_those_of_training_alone(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(training.time, "process_time", lambda: float(next(ticks)))
    problem = small().problem(0, None)
    trial = Run(problem, SGD, SGD.grid[1], 0)
    trial.advance(Budget(seconds=3.0), 1.0)
    trial.error(problem.test)
    assert (trial.samples, trial.seconds) == (60, 3.0)  # one tick between the two readings of each step
    trial.advance(Budget(samples=100, seconds=1e9), 1.0)
    assert (trial.samples, trial.seconds) == (100, 5.0)


def test_methods_take_turns():
    trained = []

    def logging(name: str) -> Method:
        class Logged(torch.optim.SGD):
            def step(self):
                trained.append(name)
                return super().step()

        return Method(
            name,
            lambda model, likelihood, settings, seed: Logged(model.parameters(), 0.1),
            settings_grid(batch_size=(20,)),
        )

    run_experiment(small((logging("a"), logging("b"))), progress=False)
    final = trained[-2 * 100 :]  # 2,000 samples in batches of 20, after the tuning
    assert final == ["a", "b"] * 100


def test_interrupt_leaves_a_valid_partial_result(tmp_path):
    calls = itertools.count()

    class Interrupting(torch.optim.SGD):
        def step(self):
            if next(calls) == 100:
                raise KeyboardInterrupt
            return super().step()

    second = Method(
        "late",
        lambda model, likelihood, settings, seed: Interrupting(model.parameters(), 0.1),
        settings_grid(batch_size=(10,)),
    )
    with pytest.raises(Interrupted) as caught:
        run_experiment(small((method("SGD", sgd, (0.1,), (20,)), second)), progress=False, output=tmp_path / "r.json")
    partial = load(tmp_path / "r.json.part")
    assert partial == caught.value.result and not partial.complete and caught.value.file == tmp_path / "r.json.part"
    assert not (tmp_path / "r.json").exists()
    assert [curve.method for curve in partial.curves] == ["SGD", "late"]
    assert 2 < len(partial.curve("late").samples) == len(partial.curve("late").test_error) < 101


def test_a_failure_is_not_mistaken_for_a_result(tmp_path):
    def broken(seed, data):
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        experiment = Experiment("x", "X", broken, (), budget=Budget(1))
        run_experiment(experiment, progress=False, output=tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []


def test_one_thread_inside_and_as_before_outside():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run_experiment(small(samples=20), progress=False).environment["threads"] == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("fig1a", [20] * 17),
        ("fig1b", [20, 30, 40, 50, 60, 70, 80, 90, 100, 90, 80, 70, 60, 50, 40, 30, 20]),
        ("fig1c", [200, 80, 34, 20, 10, 5, 2, 5, 10, 20, 34, 80, 200]),
    ],
)
def test_networks_of_the_paper(name, sizes):
    problem = EXPERIMENTS[name].problem(0, None)
    assert [problem.model[0].in_features] + [layer.out_features for layer in problem.model] == sizes
    assert (len(problem.train.x), len(problem.test.x)) == (10_000, 1_000)
    assert {settings["batch_size"] for settings in EXPERIMENTS[name].methods[0].grid} == {20}
    assert {settings["batch_size"] for settings in EXPERIMENTS[name].methods[1].grid} == {1_000}


@pytest.mark.parametrize("seed", range(10, 13))
def test_the_exact_rule_crosses_the_bottleneck_of_figure_1c_within_20_updates_without_a_rise(seed):
    experiment = EXPERIMENTS["fig1c"]
    problem, methods = experiment.problem(seed, None), {method.name: method for method in experiment.methods}
    assert list(methods) == ["SGD", "NGD.paper", "SGD with momentum", "NGD.exact"]
    exact = Run(problem, methods["NGD.exact"], methods["NGD.exact"].grid[0], seed)
    losses = [exact.error(problem.train)]
    while exact.error(problem.test) > 1.5 * problem.floor:
        exact.step()
        losses.append(exact.error(problem.train))
        assert losses[-1] < losses[-2] and exact.samples <= 20_000


def test_the_paper_s_rule_is_slower_through_the_bottleneck():
    experiment = EXPERIMENTS["fig1c"]
    problem, methods = experiment.problem(0, None), {method.name: method for method in experiment.methods}
    paper = next(s for s in methods["NGD.paper"].grid if s["damping"] == 1e-8)  # the best of the grid
    one_sided = Run(problem, methods["NGD.paper"], paper, 0)
    one_sided.advance(Budget(samples=25_000), 1.0)
    assert one_sided.error(problem.test) > 10 * problem.floor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fig2",), "unknown experiment 'fig2'; choose from fig1a, fig1b, fig1c, fig1d"),
        (("fig1a", {"data": "somewhere"}), "leave the data folder out"),
        (("fig1d", {"data": "nowhere"}), "does not exist"),
        (("fig1a", {"budget": 0.0}), "positive number of seconds"),
        (("fig1a", {"budget": math.nan}), "positive number of seconds"),
        (("fig1a", {"budget": math.inf}), "positive number of seconds"),
        (("fig1a", {"samples": 0}), "number of samples must be positive"),
        (("fig1a", {"seed": -1}), "a seed is a whole number from 0"),
        (("fig1a", {"seed": 2**63}), "a seed is a whole number from 0"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    name, *options = arguments
    with pytest.raises(ValueError, match=message):
        run(name, progress=False, **(options[0] if options else {}))


def test_autoencoder_learns_images_of_a_folder(tmp_path):
    ramp = np.linspace(0, 200, 36).reshape(6, 6)
    images = (ramp + np.random.default_rng(0).integers(0, 50, (1_600, 1, 1))).astype(np.uint8)
    for name, part in (("train", images[:1_550]), ("t10k", images[1_550:])):
        header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in part.shape)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(header + part.tobytes())
    fig1d = EXPERIMENTS["fig1d"]
    few = tuple(replace(method, grid=method.grid[::4]) for method in fig1d.methods)
    result = run_experiment(replace(fig1d, methods=few), data=tmp_path, samples=4_000, progress=False)
    assert result.floor is None and result.complete and str(tmp_path) not in result.to_json()
    for curve in result.curves:
        assert curve.test_error[-1] < 0.5 * curve.test_error[0]
    trials = {method.name: len(method.grid) for method in fig1d.methods}
    assert trials["SGD"] >= max(trials["NGD.fast"], trials["NGD.paper"])  # the rival is tuned with no less care


@pytest.fixture(scope="module")
def fig1a() -> Result:
    return load(recorded("figure1/fig1a-paper-seed0.json"))


@pytest.mark.parametrize(("name", "share"), [("SGD", 0.1), ("NGD.paper", 1.0)])
def test_the_recorded_figure_1a_is_that_of_today(fig1a, name, share):
    """Its grid, and its curve up to a share of the budget."""
    experiment, curve = EXPERIMENTS["fig1a"], fig1a.curve(name)
    chosen = next(method for method in experiment.methods if method.name == name)
    assert [trial["settings"] for trial in curve.tuning] == list(chosen.grid)
    problem, points = experiment.problem(0, None), round(share * (len(curve.samples) - 1))
    trained, errors = Run(problem, chosen, curve.settings, 0), []
    for point in range(points + 1):
        trained.advance(Budget(samples=60_000), point / (len(curve.samples) - 1))
        errors.append(trained.error(problem.test))
    assert errors == pytest.approx(curve.test_error[: points + 1], rel=1e-3)


def test_natural_gradient_reaches_the_floor_of_figure_1a(fig1a):
    samples = fig1a.curve("NGD.paper").samples_to(1.5 * fig1a.floor)
    assert samples is not None and samples <= 60_000
    assert fig1a.curve("NGD.paper").settings["batch_size"] == 1_000 and fig1a.curve("NGD.paper").settings["lr"] == 1.0


def test_tuned_gradient_descent_does_not(fig1a):
    curve = fig1a.curve("SGD")
    assert curve.samples[-1] == 60_000 and not curve.diverged
    assert min(curve.test_error) > 1.5 * fig1a.floor


@pytest.mark.parametrize(("method", "tuned"), [("SGD", "lr"), ("NGD.paper", "damping")])
def test_the_grids_of_figure_1a_are_wide_enough(fig1a, method, tuned):
    curve = fig1a.curve(method)
    values = sorted(trial["settings"][tuned] for trial in curve.tuning)
    assert values[0] < curve.settings[tuned] < values[-1]
