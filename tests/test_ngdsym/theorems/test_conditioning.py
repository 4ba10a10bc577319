"""The condition number of the Fisher matrix: its bound, where it is reached, and other depths than the theorem's."""

from __future__ import annotations

import numpy as np
import pytest

from ngdsym.dense import Net, floats


def condition(net: Net) -> float:
    """Over the n_0 n_L largest eigenvalues."""
    spectrum = np.linalg.eigvalsh(net.F)[-net.sizes[0] * net.sizes[-1] :]
    return float(spectrum[-1] / spectrum[0])


def bound(net: Net) -> float:
    """Eq. a18."""
    singular = [[np.linalg.svd(product)[1] for product in (net.A(i), net.B(i))] for i in net.layers]
    tops, bottoms = (sum(a[k] ** 2 * b[k] ** 2 for a, b in singular) for k in (0, -1))
    return float(np.linalg.cond(net.Sigma) * np.linalg.cond(net.Sigma_tilde) * tops / bottoms)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 3), (2, 4, 3, 2), (3, 3, 3, 3, 3)], ids=str)
def test_bound(sizes: tuple[int, ...], seed: int) -> None:
    net = Net(sizes, floats(seed))
    assert 1 <= condition(net) <= bound(net) * (1 + 1e-9)


@pytest.mark.parametrize("L", range(1, 6))
def test_balanced_layers_reach_it_at_every_depth(L: int) -> None:
    net = Net((3,) * (L + 1), floats(0))
    net.Sigma, net.Sigma_tilde, net.P = (np.eye(3),) * 3
    bases = [np.linalg.qr(net.generic(3, 3))[0] for _ in range(L + 1)]
    net.W = [bases[i + 1] @ np.diag([1.0, 0.7, 0.3]) @ bases[i].T for i in range(L)]
    expected = np.linalg.cond(net.product(1, L)) ** (2 - 2 / L)
    np.testing.assert_allclose([condition(net), bound(net)], expected, rtol=1e-8)
