"""A physics-informed network: −Δu = 2π² f in the unit square, u = 0 on its edge.

Residuals of a differential equation are outputs of the Gaussian likelihood. They are made of derivatives of the
network, whose weights must act by calls of their layers alone. So a point goes through the network as five positions:
the value, its two derivatives and its Laplacian (the forward Laplacian, Li et al. 2023), and the value at a point of
the edge. A linear layer acts alike on all of them, but for the constant 1 of its bias, which has no derivative; it is
an input here. K-FAC's factors are then means over positions as for any shared weight (Dangel et al. 2024).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Examples, Problem

POINTS_SEED = 0
UNIT = 2 * math.pi**2  # of the Laplacian, so that both outputs are of the size of u
VALUE, FIRST, SECOND, LAPLACIAN = 0, 1, 2, 3  # positions


class Poisson(nn.Module):
    """Of a point inside and one on the edge, `[M, 4]`, the outputs (−Δu/2π², u), `[M, 2]`; tanh between layers."""

    def __init__(self, width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [2] + [width] * depth + [1]
        self.layers = nn.ModuleList(nn.Linear(n_in + 1, n_out, bias=False) for n_in, n_out in zip(sizes, sizes[1:]))
        self.double()
        for layer in self.layers.children():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)

    def forward(self, points: Tensor) -> Tensor:
        inside, edge = points.split(2, dim=1)
        directions = torch.eye(2, dtype=points.dtype).expand(len(points), 2, 2)
        positions = torch.cat([_row(inside), directions, torch.zeros_like(_row(inside)), _row(edge)], 1)
        u = self._positions(positions)
        return torch.cat([-u[:, LAPLACIAN] / UNIT, u[:, -1]], 1)

    def solution(self, points: Tensor) -> Tensor:
        """u at points `[N, 2]`, `[N, 1]`."""
        return self._positions(_row(points))[:, VALUE]

    def _positions(self, h: Tensor) -> Tensor:
        """Positions `[M, 5, n]` (or values alone, `[M, 1, n]`) through all layers."""
        ones = torch.zeros_like(h[..., :1])
        ones[:, [VALUE, -1]] = 1.0
        for i, layer in enumerate(self.layers):
            h = layer(torch.cat([_tanh(h) if i else h, ones], -1))
        return h


def _tanh(h: Tensor) -> Tensor:
    """tanh of the values; its first derivatives times theirs; t′ Δh + t″ |∇h|²."""
    value, last = torch.tanh(h[:, :1]), torch.tanh(h[:, -1:])
    if h.shape[1] == 1:
        return value
    slope = 1 - value.square()
    gradient, laplacian = h[:, FIRST : SECOND + 1], h[:, LAPLACIAN : LAPLACIAN + 1]
    bend = -2 * value * slope * gradient.square().sum(1, keepdim=True)
    return torch.cat([value, slope * gradient, slope * laplacian + bend, last], 1)


def _row(x: Tensor) -> Tensor:
    return x.unsqueeze(1)


def exact(points: Tensor) -> Tensor:
    """u = sin(πx) sin(πy) of rows `[N, 2]`, `[N, 1]`; −Δu/2π² = u, so f = u."""
    return torch.sin(math.pi * points).prod(1, keepdim=True)


def relative_error(model: nn.Module, points: Tensor, solution: Tensor) -> float:
    """‖û − u‖ / ‖u‖ at `points [N, 2]`."""
    assert isinstance(model, Poisson)
    with torch.no_grad():
        return (F.mse_loss(model.solution(points), solution) / solution.square().mean()).sqrt().item()


def poisson_problem(seed: int, data: Path | None) -> Problem:
    """2-32-32-32-1 in float64; training points with targets (f, 0), other points with the solution's values."""
    if data is not None:
        raise ValueError("poisson draws its own points; leave the data folder out")
    generator = torch.Generator().manual_seed(POINTS_SEED)

    def draw(count: int) -> Tensor:
        return torch.rand(count, 2, generator=generator, dtype=torch.float64)

    inside, edge = draw(2_000), draw(2_000)
    edge[torch.arange(2_000), torch.arange(2_000) % 2] = (torch.arange(2_000) // 2 % 2).double()  # four sides in turns
    targets = torch.cat([exact(inside), torch.zeros(2_000, 1, dtype=torch.float64)], 1)
    validation, test = (Examples(points, exact(points)) for points in (draw(1_000), draw(1_000)))
    model = Poisson(32, 3, torch.Generator().manual_seed(seed))
    source: dict[str, object] = {"kind": "Poisson equation", "train": 2_000, "validation": 1_000, "test": 1_000}
    train = Examples(torch.cat([inside, edge], 1), targets)
    return Problem(train, validation, test, model, None, source, error=relative_error)
