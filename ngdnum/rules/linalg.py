"""The torch functions that emitted code is built from.

Matrices are `[..., rows, columns]`; leading axes are a batch; dtype and device follow the input.
"""

from __future__ import annotations

import torch
from torch import Tensor


def identity_like(A: Tensor) -> Tensor:
    """Identity `[n, n]` with the size, dtype and device of `A` `[..., n, n]`."""
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)


def trace(A: Tensor) -> Tensor:
    """tr A as `[..., 1, 1]`."""
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]


def positive_trace(A: Tensor) -> Tensor:
    """tr A of a semidefinite `A` as `[..., 1, 1]`, above √tiny, so that no ratio of traces is 0/0."""
    return trace(A).clamp(min=torch.finfo(A.dtype).tiny ** 0.5)


def larger(a: Tensor | float, b: Tensor | float) -> Tensor | float:
    """The larger of two numbers, either of them `[..., 1, 1]` or plain."""
    if isinstance(a, Tensor):
        return a.clamp(min=b)
    return b.clamp(min=a) if isinstance(b, Tensor) else max(a, b)


def cholesky(A: Tensor) -> Tensor:
    """Lower Cholesky factor of a positive definite `A`; raises `torch.linalg.LinAlgError` if it is not."""
    return torch.linalg.cholesky_ex(A, check_errors=True).L


def eigh(A: Tensor) -> tuple[Tensor, Tensor]:
    """`torch.linalg.eigh`, in float64 where the driver of float32 fails or makes NaN of finite numbers, as it may."""
    if A.dtype != torch.float32:
        return torch.linalg.eigh(A)
    try:
        values, vectors = torch.linalg.eigh(A)
        failed = bool(not values.sum().isfinite() and A.isfinite().all())
    except torch.linalg.LinAlgError:
        failed = True
    if failed:
        values, vectors = (part.to(A.dtype) for part in torch.linalg.eigh(A.double()))
    return values, vectors


def solve_right(B: Tensor, factor: Tensor) -> Tensor:
    """B A⁻¹ from the Cholesky factor of `A`."""
    return torch.cholesky_solve(B.mT, factor).mT


def leading_basis(A: Tensor, k: int, products: int = 2) -> Tensor:
    """Orthonormal `[..., m, k]`, nearly the k leading eigenvectors of a semidefinite `A` `[..., m, m]`.

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011): each product with `A` sharpens it.
    """
    generator = torch.Generator(A.device).manual_seed(0)
    basis = torch.randn(A.shape[-1], k, generator=generator, dtype=A.dtype, device=A.device)
    for _ in range(products):
        basis = torch.linalg.qr(A @ basis).Q
    return basis


