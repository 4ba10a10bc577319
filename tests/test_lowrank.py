"""The rule from leading eigenpairs against the emitted one that keeps all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ngdnum import lowrank
from ngdnum.rules import RULES

torch.set_num_threads(1)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def factor(size: int, decay: float, seed: int, *lead: int) -> Tensor:
    """Eigenvalues 1, e^{−decay}, e^{−2 decay}, …"""
    Q = torch.linalg.qr(gaussian(*lead, size, size, seed=seed)).Q
    return (Q * torch.exp(-decay * torch.arange(size, dtype=torch.float64))) @ Q.mT


def difference(n: int, m: int, decay: float, lam: float, *lead: int) -> float:
    factors = factor(n, decay, 1, *lead), factor(m, decay, 2, *lead)
    G = gaussian(*lead, n, m, seed=3)
    found = lowrank.apply(G, lowrank.factorise(*factors, lam))
    expected = RULES["pi_damped"].apply(G, RULES["pi_damped"].factorise(*factors, lam), L=1)
    return float((found - expected).norm() / expected.norm())


def test_small_layers_keep_all_eigenpairs() -> None:
    assert difference(20, 32, 0.3, 1e-2) < 1e-10
    assert difference(20, 32, 0.3, 1e-2, 4) < 1e-10


def test_wide_layers_keep_what_exceeds_the_damping() -> None:
    """Left out: at most e^{−0.5·38} of the largest eigenvalue, spread over directions where c = 0.03 rules."""
    assert difference(100, 120, 0.5, 1e-3) < 1e-6


def test_a_flat_spectrum_is_exact_as_well() -> None:
    """Λ = σI has no leading pairs; the mean of what is left out stands for it."""
    eye = torch.eye(100).double()
    inverse = lowrank.damped_inverse(2 * eye, torch.full((1, 1), 0.5).double(), k=10)
    torch.testing.assert_close(lowrank.sandwich(inverse, eye, inverse), eye / 2.5**2)


def test_the_approximation_has_the_right_trace_and_is_definite() -> None:
    full = factor(100, 0.05, 1)
    c = torch.full((1, 1), 0.1).double()
    eye = torch.eye(100).double()
    nothing = torch.zeros(100, 1).double(), torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    inverse = lowrank.sandwich(nothing, eye, lowrank.damped_inverse(full, c, k=20))
    restored = torch.linalg.inv(inverse) - c * eye
    torch.testing.assert_close(restored.trace(), full.trace())
    assert torch.linalg.eigvalsh(restored).min() > 0


def test_leading_eigenvalues() -> None:
    """Three products with Λ leave an error of (s_{k+1}/s_k)^6 in the eigenvalues."""
    values, vectors = lowrank.leading(factor(100, 0.5, 1), k=38)
    expected = torch.exp(-0.5 * torch.arange(38, dtype=torch.float64)).flip(0)
    torch.testing.assert_close(values[-20:], expected[-20:], rtol=1e-9, atol=0)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(38).double())
