"""The counting part of the theorem on banded Fisher matrices: neighbourhoods that part the layers."""

from __future__ import annotations

import pytest

from ngdsym.theorems.block_diagonal import centres


@pytest.mark.parametrize("b", range(8))
def test_neighbourhoods_of_the_centres_part_the_layers(b: int) -> None:
    for L in range(1, 80):
        chosen = centres(L, b)
        assert set(chosen) <= set(range(1, L + 1))
        assert len(chosen) == -(-L // (2 * b + 1))
        assert all(sum(abs(i - j) <= b for j in chosen) == 1 for i in range(1, L + 1))
