"""The torch functions that emitted code is built from; their source is copied into it where used.

Matrices are `[..., rows, columns]`; leading axes are a batch; dtype and device follow the input.
"""
from __future__ import annotations

import torch
from torch import Tensor


def identity_like(A: Tensor) -> Tensor:
    """Identity `[n, n]` with the size, dtype and device of `A` `[..., n, n]`."""
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)


def trace(A: Tensor) -> Tensor:
    """tr A as `[..., 1, 1]`, so that it scales a matrix of the same batch."""
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]


def cholesky(A: Tensor) -> Tensor:
    """Lower Cholesky factor of a positive definite `A`; raises `torch.linalg.LinAlgError` if it is not."""
    return torch.linalg.cholesky_ex(A, check_errors=True).L


def solve_right(B: Tensor, factor: Tensor) -> Tensor:
    """B A⁻¹ from the Cholesky factor of `A`."""
    return torch.cholesky_solve(B.mT, factor).mT


def definite_power(A: Tensor, exponent: float) -> Tensor:
    """A to a real power for a positive definite `A`, by its eigendecomposition."""
    values, vectors = torch.linalg.eigh(A)
    return (vectors * values.pow(exponent).unsqueeze(-2)) @ vectors.mT


def semidefinite_power(A: Tensor, exponent: float) -> Tensor:
    """A to a real power on the range of a semidefinite `A`: exponent -1 is the Moore–Penrose inverse.

    Eigenvalues up to 10 n eps times the largest count as zero: 2.4e-5 in float32 and 4.4e-14 in float64 for n
    = 20, an order above what rounding leaves of a zero eigenvalue of a Gram matrix.
    """
    values, vectors = torch.linalg.eigh(A)
    zero = values <= 10 * A.shape[-1] * torch.finfo(A.dtype).eps * values[..., -1:].abs()
    powers = torch.where(zero, 0, torch.where(zero, 1, values).pow(exponent))
    return (vectors * powers.unsqueeze(-2)) @ vectors.mT


def pseudo_inverse(A: Tensor) -> Tensor:
    """Moore–Penrose inverse; singular values up to 10 max(n, m) eps times the largest count as zero."""
    return torch.linalg.pinv(A, rtol=10 * max(A.shape[-2:]) * torch.finfo(A.dtype).eps)


def polar(A: Tensor) -> Tensor:
    """U Vᵀ of A = U S Vᵀ, over singular values above 10 max(n, m) eps times the largest."""
    U, values, Vt = torch.linalg.svd(A, full_matrices=False)
    kept = values > 10 * max(A.shape[-2:]) * torch.finfo(A.dtype).eps * values[..., :1]
    return (U * kept.unsqueeze(-2)) @ Vt
