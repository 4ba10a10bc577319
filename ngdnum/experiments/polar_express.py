"""Muon with Polar Express (Amsel et al. 2025, arXiv 2505.16932): a polynomial of its own at each step."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .muon import MuonWithAdamW, arithmetic

Triple = tuple[float, float, float]
LEAST = 1e-3  # singular values below this share of the norm may stay small
EXCHANGES = 30  # of the two inner extrema in Remez's algorithm: far more than it takes
NARROW = 1e-2  # of an interval around 1: there 15/8 s − 5/4 s³ + 3/8 s⁵ is off by less than 1e-6


def best_quintic(low: float, high: float) -> Triple:
    """a, b, c of the p(s) = a s + b s³ + c s⁵ that has the least max |1 − p| on [`low`, `high`], by Remez's algorithm.

    1 − p has equal size and alternating sign at both ends and at the two extrema between them.

    Examples
    --------
    >>> a, b, c = best_quintic(0.5, 1.5)
    >>> [round(a * s + b * s**3 + c * s**5, 3) for s in (0.5, 1.5)]
    [0.914, 1.086]
    """
    if high - low < NARROW:
        return 15 / 8, -5 / 4, 3 / 8
    inner = np.array([0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high])
    for _ in range(EXCHANGES):
        s = np.array([low, *inner, high])
        a, b, c, _ = np.linalg.solve(np.stack([s, s**3, s**5, np.array([1.0, -1.0, 1.0, -1.0])], 1), np.ones(4))
        inner = np.sort(np.sqrt(np.roots([5 * c, 3 * b, a])))
    return float(a), float(b), float(c)


@functools.cache
def polar_express(steps: int, least: float = LEAST) -> tuple[Triple, ...]:
    """The best quintic on [`least`, 1], then the best on what that leaves of the interval, and so on."""
    low, high, triples = least, 1.0, []
    for _ in range(steps):
        a, b, c = best_quintic(low, high)
        triples.append((a, b, c))
        low = a * low + b * low**3 + c * low**5
        high = 2 - low
    return tuple(triples)


def polar(matrix: Tensor, steps: int) -> Tensor:
    """Near the polar factor U Vᵀ of `matrix` = U S Vᵀ, by `steps` of Polar Express in its own arithmetic."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=torch.finfo(x.dtype).tiny)
    for a, b, c in polar_express(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class PolarExpress(torch.optim.Optimizer):
    """W ← W − lr √max(1, rows/columns) polar(V) with Nesterov's V = μ M + (1−μ) G, M ← μ M + (1−μ) G.

    Weights of convolutions are matrices `[n_out, n_in·k·k]` here.

    Examples
    --------
    >>> weight = nn.Parameter(torch.zeros(2, 2))
    >>> opt = PolarExpress([weight], lr=0.02, momentum=0.95, steps=5)
    >>> weight.grad = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> opt.step()
    >>> weight.detach().diagonal().round(decimals=2)
    tensor([-0.0200, -0.0200])
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float, steps: int) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # no loss comes back
        """One step; `closure` is not asked."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                mean = self.state[p].setdefault("mean", torch.zeros_like(p)).lerp_(p.grad, 1 - group["momentum"])
                matrix = p.grad.lerp(mean, group["momentum"]).flatten(1)
                kind = matrix.dtype if matrix.dtype == torch.float64 else arithmetic(p.device)
                rate = group["lr"] * math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))
                p.sub_(polar(matrix.to(kind), group["steps"]).to(p.dtype).view_as(p), alpha=rate)


class MuonExpress(MuonWithAdamW):
    """`PolarExpress` on the weights of linear and convolutional layers of `model`, AdamW at `auxiliary` on the rest.

    The rest are biases, norms and embeddings.
    """

    def __init__(self, model: nn.Module, lr: float, auxiliary: float, momentum: float = 0.95, steps: int = 3) -> None:
        layers = (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d))
        matrices = {layer.weight: None for layer in layers}
        others = [p for p in model.parameters() if p not in matrices]
        self.parts = [PolarExpress(matrices, lr, momentum, steps)]
        if others:
            self.parts.append(torch.optim.AdamW(others, auxiliary, weight_decay=0.0))
