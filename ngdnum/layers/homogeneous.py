"""Homogeneous coordinates, the one place where the input of a bias, the constant 1, is appended."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def homogeneous(rows: Tensor) -> Tensor:
    """[x, 1] for each row x of `rows` `[…, m]`: `[…, m + 1]`.

    Examples
    --------
    >>> homogeneous(torch.tensor([[2.0, 3.0]]))
    tensor([[2., 3., 1.]])
    """
    return F.pad(rows, (0, 1), value=1.0)


def second_moment(rows: Tensor, bias: bool, weights: Tensor | None = None) -> Tensor:
    """(1/R) Σ x xᵀ of the R rows x of `rows` `[…, R, m]`, or with a `bias` (1/R) Σ [x; 1][x; 1]ᵀ.

    `weights` `[R]`, with mean 1, make it a weighted mean.

    Returns
    -------
    Tensor
        `[…, m, m]`, or `[…, m + 1, m + 1]`, for which [x, 1] is not formed.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [3.0]])
    >>> second_moment(x, bias=True)
    tensor([[5., 2.],
            [2., 1.]])
    """
    count, m = rows.shape[-2:]
    weighted = rows if weights is None else rows * weights.unsqueeze(-1)
    if not bias:
        return (rows.mT @ weighted).div_(count)
    moment = rows.new_empty(*rows.shape[:-2], m + 1, m + 1)
    moment[..., :m, :m] = rows.mT @ weighted
    moment[..., m, :m] = moment[..., :m, m] = weighted.sum(-2)
    moment[..., m, m] = count
    return moment.div_(count)
