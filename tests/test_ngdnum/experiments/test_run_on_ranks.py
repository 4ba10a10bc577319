"""Experiments that torchrun starts on several processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ngdnum.__main__ import main
from ngdnum.experiments import EXPERIMENTS, run_experiment
from ngdnum.experiments.task import Experiment
from support.processes import apart


def fewer_settings() -> Experiment:
    fig1a = EXPERIMENTS["fig1a"]
    return replace(fig1a, methods=tuple(replace(method, grid=method.grid[::3]) for method in fig1a.methods))


def torchrun(*arguments: str) -> int:
    """What `torchrun --standalone --nproc-per-node 2 -m ngdnum run` does, in processes that have torch in memory."""
    EXPERIMENTS["fig1a"] = fewer_settings()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=0,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        start_method="fork",
    )
    return max(elastic_launch(config, main)(["run", *arguments]).values())


def test_a_figure_on_two_processes_has_one_result_near_that_of_one_process(tmp_path: Path) -> None:
    done = apart(torchrun, tmp_path, "fig1a", "--samples", "2000", "--json", "--output", "result.json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # one object, of the first rank
    assert result == json.loads((tmp_path / "result.json").read_text()) and result["complete"]
    alone = run_experiment(fewer_settings(), samples=2000, progress=False)
    for curve, expected in zip(result["curves"], alone.curves, strict=True):
        assert curve["samples"] == expected.samples
        if "sgd" in curve["method"].lower():  # nothing is sampled
            assert curve["settings"] == expected.settings
            assert curve["test_error"] == pytest.approx(expected.test_error, rel=1e-6)
        else:
            assert curve["test_error"][-1] < curve["test_error"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "a run of several processes cannot be resumed"),
        (["--jobs", "2"], "torchrun and --jobs are two ways to use several processes"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of torchrun")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["run", "fig1a", "--samples", "2000", "--output", str(tmp_path / "result.json"), *arguments]) == 2
    assert message in capfd.readouterr().err and not list(tmp_path.iterdir())
