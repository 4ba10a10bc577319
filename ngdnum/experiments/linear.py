"""Figure 1 A–C: three deep linear networks recover a random map of their own model class."""

from __future__ import annotations

from pathlib import Path

from ..data import Problem, linear_teacher
from .method import Method, method, paper, sgd
from .task import Experiment
from .training import Budget

LEARNING_RATES = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.08, 0.16)
MOMENTUM_RATES = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
EXACT_RATE = 0.4  # the largest of 0.3, 0.35, 0.4, 0.45 at which the training loss rose in none of eight runs
DAMPINGS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

PAPER = method("NGD.paper", paper, (1.0,), (1_000,), True, damping=DAMPINGS, K=(1,), rule=("kronecker",))
EXACT = method("NGD.exact", paper, (EXACT_RATE,), (1_000,), True, damping=(0.0,), K=(1,), rule=("exact",))
MOMENTUM = method("SGD with momentum", sgd, MOMENTUM_RATES, (20,), momentum=(0.9,))


def linear_experiment(name: str, title: str, sizes: tuple[int, ...], more: tuple[Method, ...] = ()) -> Experiment:
    """SGD, natural gradient descent as in the paper and `more` on a linear network of the sizes n_0 … n_L."""

    def problem(seed: int, data: Path | None) -> Problem:
        if data is not None:
            raise ValueError(f"{name} draws its own data; leave the data folder out")
        return linear_teacher(sizes, seed)

    methods = (method("SGD", sgd, LEARNING_RATES, (20,)), PAPER, *more)
    return Experiment(name, title, problem, methods, budget=Budget(samples=80_000))


FIG1A = linear_experiment("fig1a", "Figure 1A: 16 linear layers of 20 units", (20,) * 17)
FIG1B = linear_experiment(
    "fig1b", "Figure 1B: 16 linear layers, 20 to 100 to 20 units", (*range(20, 100, 10), *range(100, 10, -10))
)
FIG1C = linear_experiment(
    "fig1c",
    "Figure 1C: 12 linear layers with a bottleneck of 2 units",
    (200, 80, 34, 20, 10, 5, 2, 5, 10, 20, 34, 80, 200),
    (MOMENTUM, EXACT),
)
