"""All experiments of the paper and all tasks of the benchmark: a new one is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..data import Problem
from .authors import AUTHORS
from .autoencoder import FIG1D, digits_problem
from .chars import chars_problem
from .classifiers import classification, cnn, mlp, relu20, relu20_he, tanh20
from .fits import function_problem, tabular_problem
from .linear import FIG1A, FIG1B, FIG1C
from .method import Method
from .poisson import poisson_problem
from .rivals import BOTTLENECK, DEEP, FULL_BATCH, IMAGES, LINEAR, OTHERS, SEQUENCES, STRONG
from .task import Benchmark, Experiment, scale, unscaled

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


MULTIPLES = "test error ÷ floor"
LOSS = "test loss, nats"


def _beyond(
    name: str,
    title: str,
    problem: Callable[[int, Path | None], Problem],
    seconds: float,
    measure: str,
    targets: tuple[float, ...],
    methods: tuple[Method, ...] = STRONG,
) -> Benchmark:
    """A task of its own for which all methods have so many seconds."""
    return Benchmark(
        name,
        title,
        problem,
        methods,
        budgets=(seconds,),
        unit="seconds",
        targets={f"{target:g}": target for target in targets},
        measure=measure,
        scale=scale if measure == MULTIPLES else unscaled,
        points=8,
        tuning_shares=(0.25, 0.5),
    )


BEYOND = (
    _beyond("mlp", "Classifier 784-200-100-10", classification(mlp), 4.0, LOSS, (0.4, 0.35)),
    _beyond("mlp-others", "The same, other methods", classification(mlp), 4.0, LOSS, (0.4, 0.35), OTHERS),
    _beyond("cnn", "Convolutional classifier with BatchNorm", classification(cnn), 8.0, LOSS, (0.5, 0.4)),
    _beyond("chars", "Character transformer", chars_problem, 8.0, LOSS, (2.5, 2.0), SEQUENCES),
    _beyond("tabular", "Friedman's regression", tabular_problem, 2.0, MULTIPLES, (1.2, 1.05)),
    _beyond(
        "function",
        "Fit of a smooth function",
        function_problem,
        6.0,
        "test squared error",
        (1e-4, 1e-6, 1e-8),
        (*STRONG, *FULL_BATCH),
    ),
    _beyond(
        "poisson",
        "Poisson equation, physics-informed",
        poisson_problem,
        4.0,
        "relative error of the solution",
        (1e-1, 1e-2, 1e-3),
        (*STRONG, *FULL_BATCH),
    ),
    _beyond("relu20", "20 ReLU layers, torch's initial weights", classification(relu20), 4.0, LOSS, (1.0, 0.5)),
    _beyond(
        "relu20-he", "20 ReLU layers, He's initial weights", classification(relu20_he), 4.0, LOSS, (0.5, 0.4), DEEP
    ),
    _beyond("tanh20", "20 tanh layers", classification(tanh20), 4.0, LOSS, (0.5, 0.4), DEEP),
)

TASKS: dict[str, Benchmark] = {
    task.name: task
    for task in (
        _linear(FIG1A, LINEAR, (5_000, 10_000, 40_000)),
        _linear(FIG1B, LINEAR, (2_500, 5_000, 40_000)),
        _linear(FIG1C, BOTTLENECK, (6_000, 12_000, 80_000)),
        _images("fig1d", "Figure 1D: autoencoder of Fashion-MNIST", (5.0, 10.0, 20.0, 40.0), (10.0, 8.5, 7.5)),
        _images("fig1d-digits", "Figure 1D: autoencoder of the bundled digits", (2.0, 4.0, 8.0), (15.0, 12.0, 10.0)),
        *BEYOND,
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
