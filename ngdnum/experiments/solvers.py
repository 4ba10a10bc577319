r"""Ways to apply the inverse of a damped factor, (XᵀX/M + c I)⁻¹ b, in the precision of their arguments.

X are the M activations or errors of a batch in rows `[M, n]`, c > 0 the damping, b a matrix `[n, k]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..rules.layer import woodbury_update
from ..rules.linalg import leading_basis, leading_root, leading_scale, leading_solve, mean_of_rest

RANK = 20  # of the randomised decomposition
Solver = Callable[[Tensor, float, Tensor], Tensor]


def factor(X: Tensor, c: float) -> Tensor:
    """XᵀX/M + c I.

    Examples
    --------
    >>> factor(torch.tensor([[2.0, 0.0]]), 1.0)
    tensor([[5., 0.],
            [0., 1.]])
    """
    return X.mT @ X / len(X) + c * torch.eye(X.shape[1], dtype=X.dtype)


def cholesky(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By the triangular factor of the factor."""
    return torch.cholesky_solve(b, torch.linalg.cholesky(factor(X, c)))


def eigenvalues(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By the eigenvalues of XᵀX/M, those below zero taken for zero."""
    values, vectors = torch.linalg.eigh(factor(X, 0.0))
    return vectors @ ((vectors.mT @ b) / (values.clamp(min=0) + c)[:, None])


def singular_values(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By the singular values of X, without ever forming XᵀX; 1/c outside the span of the rows."""
    _, values, Vh = torch.linalg.svd(X, full_matrices=False)
    inside = Vh @ b
    return (b - Vh.mT @ inside) / c + Vh.mT @ (inside / (values.square() / len(X) + c)[:, None])


def randomised(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By 20 leading eigenvalues, found by two products with random vectors; all others are taken for their mean."""
    A = factor(X, 0.0)
    basis = leading_basis(A, min(RANK, len(A)))
    values, vectors = torch.linalg.eigh(basis.mT @ A @ basis)
    pairs = values.unsqueeze(-2), basis @ vectors, mean_of_rest(A, values)
    return leading_solve(leading_root(pairs, c), leading_scale(pairs, c), b)


def woodbury(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By Woodbury's formula for all M rows at once, from I/c: an inverse of size M."""
    start = torch.eye(X.shape[1], dtype=X.dtype) / c
    return woodbury_update(start, X, eta=1 / len(X), gamma=1.0) @ b


def sherman_morrison(X: Tensor, c: float, b: Tensor) -> Tensor:
    """By the formula of Sherman and Morrison for one row after the other, from I/c."""
    inverse = torch.eye(X.shape[1], dtype=X.dtype) / c
    for row in X.split(1):
        inverse = woodbury_update(inverse, row, eta=1 / len(X), gamma=1.0)
    return inverse @ b


SOLVERS: dict[str, Solver] = {
    "Cholesky": cholesky,
    "eigenvalues": eigenvalues,
    "SVD": singular_values,
    "randomised SVD": randomised,
    "Woodbury": woodbury,
    "Sherman–Morrison": sherman_morrison,
}
