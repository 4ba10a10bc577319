"""The recursion over layers against the dense damped system, and the sizes of what it inverts."""

from __future__ import annotations

import numpy as np
import pytest

from ngdsym.dense import Net, floats
from ngdsym.theorems.damped_step import recursion
from ngdsym.theorems.dense import vec


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 2), (4, 1, 3), (3, 2, 4, 1, 2), (2, 2, 2, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("damping", [0.01, 3.0])
def test_steps_of_all_layers_solve_the_damped_system(sizes: tuple[int, ...], damping: float) -> None:
    net = Net(sizes, floats(0))
    found = recursion(net, damping)
    gradient = net.J.T @ net.H @ vec(net.Z)
    expected = np.linalg.solve(net.F + damping * np.eye(len(net.F)), gradient)
    np.testing.assert_allclose(np.concatenate(found["delta"])[:, 0], expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["S"][-1][:, 0], net.J @ expected, rtol=1e-7, atol=1e-9)


def test_the_matrices_of_the_recursion_are_of_the_size_that_the_page_says() -> None:
    net = Net((3, 2, 4, 1), floats(0))
    assert [len(R) for R in recursion(net, 0.1)["R"]] == [3 * n for n in net.sizes[1:]]
