"""Runs that are killed as a process, or whose reader leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ngdnum.__main__ import main
from ngdnum.data import Examples, Problem, linear_teacher
from ngdnum.experiments import EXPERIMENTS, run_experiment
from ngdnum.experiments.output import open_output
from ngdnum.experiments.training import Run
from ngdnum.results import Result, load
from support.paths import ROOT
from support.processes import apart
from support.runs import SMALL_FIG1A, curves


def run(*arguments: str) -> int:
    EXPERIMENTS["fig1a"] = SMALL_FIG1A
    return main(["run", "fig1a", "--output", "r.json", *arguments])


def run_without(missing: str, number: int, *arguments: str) -> int:
    """The command, whose output number 1 or 2 has no reader, no room, or is no open stream."""
    if missing == "reader":
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, number)
    elif missing == "room":
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    else:
        os.close(number)
        setattr(sys, {1: "stdout", 2: "stderr"}[number], None)  # as an interpreter begins that is started so
    return run(*arguments)


def wide(seed: int, data: object) -> Problem:
    return linear_teacher((30, 40, 3), seed, train=500, validation=100, test=100)


def run_without_files(*arguments: str) -> int:
    """The command on a larger network, whose files may have 3 kB."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3072, 3072))
    EXPERIMENTS["fig1a"] = replace(SMALL_FIG1A, problem=wide)
    return main(["run", "fig1a", "--output", "r.json", *arguments])


def interrupted(steps: int, number: int, *arguments: str) -> int:
    """The command, to which a signal comes after so many steps of all, and whenever it has saved something since."""
    one, save, calls = Run.draw, Result.save, []

    def draw(run: Run) -> Examples:
        calls.append(run)
        if len(calls) == steps:
            os.kill(os.getpid(), number)
        return one(run)

    def again(result: Result, path: Path) -> None:
        save(result, path)
        if len(calls) >= steps:
            os.kill(os.getpid(), number)

    Run.draw, Result.save = draw, again
    return run(*arguments)


def killed_while_writing() -> int:
    """The command, killed when what it writes has been written, but has not taken the place of a file yet."""
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
    return run()


@pytest.mark.what_if(
    "files and commands",
    "Ctrl-C is pressed twice",
    "no traceback: “interrupted: the partial result is in r.json.part; --resume goes on”",
)
def test_two_interrupts_in_a_row_leave_the_partial_result_and_no_traceback(tmp_path):
    ended = apart(interrupted, tmp_path, 60, signal.SIGINT, "--json")
    assert ended.returncode == 130 and "Traceback" not in ended.stderr
    assert "interrupted: the partial result is in r.json.part; --resume goes on" in ended.stderr
    assert json.loads(ended.stdout) == json.loads((tmp_path / "r.json.part").read_text())
    assert json.loads(ended.stdout)["complete"] is False and load(tmp_path / "r.json.part").experiment == "fig1a"


def test_a_run_that_was_killed_for_real_goes_on(tmp_path):
    ended = apart(interrupted, tmp_path, 100, signal.SIGKILL)
    assert ended.returncode == -signal.SIGKILL and not (tmp_path / "r.json").exists()
    ended = apart(interrupted, tmp_path, 10_000, signal.SIGKILL, "--resume")
    assert ended.returncode == 0, ended.stderr
    whole = run_experiment(SMALL_FIG1A, progress=False)
    assert curves(load(tmp_path / "r.json")) == curves(whole)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["r.json"]


@pytest.mark.what_if(
    "files and commands",
    "a run is killed while it writes a file",
    "the file stays as it was; what was half written is removed by the next run that writes it, and by no other",
)
def test_what_a_killed_run_was_writing_is_removed_by_the_next_one(tmp_path):
    ended = apart(killed_while_writing, tmp_path)
    assert ended.returncode == -signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()}
    assert any(name.endswith(".tmp") for name in left) and "r.json" not in left
    (tmp_path / ".r.json.settings").write_text("of somebody else")
    run_experiment(SMALL_FIG1A, progress=False, output=tmp_path / "other.json")
    assert left < {path.name for path in tmp_path.iterdir()}
    with open_output(tmp_path / "r.json", {}, print):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"other.json", ".r.json.settings"}


@pytest.mark.what_if(
    "files and commands", "the reader of a pipe leaves", "exit status 141 without a message; the result is in its file"
)
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_reader_who_left_ends_the_command_quietly(tmp_path, arguments):
    ended = apart(run_without, tmp_path, "reader", 1, *arguments)
    assert ended.returncode == 141 and "Traceback" not in ended.stderr and "error:" not in ended.stderr
    assert load(tmp_path / "r.json").complete


@pytest.mark.what_if(
    "files and commands",
    "standard output is closed, as by `>&-`",
    "exit status 2: “error: standard output is closed”; the result is in its file",
)
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_closed_standard_output_is_told(tmp_path, arguments):
    ended = apart(run_without, tmp_path, "stream", 1, *arguments)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr and not ended.stdout
    assert ended.stderr.endswith("error: standard output is closed\n") and load(tmp_path / "r.json").complete


@pytest.mark.what_if(
    "files and commands",
    "the reader of standard error leaves, or its disk is full",
    "the run goes on, and its result is printed and in its file",
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device without room")
@pytest.mark.parametrize("gone", ["reader", "room", "stream"])
def test_nobody_need_watch(tmp_path, gone):
    ended = apart(run_without, tmp_path, gone, 2, "--json")
    assert ended.returncode == 0 and json.loads(ended.stdout)["complete"] and load(tmp_path / "r.json").complete


@pytest.mark.what_if("files and commands", "Ctrl-C is pressed while torch is imported", "no traceback")
def test_an_interrupt_while_torch_is_imported_leaves_no_traceback(tmp_path):
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    ended = subprocess.run(
        (sys.executable, "-m", "ngdnum", "run", "fig1a"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ended.returncode == -signal.SIGINT and ended.stderr == ended.stdout == ""


@pytest.mark.what_if(
    "files and commands",
    "there is no room for any file of a run",
    "exit status 2, and `--json` prints the result: “the unfinished result cannot be kept”",
)
@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of files")
def test_a_run_without_room_for_files_prints_its_result(tmp_path):
    ended = apart(run_without_files, tmp_path, "--json")
    assert ended.returncode == 2 and json.loads(ended.stdout)["complete"] is True
    assert "the unfinished result cannot be kept (File too large); the run goes on" in ended.stderr
    assert "error: 'r.json' cannot be written (File too large)" in ended.stderr
    assert not [path for path in tmp_path.iterdir() if path.stat().st_size]
