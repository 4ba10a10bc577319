"""Measurements in processes of their own end with the command that waits for them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ngdnum.__main__ import main
from ngdnum.experiments import TrialFailed, endurance
from ngdnum.experiments.cli import MEASURED
from ngdnum.experiments.endurance import endure, endure_alone, measure_endurance
from support.processes import Apart

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads from Linux about processes")


def endless() -> int:
    MEASURED["endurance"] = "endless", partial(measure_endurance, presets=("paper",), steps=10**9)
    return main(["run", "endurance", "--output", "r.json"])


def soon(condition: Callable[[], object], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def over(process: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.what_if(
    "files and commands",
    "a command that measures in another process is interrupted or killed",
    "no traceback, and that process ends too",
)
@pytest.mark.parametrize(
    ("sent", "wait"),
    [(signal.SIGINT, 0.0), (signal.SIGINT, 6.0), (signal.SIGKILL, 0.0)],
    ids=["interrupted at the start", "interrupted in training", "killed"],
)
def test_who_measures_ends_with_the_command(tmp_path: Path, sent: int, wait: float) -> None:
    running = Apart(endless, tmp_path)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    assert soon(children.read_text), running.communicate().stderr
    measuring = int(children.read_text().split()[0])
    time.sleep(wait)
    (os.killpg if sent == signal.SIGINT else os.kill)(running.pid, sent)  # Ctrl-C reaches all of a terminal's processes
    ended = running.communicate(60)
    assert ended.returncode == (130 if sent == signal.SIGINT else -sent)
    assert "Traceback" not in ended.stdout + ended.stderr
    assert soon(lambda: over(measuring))


def test_what_is_measured_alone_is_what_is_measured_here() -> None:
    here, alone = (measure("paper", "float32", 50) for measure in (endure, endure_alone))
    assert alone["loss"] == here["loss"] and alone.keys() == here.keys()


def test_why_it_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endurance, "ALONE", "import sys\nraise KeyError(sys.argv[1])")
    with pytest.raises(TrialFailed, match="^slow in float32: KeyError: 'slow'$"):
        endure_alone("slow", "float32", 10)
