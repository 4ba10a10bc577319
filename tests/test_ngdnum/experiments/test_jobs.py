"""Several settings train at a time, in processes of this machine or on an engine of yours: the same numbers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import current_process
from pathlib import Path

import pytest
from joblib import parallel_config, register_parallel_backend
from joblib.parallel import BACKENDS, LokyBackend
from torch import nn

from ngdnum.__main__ import main
from ngdnum.experiments import EXPERIMENTS, TrialFailed, compare, run_experiment, tune_task
from ngdnum.experiments.method import Method, method, sgd
from ngdnum.experiments.task import Benchmark
from ngdnum.experiments.training import Budget
from ngdnum.experiments.tuned import Tuned
from ngdnum.likelihood import Likelihood
from ngdnum.results import Settings, load
from support.processes import Apart
from support.runs import METHODS, SMALL_FIG1A, curves, small_problem

TASK = Benchmark(
    "small",
    "Small",
    small_problem,
    METHODS,
    points=10,
    budgets=(200, 600),
    unit="samples",
    targets={"10×floor": 10.0},
    measure="test error ÷ floor of the seed",
    goal=1.5,
    tuning_seeds=(1_000, 1_001),
)


class Elsewhere(LokyBackend):
    """An engine of somebody's own: it counts what it is given."""

    given: list[object] = []

    def submit(self, func: object, callback: object = None) -> object:
        self.given.append(func)
        return super().submit(func, callback)


@pytest.fixture
def elsewhere() -> Iterator[list[object]]:
    register_parallel_backend("elsewhere", Elsewhere)
    Elsewhere.given.clear()
    yield Elsewhere.given
    del BACKENDS["elsewhere"]


def trials(tuned: Tuned) -> dict[str, list[dict[str, object]]]:
    return {name: search.trials for name, search in tuned.methods.items()}


@pytest.fixture(scope="module")
def alone() -> Tuned:
    return tune_task(TASK, None, progress=False)


def test_tuning_finds_the_same_trials_however_many_train_at_a_time(alone: Tuned, elsewhere: list[object]) -> None:
    apart = tune_task(TASK, None, progress=False, jobs=2)
    assert trials(apart) == trials(alone) and apart.winners() == alone.winners()
    assert not elsewhere and apart.methods["SGD"].environment["jobs"] == 2
    with parallel_config(backend="elsewhere", n_jobs=2):
        there = tune_task(TASK, None, progress=False, jobs=None)
    assert trials(there) == trials(alone)
    assert len(elsewhere) == 2 * 2 * (4 + 4)  # methods, seeds, settings on each of two rungs


def test_an_experiment_is_the_same_however_many_train_at_a_time() -> None:
    assert curves(run_experiment(SMALL_FIG1A, progress=False, jobs=2)) == curves(
        run_experiment(SMALL_FIG1A, progress=False)
    )


def test_a_comparison_is_the_same_however_many_train_at_a_time(alone: Tuned) -> None:
    one, two = (compare(TASK, alone.winners(), seeds=2, progress=False, jobs=jobs) for jobs in (1, 2))
    for ours, theirs in zip(two.outcomes, one.outcomes, strict=True):
        assert ours.final() == theirs.final() and ours.first(10.0, "samples") == theirs.first(10.0, "samples")


def test_settings_that_train_at_a_time_share_their_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXPERIMENTS, "fig1a", SMALL_FIG1A)
    command = ["run", "fig1a", "--json", "--output", str(tmp_path / "r.json")]
    assert main([*command, "--jobs", "2"]) == 0
    captured = capfd.readouterr()
    assert "seconds are the processor time of each worker" in captured.err
    assert json.loads(captured.out)["environment"]["jobs"] == 2
    assert main(command) == 0
    assert "processor time of each worker" not in capfd.readouterr().err


class Failing(nn.Linear):
    """A layer that fails at its 10th batch."""

    batches = 0

    def forward(self, x: object) -> object:
        self.batches += 1
        if self.batches == 10:
            raise RuntimeError("out of luck")
        return super().forward(x)


