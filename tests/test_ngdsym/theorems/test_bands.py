"""The counting part of the theorem on banded Fisher matrices: neighbourhoods that part the layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngdsym.theorems.block_diagonal import at_least_zero, b, centres, r


@pytest.mark.parametrize("width", range(8))
def test_neighbourhoods_of_the_centres_part_the_layers(width: int) -> None:
    for L in range(1, 80):
        chosen = centres(L, width)
        assert set(chosen) <= set(range(1, L + 1))
        assert len(chosen) == -(-L // (2 * width + 1))
        assert all(sum(abs(i - j) <= width for j in chosen) == 1 for i in range(1, L + 1))


@given(*(st.integers(-4, 4) for _ in range(3)))
def test_inequalities_for_all_numbers_are_decided_rightly(x: int, y: int, z: int) -> None:
    """A line that is ≥ 0 at the corner and along both edges is so on the cone, and no other line is."""
    value = x * b + y * r + z
    points = [(i, k) for i in range(12) for k in range(1, 2 * i + 2)]
    assert at_least_zero(value) == all(x * i + y * k + z >= 0 for i, k in points)
