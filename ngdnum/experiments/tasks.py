"""All experiments of the paper and all tasks of the benchmark: a new one is one more entry."""

from __future__ import annotations

from pathlib import Path

from .authors import AUTHORS
from .autoencoder import FIG1D, digits_problem
from .linear import FIG1A, FIG1B, FIG1C
from .method import Method
from .rivals import BOTTLENECK, IMAGES, LINEAR
from .task import Benchmark, Experiment

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in (FIG1A, FIG1B, FIG1C, FIG1D)}
SETTINGS: dict[str, dict[str, Experiment]] = {"paper": EXPERIMENTS, "authors": AUTHORS}


def _linear(experiment: Experiment, methods: tuple[Method, ...], budgets: tuple[int, ...]) -> Benchmark:
    targets = {f"{multiple:g}×floor": multiple for multiple in (100.0, 10.0, 1.5)}
    return Benchmark(
        experiment.name,
        experiment.title,
        experiment.problem,
        methods,
        budgets=budgets,
        unit="samples",
        targets=targets,
        measure="test error ÷ floor of the seed",
        goal=1.5,
        tuning_seeds=(1_000, 1_001),
    )


def _images(name: str, title: str, budgets: tuple[float, ...], targets: tuple[float, ...]) -> Benchmark:
    return Benchmark(
        name,
        title,
        digits_problem,
        IMAGES,
        budgets=budgets,
        unit="seconds",
        targets={f"{target:g}": target for target in targets},
        measure="test squared error, summed over outputs",
        points=40,
        precision="medium",
    )


TASKS: dict[str, Benchmark] = {
    task.name: task
    for task in (
        _linear(FIG1A, LINEAR, (5_000, 10_000, 40_000)),
        _linear(FIG1B, LINEAR, (2_500, 5_000, 40_000)),
        _linear(FIG1C, BOTTLENECK, (6_000, 12_000, 80_000)),
        _images("fig1d", "Figure 1D: autoencoder of Fashion-MNIST", (5.0, 10.0, 20.0, 40.0), (10.0, 8.5, 7.5)),
        _images("fig1d-digits", "Figure 1D: autoencoder of the bundled digits", (2.0, 4.0, 8.0), (15.0, 12.0, 10.0)),
    )
}


def find_task(name: str, data: Path | None) -> Benchmark:
    """The task with this name; without a data folder, `fig1d` is about the bundled digits.

    Raises
    ------
    ValueError : an unknown name; the message lists those there are.
    """
    if name not in TASKS:
        known = [task for task in TASKS if task != "fig1d-digits"]
        raise ValueError(f"unknown task {name!r}; choose from {', '.join(known)}, step")
    return TASKS["fig1d-digits" if name == "fig1d" and data is None else name]
