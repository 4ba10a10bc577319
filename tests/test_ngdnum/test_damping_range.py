"""λ after convergence: bounded, and of use again when the targets change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ngdnum import NGD, Gaussian, LevenbergMarquardt


@pytest.mark.parametrize("preset", [NGD.paper, NGD.sample_efficient])
def test_new_targets_after_convergence_are_learned_within_twenty_steps(preset: Callable[..., NGD]) -> None:
    """The README's example; at the end of the first part, changes of the loss are rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(5, 5, bias=False) for _ in range(8)])
    x = torch.randn(1000, 5)
    opt, losses = preset(model, Gaussian(), samples=None), []
    for y in [x @ torch.randn(5, 5)] * 150 + [x @ torch.randn(5, 5)] * 21:
        opt.zero_grad()
        loss = Gaussian()(model(x), y)
        loss.backward()
        opt.step(lambda y=y: Gaussian()(model(x), y), loss=loss)
        losses.append(loss.item())
        assert 1e-8 <= opt.param_groups[0]["damping"] <= 100
    assert losses[149] < 1e-10 and losses[170] < 0.1 * losses[150]


def test_the_ceiling_does_not_lower_what_the_user_begins_with() -> None:
    assert LevenbergMarquardt(500.0).next(500.0, rho=0.0) == 500.0
    assert LevenbergMarquardt(0.1, ceiling=1.0).next(0.9, rho=-torch.inf) == 1.0
    with pytest.raises(ValueError, match="ceiling must not be below floor"):
        LevenbergMarquardt(0.1, floor=1.0, ceiling=0.5)


def test_a_change_of_the_loss_that_is_rounding_says_nothing() -> None:
    """With a loss of 1e8 in float32, changes of 1 are below its resolution of 8."""
    torch.manual_seed(0)
    model, x = nn.Linear(3, 2), torch.randn(20, 3)
    opt = NGD(model, Gaussian(), lr=1e-3, samples=None)
    Gaussian()(model(x), model(x).detach() + torch.randn(20, 2)).backward()
    opt.step(lambda: torch.tensor(1e8), loss=torch.tensor(1e8))
    assert opt.param_groups[0]["damping"] == 1e-2
