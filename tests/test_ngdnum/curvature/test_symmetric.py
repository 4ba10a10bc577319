"""Symmetric matrices by one triangle."""

from __future__ import annotations

import pytest
import torch

from ngdnum import NGD, Gaussian
from ngdnum.curvature.symmetric import full, packed
from support.networks import network
from support.training import train


@pytest.mark.parametrize("m", range(1, 8))
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)], ids=str)
def test_a_triangle_gives_the_matrix_back_in_half_the_memory(m: int, leading: tuple[int, ...]) -> None:
    A = torch.randn(*leading, m, m, generator=torch.Generator().manual_seed(m))
    A = A + A.mT
    (triangle,) = packed(A)
    assert full((triangle,)).equal(A)
    assert triangle.shape == (*leading, (m + 1) // 2, m + 1)


def test_what_is_not_finite_stays_where_it_is() -> None:
    A = torch.zeros(5, 5)
    A[1, 3] = A[3, 1] = torch.nan
    assert full(packed(A)).isnan().equal(A.isnan())


def test_only_a_triangle_is_read() -> None:
    A = torch.tensor([[1.0, 2.0, 3.0], [9.0, 4.0, 5.0], [9.0, 9.0, 6.0]])
    assert full(packed(A)).equal(A.triu() + A.triu(1).mT)


def test_a_triangle_is_packed_already_and_a_matrix_full() -> None:
    A = torch.eye(3)
    assert packed(packed(A))[0].equal(packed(A)[0]) and full(A) is A


def test_matrices_are_packed_where_the_next_step_lets_them_rest() -> None:
    """Steps 0 and 1 measure and factorise, the next one is 3: what is unpacked at once is not packed before."""
    model, whole = network([4, 5, 3]), []
    opt = NGD.fast(model, Gaussian())
    for k in range(10):
        train(model, opt, [k])
        entry = opt.state[model[0].weight]
        kept = entry["Lambda"], entry["Lambda_tilde"], entry["factorisation"]["memory"]
        whole.append({isinstance(A, torch.Tensor) for A in kept})
    assert whole == [{True}] + [{False}] * 9
