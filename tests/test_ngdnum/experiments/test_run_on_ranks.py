"""Experiments that torchrun starts on several processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ngdnum.experiments import run


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    command += ["--nproc-per-node", "2", "-m", "ngdnum", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_a_figure_on_two_processes_has_one_result_near_that_of_one_process(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = torchrun("fig1a", "--samples", "2000", "--json", "--output", str(file))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # one object, of the first rank
    assert result == json.loads(file.read_text()) and result["complete"]
    alone = run("fig1a", samples=2000, progress=False)
    for curve, expected in zip(result["curves"], alone.curves, strict=True):
        assert curve["samples"] == expected.samples
        if "sgd" in curve["method"].lower():  # nothing is sampled
            assert curve["settings"] == expected.settings
            assert curve["test_error"] == pytest.approx(expected.test_error, rel=1e-6)
        else:
            assert curve["test_error"][-1] < curve["test_error"][0]


def test_runs_of_several_processes_are_not_resumed(tmp_path: Path) -> None:
    done = torchrun("fig1a", "--samples", "2000", "--resume", "--output", str(tmp_path / "result.json"))
    assert done.returncode
    assert "a run of several processes cannot be resumed" in done.stderr
