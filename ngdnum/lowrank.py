"""The π-damped rule with factors reduced to their leading eigenpairs, for wide layers.

    Λ ≈ U diag(s) Uᵀ + σ (I − U Uᵀ),   σ = (tr Λ − Σ s)/(m − k),

with U `[m, k]` by randomised subspace iteration (Halko, Martinsson & Tropp 2011). Then

    (Λ + c I)⁻¹ ≈ (I − U diag((s − σ)/(s + c)) Uᵀ)/(c + σ),

which costs 4 n m k to apply instead of 2 n m². What is left out of Λ has the right trace; the directions it spans
share one eigenvalue. With k = m it is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .rules import Rule, trace

Inverse = tuple[Tensor, Tensor, Tensor]
"""U `[..., m, k]`, the weights (s − σ)/(s + c) `[..., 1, k]`, and the scale 1/(c + σ) `[..., 1, 1]`."""


def leading(factor: Tensor, k: int, iterations: int = 2) -> tuple[Tensor, Tensor]:
    """The k leading eigenvalues `[..., k]` and -vectors `[..., m, k]` of a semidefinite `[..., m, m]`, nearly.

    Examples
    --------
    >>> values, _ = leading(torch.diag(torch.tensor([5.0, 3.0, 0.1, 0.0])), k=2)
    >>> values
    tensor([3.0000, 5.0000])
    """
    generator = torch.Generator(factor.device).manual_seed(0)
    start = torch.randn(factor.shape[-1], k, generator=generator, dtype=factor.dtype, device=factor.device)
    basis = torch.linalg.qr(factor @ start).Q
    for _ in range(iterations):
        basis = torch.linalg.qr(factor @ basis).Q
    values, vectors = torch.linalg.eigh(basis.mT @ factor @ basis)
    return values, basis @ vectors


def damped_inverse(factor: Tensor, c: Tensor, k: int) -> Inverse:
    """(Λ + c I)⁻¹ from the k leading eigenpairs of Λ; `c` is `[..., 1, 1]`."""
    values, vectors = leading(factor, k)
    rest = (trace(factor) - values.sum(-1)[..., None, None]).clamp(min=0) / max(factor.shape[-1] - k, 1)
    values = values.unsqueeze(-2)
    return vectors, (values - rest) / (values + c), 1 / (c + rest)


def sandwich(left: Inverse, G: Tensor, right: Inverse) -> Tensor:
    """(Λ̃ + c̃ I)⁻¹ G (Λ + c I)⁻¹."""
    vectors, weights, scale = right
    product = G - (G @ vectors * weights) @ vectors.mT
    vectors, weights, scale_left = left
    return (product - vectors @ (weights.mT * (vectors.mT @ product))) * (scale * scale_left)


def rank(m: int) -> int:
    """How many eigenpairs a factor of size m keeps: all up to 32, then a growing number."""
    return min(m, 32 + m // 16)


def factorise(Lambda_tilde: Tensor, Lambda: Tensor, lam: float) -> tuple[Tensor, ...]:
    """The reduced inverses of both factors, damped by √λ/π and π√λ with π² = (tr Λ/m)/(tr Λ̃/n)."""
    n, m = Lambda_tilde.shape[-1], Lambda.shape[-1]
    pi = (trace(Lambda) / m / (trace(Lambda_tilde) / n)).sqrt()
    left = damped_inverse(Lambda_tilde, lam**0.5 / pi, rank(n))
    return *left, *damped_inverse(Lambda, lam**0.5 * pi, rank(m))


def apply(G: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """(Λ̃ + √λ/π I)⁻¹ G (Λ + π√λ I)⁻¹."""
    return sandwich(state[:3], G, state[3:])


PI_DAMPED_LOWRANK = Rule("pi_damped_lowrank", factorise, apply)
