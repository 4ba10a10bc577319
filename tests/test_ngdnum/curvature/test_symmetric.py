"""Symmetric matrices by one triangle."""

from __future__ import annotations

import pytest
import torch

from ngdnum.curvature.symmetric import full, packed


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
