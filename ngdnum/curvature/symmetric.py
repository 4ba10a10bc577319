"""Symmetric matrices by one triangle: half the memory for what is kept but seldom used."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

Upper = tuple[Tensor]
"""The upper triangle as a rectangle `[..., ⌈m/2⌉, m + 1]`; a tuple, so that it is no matrix itself.

Row i holds, from column i + 1 on, row i of the triangle, and before, from right to left, row m − 1 − i.
"""


def packed(A: Tensor | Upper) -> Upper:
    """The upper triangle of a symmetric `A` `[..., m, m]`.

    Examples
    --------
    >>> A = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 5.0, 6.0, 7.0], [3.0, 6.0, 8.0, 9.0], [4.0, 7.0, 9.0, 0.0]])
    >>> packed(A)
    (tensor([[0., 1., 2., 3., 4.],
            [9., 8., 5., 6., 7.]]),)
    >>> full(packed(A)).equal(A)
    True
    """
    if isinstance(A, tuple):
        return A
    half = -(-A.shape[-1] // 2)
    upper, lower = A[..., :half, :], A.flip(-2, -1)[..., :half, :]
    return (pad(upper, (1, 0)).triu_(1).add_(pad(lower, (0, 1)).tril_()),)


def full(A: Tensor | Upper) -> Tensor:
    """The matrix `[..., m, m]`."""
    if isinstance(A, Tensor):
        return A
    (rectangle,) = A
    m = rectangle.shape[-1] - 1
    upper, lower = rectangle[..., 1:].triu(), rectangle[..., : m // 2, :m].tril()
    triangle = torch.cat([upper, lower.flip(-2, -1)], -2)
    return triangle.triu(1).mT + triangle
