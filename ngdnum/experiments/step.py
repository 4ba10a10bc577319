"""What one training step costs, as a ratio to a step of SGD with the same batch."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..data import Problem, linear_teacher
from ..results import Settings, Stored, compact_json
from .autoencoder import digits_problem
from .method import Method
from .output import open_output
from .progress import Bar, progress_bars
from .rivals import IMAGES, LINEAR
from .task import conditions
from .tasks import TASKS
from .training import Run
from .tuning import environment

if TYPE_CHECKING:
    from rich.table import Table

STEPS = 128  # in a block: `NGD.fast` measures factors at every 64th step and inverts them at every 128th
TURN = 16  # steps a method takes in a row, with its own numbers in the caches, as in training
BLOCKS = 3
WARM_UP = 128  # steps before the first block: factors are renewed more often in the beginning
MEASURED = ("settings", "blocks", "yardstick", "precision")  # parts of the result that grow with each case
GENTLE = 1e-3  # of the least rate in a grid, so that nothing diverges while it is timed


@dataclass(frozen=True)
class Case:
    """A network and data to step on, the size of the batch, the methods, and the precision of float32 products.

    The first method is the yardstick.
    """

    name: str
    problem: Callable[[], Problem]
    batch_size: int
    methods: tuple[Method, ...]
    precision: str


def _images() -> Problem:
    """The bundled digits: how many eigenpairs of a factor matter, so the time of a step, depends on the images."""
    return digits_problem(0, None)


def _linear() -> Problem:
    return linear_teacher((20,) * 17, train=2_000, dtype=torch.float32)


CASES = (
    Case("A: 16 linear layers of 20 units, M=1000", _linear, 1_000, LINEAR, TASKS["fig1a"].precision),
    Case("D: autoencoder 784-400-…-784, M=200", _images, 200, IMAGES, TASKS["fig1d"].precision),
    Case("D: autoencoder 784-400-…-784, M=1000", _images, 1_000, IMAGES, TASKS["fig1d"].precision),
)


@dataclass
class StepTimes(Stored):
    """Milliseconds of a step of each method in each case, by blocks."""

    cases: list[str]
    environment: dict[str, object]
    settings: dict[tuple[str, str], Settings] = field(default_factory=dict)
    blocks: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    yardstick: dict[str, str] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    def step_ms(self, case: str, name: str) -> float:
        """Median over the blocks, each a mean over `STEPS` steps."""
        return statistics.median(self.blocks[case, name])

    def ratio(self, case: str, name: str) -> float:
        """Median over the blocks of the ratio to the yardstick's steps among which these were taken."""
        pairs = zip(self.blocks[case, name], self.blocks[case, self.yardstick[case]])
        return statistics.median(own / other for own, other in pairs)

    def to_json(self) -> str:
        """One JSON object, of the same form as those of the other tasks."""
        methods = [
            {
                "name": name,
                "case": case,
                "settings": self.settings[case, name],
                "trials": 0,
                "float32_matmul_precision": self.precision[case],
                "step_ms": self.step_ms(case, name),
                "ratio_to_sgd": self.ratio(case, name),
                "samples_to": {},
                "seconds_to": {},
                "error_at": {},
            }
            for case, name in self.blocks
        ]
        content = {
            "task": "step",
            "targets": [],
            "methods": methods,
            "environment": self.environment,
            "cases": self.cases,
            "command": "python -m ngdnum bench step",
            "complete": self.complete,
        }
        return compact_json(content)

    def table(self) -> Table:
        """A row for each method and case."""
        from rich.table import Table

        caption = "" if self.complete else "interrupted: partial result; "
        caption += f"medians of {BLOCKS} blocks of {STEPS} steps, {TURN} in turns"
        table = Table("case", "method", title="Training steps", caption=caption)
        for heading in ("ms/step", "× SGD"):
            table.add_column(heading, justify="right")
        for case, name in self.blocks:
            table.add_row(case, name, f"{self.step_ms(case, name):.3g}", f"{self.ratio(case, name):.2f}")
        return table


def time_steps(
    cases: Sequence[Case] | None = None,
    *,
    methods: list[str] | None = None,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> StepTimes:
    """Time whole training steps (batch, forward, backward, update) of all methods, `TURN` each in turns.

    Parameters
    ----------
    cases : None: `CASES`.
    methods : only these; the yardstick, SGD, is always there.
    output : file that receives the complete result; until then, the finished cases lie beside it.
    resume : leave out the cases that an interrupted call with the same arguments has finished.

    Raises
    ------
    ValueError : unknown method.
    Interrupted : Ctrl-C; a KeyboardInterrupt whose `result` are the cases finished so far.
    """
    cases = CASES if cases is None else cases
    known = list(dict.fromkeys(method.name for case in cases for method in case.methods))
    if unknown := [name for name in methods or () if name not in known]:
        raise ValueError(f"step has no method {unknown[0]!r}; choose from {', '.join(known)}")
    names = [case.name for case in cases]
    identity = {"command": "python -m ngdnum bench step", "cases": str(names), "methods": str(methods)}
    with conditions(), progress_bars(progress) as bars, open_output(output, identity, bars.say) as place:
        machine = {k: v for k, v in environment().items() if k != "float32_matmul_precision"}
        times = StepTimes(names, machine)
        with place.receiving(times):
            done: dict[str, Any] = place.state(resume)
            for name, value in done.items():
                setattr(times, name, value)
            for case in cases:
                if case.name in times.yardstick:
                    continue
                bar = bars.add(case.name, total=BLOCKS)
                with conditions(case.precision):
                    _time(case, methods, times, bar)
                place.keep(times, lambda: {name: getattr(times, name) for name in MEASURED}, at_once=True)
    return times


def _time(case: Case, methods: list[str] | None, times: StepTimes, bar: Bar) -> None:
    problem, yardstick = case.problem(), case.methods[0]
    chosen = [m for m in case.methods if methods is None or m.name in methods or m is yardstick]
    runs = [Run(problem, m, _gentle(m, case.batch_size), seed=0) for m in chosen]
    blocks: list[list[float]] = [[] for _ in runs]
    _steps(runs, WARM_UP)
    for _ in range(BLOCKS):
        before = [run.seconds for run in runs]
        _steps(runs, STEPS)
        for own, run, start in zip(blocks, runs, before):
            own.append(1e3 * (run.seconds - start) / STEPS)
        bar.advance(1)
    times.yardstick[case.name], times.precision[case.name] = yardstick.name, case.precision
    for run, own in zip(runs, blocks):
        times.settings[case.name, run.method.name] = run.settings
        times.blocks[case.name, run.method.name] = own


def _steps(runs: list[Run], count: int) -> None:
    for run in runs * (count // TURN):
        for _ in range(TURN):
            run.step()
            if run.diverged:
                raise RuntimeError(f"{run.method.name} diverged while its steps were timed")


def _gentle(method: Method, batch_size: int) -> Settings:
    rate = GENTLE * min(float(settings["lr"]) for settings in method.grid)
    return {**method.grid[0], "lr": rate, "batch_size": batch_size}
