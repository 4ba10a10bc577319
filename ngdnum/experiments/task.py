"""What is to be learnt, how well, and under which conditions: the paper's experiments and the benchmark's tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data import Problem
from .method import Method
from .training import Budget


def scale(problem: Problem) -> float:
    """Turns the mean squared error per output into multiples of the floor, or the sum where none is known."""
    return problem.train.y.shape[1] if problem.floor is None else 1 / problem.floor


def unscaled(problem: Problem) -> float:
    """Leaves the error of a problem as it is."""
    return 1.0


@dataclass(frozen=True)
class Task:
    """A problem as a function of seed and data folder, and the methods that are compared on it.

    `points` test errors are recorded in each budget, evenly spread; `precision` is that of
    `torch.set_float32_matmul_precision`.
    """

    name: str
    title: str
    problem: Callable[[int, Path | None], Problem]
    methods: tuple[Method, ...]
    points: int = 100
    precision: str = "highest"

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

    def shares(self, first: int = 0) -> tuple[float, ...]:
        """The shares of a budget at which test errors are recorded."""
        return tuple(point / self.points for point in range(first, self.points + 1))


@dataclass(frozen=True, kw_only=True)
class Experiment(Task):
    """A figure of the paper: methods are tuned and trained within `budget`, from one seed.

    `tuning_share` is the share of that budget for which tuning trains the best settings of a grid; `settings` says
    whether they follow the text of the "paper" or the code of its "authors".
    """

    budget: Budget
    tuning_share: float = 1.0
    settings: str = "paper"


@dataclass(frozen=True, kw_only=True)
class Benchmark(Task):
    """A task of the benchmark: budgets, and the targets that methods race to.

    `budgets` are in `unit`s ("samples" or "seconds"), from the smallest up; `targets` are errors, times `scale` of the
    problem, in the unit that `measure` describes.  Tuning trains for `tuning_shares` of a budget, the whole grid for
    the first, and the best two settings for each other one.  `goal`: settings that get there are ranked by how early
    they do; None ranks by the error at the end alone.  `tuning_seeds` are never those of the comparison.
    """

    budgets: tuple[float, ...]
    unit: str
    targets: dict[str, float]
    measure: str
    goal: float | None = None
    scale: Callable[[Problem], float] = scale
    tuning_shares: tuple[float, ...] = (1.0,)
    tuning_seeds: tuple[int, ...] = (1_000,)

    def budget(self, amount: float) -> Budget:
        """A budget of `amount` units, one sample at least."""
        return Budget(samples=max(1, round(amount))) if self.unit == "samples" else Budget(seconds=float(amount))

    def label(self, amount: float) -> str:
        """`amount` units as a short name, "20k" samples or "5s"."""
        return f"{amount / 1_000:g}k" if self.unit == "samples" else f"{amount:g}s"


@contextlib.contextmanager
def conditions(precision: str = "highest") -> Iterator[None]:
    """One thread, and the same precision of float32 products for everybody; as before outside.

    Matrices this small lose time on a second thread, all the more on a busy machine, and one thread makes seconds
    comparable.

    Examples
    --------
    >>> with conditions():
    ...     torch.get_num_threads()
    1
    """
    threads, before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(before)
