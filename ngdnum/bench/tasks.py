"""What is to be learnt, by whom, within which budgets, and how well."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import results
from ..data import Problem
from ..experiments import EXPERIMENTS
from ..experiments.experiment import one_thread
from ..experiments.training import Budget, Method
from .methods import BOTTLENECK, IMAGES, LINEAR
from .muon import arithmetic


@dataclass(frozen=True)
class Task:
    """A problem as a function of seed and data folder, the methods, the budgets of each, and the targets.

    `budgets` are in `unit`s ("samples" or "seconds"), from the smallest up; `targets` are errors in the unit
    that `measure` describes (see `scale`).  `goal`: settings that get there are ranked by how early they do;
    None ranks by the error at the end alone.  `tuning_seeds` are never those of the benchmark; `points` test
    errors are recorded in each budget; `precision` is that of `torch.set_float32_matmul_precision`.
    """

    name: str
    title: str
    problem: Callable[[int, Path | None], Problem]
    methods: tuple[Method, ...]
    budgets: tuple[float, ...]
    unit: str
    targets: dict[str, float]
    measure: str
    goal: float | None = None
    tuning_seeds: tuple[int, ...] = (1_000,)
    points: int = 100
    precision: str = "highest"

    def budget(self, amount: float) -> Budget:
        """A budget of `amount` units."""
        return Budget(samples=round(amount)) if self.unit == "samples" else Budget(seconds=float(amount))

    def label(self, amount: float) -> str:
        """`amount` units as a short name, "20k" samples or "5s"."""
        return f"{amount / 1_000:g}k" if self.unit == "samples" else f"{amount:g}s"

    def chosen(self, methods: list[str] | None) -> tuple[Method, ...]:
        """The methods with these names, None: all.

        Raises
        ------
        ValueError : an unknown name; the message lists those there are.
        """
        names = [method.name for method in self.methods]
        if unknown := [name for name in methods or () if name not in names]:
            raise ValueError(f"{self.name} has no method {unknown[0]!r}; choose from {', '.join(names)}")
        return tuple(method for method in self.methods if methods is None or method.name in methods)


def scale(problem: Problem) -> float:
    """Turns the mean squared error per output into multiples of the floor, or the sum where none is known."""
    return problem.train.y.shape[1] if problem.floor is None else 1 / problem.floor


@contextlib.contextmanager
def conditions(precision: str) -> Iterator[None]:
    """One thread, and the same precision of float32 products for everybody."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with one_thread():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def environment() -> dict[str, object]:
    """What a reader needs to judge seconds: versions, processor, precision of products, arithmetic of Muon."""
    return {
        **results.environment(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "muon_arithmetic": str(arithmetic(torch.device("cpu"))).removeprefix("torch."),
    }


def _linear(name: str, methods: tuple[Method, ...], budgets: tuple[int, ...]) -> Task:
    experiment = EXPERIMENTS[name]
    targets = {f"{multiple:g}×floor": multiple for multiple in (100.0, 10.0, 1.5)}
    return Task(name, experiment.title, experiment.problem, methods, budgets, "samples", targets,
                "test error ÷ floor of the seed", goal=1.5, tuning_seeds=(1_000, 1_001))


def _images(name: str, title: str, budgets: tuple[float, ...], targets: tuple[float, ...]) -> Task:
    return Task(name, title, EXPERIMENTS["fig1d"].problem, IMAGES, budgets, "seconds",
                {f"{target:g}": target for target in targets}, "test squared error, summed over outputs",
                points=40, precision="medium")


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _linear("fig1a", LINEAR, (5_000, 10_000, 40_000)),
        _linear("fig1b", LINEAR, (2_500, 5_000, 40_000)),
        _linear("fig1c", BOTTLENECK, (6_000, 12_000, 80_000)),
        _images("fig1d", "Figure 1D: autoencoder of Fashion-MNIST", (5.0, 10.0, 20.0, 40.0), (10.0, 8.5, 7.5)),
        _images("fig1d-digits", "Figure 1D: autoencoder of the bundled digits", (2.0, 4.0, 8.0),
                (15.0, 12.0, 10.0)),
    )
}


def find_task(name: str, data: Path | None) -> Task:
    """The task with this name; without a data folder, `fig1d` is about the bundled digits.

    Raises
    ------
    ValueError : an unknown name; the message lists those there are.
    """
    if name not in TASKS:
        known = [task for task in TASKS if task != "fig1d-digits"]
        raise ValueError(f"unknown task {name!r}; choose from {', '.join(known)}, step")
    return TASKS["fig1d-digits" if name == "fig1d" and data is None else name]
