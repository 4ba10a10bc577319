"""The exact rule with mean slopes, where it must be the natural gradient or nearly so."""

from __future__ import annotations

import pytest
import torch

from ngdnum.experiments.autoencoder import autoencoder
from ngdnum.experiments.mean_slopes import gains

torch.set_num_threads(1)
SIZES = 6, 4, 2, 4, 6
EXACT = "exact rule, mean slopes"


def share(scale: float, examples: int, seed: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, examples, 6, generator=generator).double()
    model = autoencoder(SIZES, generator.manual_seed(seed), scale, bias=False, dtype=torch.float64)
    return gains(model, x, y)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_natural_gradient_where_tanh_is_linear(seed: int) -> None:
    found = share(1e-4, 50, seed)
    assert found[EXACT] == pytest.approx(1, abs=1e-6)
    assert 0 < found["gradient"] < found["Eq. 10"] < 0.95


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("seed", range(5))
def test_one_example_has_the_mean_slopes(seed: int, scale: float) -> None:
    """Only the pseudo-inverses, of factors of rank one, are in the way."""
    found = share(scale, 1, seed)
    assert 0.9 < found[EXACT] < 1 + 1e-9 and found["Eq. 10"] < found[EXACT]
