r"""Damped inverses of the factors that run along with the batches, by Woodbury's formula (Amari et al. 2000).

A rule that asks for `K` and `K_tilde`, such as "running", gets

    K = (Λ + D)⁻¹,   Λ ← γ Λ + (1 − γ) XᵀX,   D ← γ D + damping of some axes,

with XᵀX the factor of the batch, X in rows. Without `Factors.decay` there is no past, γ = 0, and K is the
inverse of XᵀX + √λ I, as in Eq. 20. Either way only a matrix as large as the number of rows is factorised,
which pays if these are far fewer than the width of the layer.

Where λ is relative, √λ I is in units of the factor of each batch: see `ngdnum.curvature.units`.

Damping put in once would be forgotten with the examples, and √λ I is of full rank. So some axes are damped
after each batch, in turn, with a weight that keeps the mean of D at √λ (`cyclic-damping` among the theorems).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..layers import Layer
from ..likelihood import Likelihood
from ..record.batch import compress_rows
from ..record.capture import Record
from ..rules.layer import woodbury_update
from .factors import error_rows, input_rows


def input_roots(
    record: Record, output: Tensor, layers: list[Layer], kfac_approx: str, rows: int | None = None
) -> dict[int, Tensor]:
    """X of each recorded layer with XᵀX = Λ, in homogeneous coordinates if it has a bias."""
    roots = {}
    for k, (x, weights) in input_rows(record, output, layers, kfac_approx, rows).items():
        X = layers[k].homogeneous(x) / x.shape[-2] ** 0.5
        roots[k] = compress_rows(X if weights is None else X * weights.sqrt().unsqueeze(-1))
    return roots


def error_roots(
    record: Record,
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: torch.Generator | None,
    layers: list[Layer],
    kfac_approx: str,
) -> dict[int, Tensor]:
    """X of each recorded layer with XᵀX = Λ̃."""
    roots: dict[int, Tensor] = {}
    for k, e in error_rows(record, likelihood, output, samples, generator, layers, kfac_approx):
        roots[k] = compress_rows(torch.cat([roots[k], e], -2) if k in roots else e)
    count = output[..., 0].numel() * (samples or 1)
    return {k: root / count**0.5 for k, root in roots.items()}


def follow(K: Tensor | None, root: Tensor, k: int, decay: float, lam: float, unit: Tensor | None = None) -> Tensor:
    """K `[…, m, m]` after measurement k of the root `[…, rows, m]` of a factor; None if there is no past.

    √λ is in units of each axis `[…, m]`, or absolute.
    """
    gamma = min(1 - 1 / k, decay)
    level = lam**0.5 * (torch.ones_like(root[..., 0, :]) if unit is None else unit)
    if K is None or not gamma:
        return woodbury_update(torch.diag_embed(1 / level), root, eta=1.0, gamma=1.0)
    axes, weight = turn(root.shape[-1], k, decay)
    damping = torch.diag_embed((weight * level) ** 0.5)[..., axes, :]
    rows = compress_rows(torch.cat([(1 - gamma) ** 0.5 * root, damping], -2))
    return woodbury_update(K, rows, eta=1.0, gamma=gamma)


def turn(m: int, k: int, decay: float) -> tuple[list[int], float]:
    """The axes of m whose turn it is at measurement k = 2, 3, …, and their new damping, √λ being 1.

    About m (1 − γ) of them, so that every axis has its turn before much is forgotten.

    Examples
    --------
    >>> [turn(6, k, decay=0.8) for k in (2, 3, 10, 11)]
    [([0, 1, 2], 1.0), ([3, 4], 0.99...), ([0], 1.19...), ([1], 1.19...)]
    """

    def size(k: int) -> int:
        return max(1, round(m * (1 - min(1 - 1 / k, decay))))

    settled = min(k, int(1 / (1 - decay)) + 2)
    before = sum(map(size, range(2, settled))) + (k - settled) * size(k)
    axes = [(before + j) % m for j in range(size(k))]
    return axes, m / len(axes) * (1 - min(1 - 1 / k, decay))
