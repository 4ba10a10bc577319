"""Symmetric matrices by their upper triangles: half the memory for what is kept but seldom used."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Upper = tuple[Tensor]
"""The upper triangle `[..., m (m + 1)/2]`, row by row; a tuple, so that it is no matrix itself."""


def packed(A: Tensor | Upper) -> Upper:
    """The upper triangle of a symmetric `A` `[..., m, m]`.

    Examples
    --------
    >>> A = torch.tensor([[1.0, 2.0], [2.0, 3.0]])
    >>> packed(A)
    (tensor([1., 2., 3.]),)
    >>> full(packed(A)).equal(A)
    True
    """
    if isinstance(A, tuple):
        return A
    rows, columns = torch.triu_indices(*A.shape[-2:], device=A.device)
    return (A[..., rows, columns],)


def full(A: Tensor | Upper) -> Tensor:
    """The matrix `[..., m, m]`."""
    if isinstance(A, Tensor):
        return A
    (upper,) = A
    m = (math.isqrt(8 * upper.shape[-1] + 1) - 1) // 2
    rows, columns = torch.triu_indices(m, m, device=upper.device)
    matrix = upper.new_empty(*upper.shape[:-1], m, m)
    matrix[..., rows, columns] = upper
    matrix[..., columns, rows] = upper
    return matrix
