"""Random matrices, and functions of them that no code of the rules takes part in."""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor

BATCH = 3


inv = torch.linalg.inv


def eye(size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(size: int, seed: int, rank: int | None = None) -> Tensor:
    factor = gaussian(BATCH, size, rank or 2 * size, seed=seed)
    return factor @ factor.mT / factor.shape[-1]


def power(A: Tensor, exponent: float) -> Tensor:
    powers = [scipy.linalg.fractional_matrix_power(a.numpy(), exponent) for a in A]
    return torch.stack(list(map(torch.from_numpy, powers)))


def polar(A: Tensor) -> Tensor:
    return torch.stack([torch.from_numpy(scipy.linalg.polar(a.numpy())[0]) for a in A])


def error(found: Tensor, expected: Tensor) -> float:
    return float(torch.linalg.matrix_norm(found - expected).max() / torch.linalg.matrix_norm(expected).max())
