"""Regression: a table with noise, and a smooth function without."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data import Examples, Problem
from .autoencoder import autoencoder

TABLE_SEED = 0  # of the examples, which are the same for every seed of a run
SPREAD = 5.0  # near the standard deviation of Friedman's function


def friedman(x: Tensor) -> Tensor:
    """10 sin(π x₁x₂) + 20 (x₃ − ½)² + 10 x₄ + 5 x₅ of rows `[N, 10]`, `[N, 1]` (Friedman 1991, the first)."""
    a, b, c, d, e = x[:, :5].T
    return (10 * torch.sin(math.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e).unsqueeze(1)


def tabular_problem(seed: int, data: Path | None) -> Problem:
    """Friedman's function of ten uniform numbers with noise of variance 1, all over `SPREAD`; 10-64-64-1, tanh.

    The floor is the test error of the function itself.
    """
    _no_folder("tabular", data)
    generator = torch.Generator().manual_seed(TABLE_SEED)

    def draw(count: int) -> Examples:
        x = torch.rand(count, 10, generator=generator)
        return Examples(x - 0.5, (friedman(x) + torch.randn(count, 1, generator=generator)) / SPREAD)

    train, validation, test = draw(10_000), draw(1_000), draw(5_000)
    noise = 1 / SPREAD**2
    floor = nn.functional.mse_loss(friedman(test.x + 0.5) / SPREAD, test.y).item()
    model = autoencoder((10, 64, 64, 1), torch.Generator().manual_seed(seed))
    source: dict[str, object] = {
        "kind": "Friedman's first function",
        "noise": noise,
        "train": 10_000,
        "validation": 1_000,
        "test": 5_000,
        "floor": "test error of the function",
    }
    return Problem(train, validation, test, model, floor, source)


def bump(x: Tensor) -> Tensor:
    """sin(π x₁) cos(2 x₂) exp(−x₁x₂) of rows `[N, 2]`, `[N, 1]`."""
    first, second = x.T
    return (torch.sin(math.pi * first) * torch.cos(2 * second) * torch.exp(-first * second)).unsqueeze(1)


def function_problem(seed: int, data: Path | None) -> Problem:
    """A smooth function on [−1, 1]², in float64 and without noise; 2-32-32-32-1, tanh."""
    _no_folder("function", data)
    generator = torch.Generator().manual_seed(TABLE_SEED)

    def draw(count: int) -> Examples:
        x = 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1
        return Examples(x, bump(x))

    model = autoencoder((2, 32, 32, 32, 1), torch.Generator().manual_seed(seed)).double()
    source: dict[str, object] = {"kind": "smooth function", "train": 2_000, "validation": 1_000, "test": 1_000}
    return Problem(draw(2_000), draw(1_000), draw(1_000), model, None, source)


def _no_folder(name: str, data: Path | None) -> None:
    if data is not None:
        raise ValueError(f"{name} draws its own data; leave the data folder out")