def failing(build: object) -> Method:
    """A method of three settings, the second of which breaks the network."""

    def broken(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> object:
        if settings["lr"] == 0.04:
            build(model)
        return sgd(model, likelihood, settings, seed)

    return method("SGD", broken, (0.02, 0.04, 0.1), (20,), schedule=("linear",))


def fails(model: nn.Sequential) -> None:
    model[0].__class__ = Failing


def dies(model: nn.Sequential) -> None:
    if current_process().name.startswith("Loky"):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.what_if(
    "files and commands",
    "a setting of a grid cannot be trained",
    "TrialFailed: “SGD with lr 0.04, batch_size 20, schedule linear, seed 1000: RuntimeError: out of luck”",
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_names_the_trial_and_the_others_are_kept(tmp_path: Path, jobs: int) -> None:
    task = replace(TASK, methods=(failing(fails),), tuning_seeds=(1_000,))
    name = "^SGD with lr 0.04, batch_size 20, schedule linear, seed 1000: RuntimeError: out of luck$"
    with pytest.raises(TrialFailed, match=name):
        tune_task(task, tmp_path / "t.json", progress=False, jobs=jobs)
    assert not (tmp_path / "t.json").exists()


@pytest.mark.what_if(
    "files and commands",
    "the process of a worker dies",
    "TrialFailed: “a worker has failed …; not trained yet: …SGD with lr 0.04”",
)
def test_a_worker_that_dies_names_what_is_not_trained(tmp_path: Path) -> None:
    task = replace(TASK, methods=(failing(dies),), tuning_seeds=(1_000,))
    with pytest.raises(TrialFailed, match="a worker has failed .*; not trained yet: .*SGD with lr 0.04"):
        tune_task(task, tmp_path / "t.json", progress=False, jobs=2)


@pytest.mark.what_if("files and commands", "`--jobs 0`", "exit status 2: “the number of jobs is a positive number”")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "fig1a", "--jobs", "0"], "the number of jobs is a positive number, got 0"),
        (["bench", "fig1a", "--jobs", "-1"], "the number of jobs is a positive number, got -1"),
        (["bench", "fig1a", "--tune", "--jobs", "-1"], "the number of jobs is a positive number, got -1"),
        (["bench", "step", "--jobs", "2"], "leave out --jobs"),
        (["run", "endurance", "--jobs", "2"], "leave out --jobs"),
    ],
)
def test_jobs_that_cannot_be_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capfd.readouterr().err and not list(tmp_path.iterdir())


def test_without_joblib_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ModuleNotFoundError, match=r"several jobs need joblib: pip install 'ngd\[experiments\]'"):
        tune_task(TASK, None, progress=False, jobs=2)


LONGER = replace(SMALL_FIG1A, methods=METHODS[:1], budget=Budget(samples=5_000))
RUN = ["run", "fig1a", "--output", "r.json", "--json"]


def run_longer() -> int:
    EXPERIMENTS["fig1a"] = LONGER
    return main([*RUN, "--jobs", "2"])


@pytest.mark.what_if(
    "files and commands",
    "Ctrl-C is pressed while several settings train at a time",
    "no traceback, no worker is left; finished trials are kept, and `--resume` goes on with any number of jobs",
)
def test_an_interrupt_keeps_the_trials_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    running = Apart(run_longer, tmp_path)
    while not (tmp_path / "r.json.state").exists():
        assert running.process.is_alive(), running.communicate().stderr
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    ended = running.communicate(60)
    assert ended.returncode == 130 and "Traceback" not in ended.stderr
    assert "the partial result is in r.json.part; --resume goes on" in ended.stderr
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(running.pid, 0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "fig1a", LONGER)
    assert main([*RUN, "--resume"]) == 0 and "nothing to resume" not in capfd.readouterr().err
    assert curves(load(tmp_path / "r.json")) == curves(run_experiment(LONGER, progress=False))