def leading_pairs(A: Tensor, c: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """A semidefinite `A` `[..., m, m]` as U diag(s) Uᵀ + σ (I − U Uᵀ): s `[..., 1, k]`, U `[..., m, k]`, σ.

    σ = (tr A − Σ s)/(m − k) `[..., 1, 1]` keeps the trace. Up to m = 256, k = m and this is `A`. Otherwise,
    of 24 + m/24 candidates, those s are kept that matter in (A + c I)⁻¹: s + c is twice σ + c or more.
    """
    m = A.shape[-1]
    if m <= 256:
        values, vectors = eigh(A)
        return values.unsqueeze(-2), vectors, mean_of_rest(A, values)
    basis = leading_basis(A, 24 + m // 24)
    values, vectors = eigh(basis.mT @ A @ basis)
    k = max(1, int((values.unsqueeze(-2) + c > 2 * (mean_of_rest(A, values) + c)).sum(-1).max()))
    values, vectors = values[..., -k:], vectors[..., -k:]
    return values.unsqueeze(-2), basis @ vectors, mean_of_rest(A, values)


def mean_of_rest(A: Tensor, values: Tensor) -> Tensor:
    """Mean `[..., 1, 1]` of all eigenvalues of a semidefinite `A` `[..., m, m]` but `values` `[..., k]`."""
    others = (positive_trace(A) - values.sum(-1)[..., None, None]).clamp(min=0)
    return others / max(A.shape[-1] - values.shape[-1], 1)


def leading_root(pairs: tuple[Tensor, Tensor, Tensor], c: Tensor | float, power: float = 1.0) -> Tensor:
    """Y `[..., m, k]` of (A + c I)^-p = (I − Y Yᵀ)/(σ + c)^p, p the `power`; with k = m, I − Y Yᵀ itself."""
    values, vectors, rest = pairs
    ratio = ((rest + c) / (values.clamp(min=0) + c)) ** power
    if is_square(vectors):
        return (vectors * ratio) @ vectors.mT
    return vectors * (1 - ratio).clamp(min=0).sqrt()


def leading_scale(pairs: tuple[Tensor, Tensor, Tensor], c: Tensor | float, power: float = 1.0) -> Tensor:
    """1/(σ + c)^p `[..., 1, 1]` of (A + c I)^-p = (I − Y Yᵀ)/(σ + c)^p."""
    return (pairs[2] + c) ** -power


def leading_congruence(outer: Tensor, inner: Tensor) -> Tensor:
    """X of I − X Xᵀ = (I − Y Yᵀ)(I − Z Zᵀ)(I − Y Yᵀ) for the roots Y and Z, see `leading_root`.

    Of X those columns are kept that change what lies along them by a quarter or more.
    """
    if is_square(outer):
        return outer @ inner @ outer
    basis = torch.linalg.qr(torch.cat([outer, inner], -1)).Q
    Y, Z = basis.mT @ outer, basis.mT @ inner
    along = Y @ Y.mT
    one = identity_like(along)
    rest = one - along
    changes, vectors = eigh(one - rest @ (one - Z @ Z.mT) @ rest)
    k = max(1, int((changes >= 0.25).sum(-1).max()))
    return (basis @ vectors[..., -k:]) * changes[..., -k:].clamp(min=0).sqrt().unsqueeze(-2)


def leading_solve(root: Tensor, scale: Tensor, B: Tensor) -> Tensor:
    """(A + c I)⁻¹ B."""
    if is_square(root):
        return (scale * root) @ B
    return minus_product(scale * B, scale * root, root.mT @ B)


def leading_solve_right(B: Tensor, root: Tensor, scale: Tensor) -> Tensor:
    """B (A + c I)⁻¹."""
    if root.shape[-2] == root.shape[-1]:
        return B @ (scale * root)
    return minus_product(scale * B, B @ root, scale * root.mT)


def leading_sandwich(left: Tensor, scale: Tensor, B: Tensor, right: Tensor) -> Tensor:
    """scale · (I − X Xᵀ) B (I − Y Yᵀ) for the roots X and Y, see `leading_root`."""
    if left.shape[-2] == left.shape[-1]:
        return leading_solve_right(left @ B, right, scale)
    if right.shape[-2] == right.shape[-1]:
        return leading_solve(left, scale, B @ right)
    product = B @ right
    rest = left.mT @ B - (left.mT @ product) @ right.mT
    return minus_product(scale * B, scale * torch.cat([product, left], -1), torch.cat([right.mT, rest], -2))


def is_square(A: Tensor) -> bool:
    """Whether `A` `[..., n, m]` has n = m."""
    return A.shape[-2] == A.shape[-1]


def minus_product(A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """A − B C, by overwriting `A`."""
    if A.ndim == 2:
        return A.addmm_(B, C, alpha=-1)
    return A.flatten(0, -3).baddbmm_(B.flatten(0, -3), C.flatten(0, -3), alpha=-1).view_as(A)


def definite_power(A: Tensor, exponent: float) -> Tensor:
    """A to a real power for a positive definite `A`, by its eigendecomposition."""
    values, vectors = eigh(A)
    return (vectors * values.pow(exponent).unsqueeze(-2)) @ vectors.mT


def semidefinite_power(A: Tensor, exponent: float) -> Tensor:
    """A to a real power on the range of a semidefinite `A`: exponent -1 is the Moore–Penrose inverse.

    Eigenvalues up to 10 n eps times the largest count as zero: 2.4e-5 in float32 and 4.4e-14 in float64 for n
    = 20, an order above what rounding leaves of a zero eigenvalue of a Gram matrix.
    """
    values, vectors = eigh(A)
    zero = values <= 10 * A.shape[-1] * torch.finfo(A.dtype).eps * values[..., -1:].abs()
    powers = torch.where(zero, 0, torch.where(zero, 1, values).pow(exponent))
    return (vectors * powers.unsqueeze(-2)) @ vectors.mT


def entrywise_power(A: Tensor, exponent: float) -> Tensor:
    """Entries of `A`, none of them negative, to a real power; what is zero but for rounding stays zero."""
    zero = A <= 10 * max(A.shape[-2:]) * torch.finfo(A.dtype).eps * A.amax((-2, -1), keepdim=True)
    return torch.where(zero, 0, torch.where(zero, 1, A).pow(exponent))


def pseudo_inverse(A: Tensor) -> Tensor:
    """Moore–Penrose inverse; singular values up to 10 max(n, m) eps times the largest count as zero."""
    return torch.linalg.pinv(A, rtol=10 * max(A.shape[-2:]) * torch.finfo(A.dtype).eps)


def polar(A: Tensor) -> Tensor:
    """U Vᵀ of A = U S Vᵀ, over singular values above 10 max(n, m) eps times the largest."""
    U, values, Vt = torch.linalg.svd(A, full_matrices=False)
    kept = values > 10 * max(A.shape[-2:]) * torch.finfo(A.dtype).eps * values[..., :1]
    return (U * kept.unsqueeze(-2)) @ Vt
