"""Figure 1D: a deep tanh autoencoder of handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import NGD
from ..data import Examples, Problem, digits
from .method import method, natural, paper, sgd
from .search import SCHEDULES
from .task import Experiment
from .training import Budget

HIDDEN = (400, 200, 100, 50, 100, 200, 400)


def autoencoder(sizes: Sequence[int], generator: torch.Generator, scale: float = 1.0, **options: Any) -> nn.Sequential:
    """x_i = tanh(W_i x_{i-1} + b_i), the last layer linear; entries of W_i ~ N(0, `scale`²/n_{i-1}), b_i = 0.

    `options` are those of `nn.Linear`.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.Linear(n_in, n_out, **options)
        nn.init.normal_(layer.weight, std=scale * n_in**-0.5, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def digits_problem(seed: int, data: Path | None) -> Problem:
    """Reproduce images through 50 numbers; `seed` decides the starting weights, never the images."""
    train, validation, test, source = digits(data)
    pixels = train.shape[1]
    model = autoencoder((pixels, *HIDDEN, pixels), torch.Generator().manual_seed(seed))
    return Problem(Examples(train, train), Examples(validation, validation), Examples(test, test), model, None, source)


FIG1D = Experiment(
    "fig1d",
    "Figure 1D: autoencoder of handwritten digits",
    digits_problem,
    (
        method("SGD", sgd, (0.003, 0.005, 0.0075, 0.01, 0.015, 0.02), (20,), schedule=SCHEDULES),
        method(
            "NGD.fast", natural(NGD.fast), (0.3, 0.5, 0.8, 1.2), (100, 200, 400), preset=("fast",), schedule=("linear",)
        ),
        method(
            "NGD.paper",
            paper,
            (1.0,),
            (125, 250, 500, 1_000),
            True,
            damping=(1e-3, 1e-2, 1e-1),
            K=(1,),
            rule=("kronecker",),
        ),
    ),
    budget=Budget(seconds=30.0),
    tuning_share=1 / 3,
)
