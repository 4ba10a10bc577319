"""A pass that is run again has what the recorded one had: arguments, random choices, derivatives of all parts."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ConjugateGradient, DualConjugateGradient, Fixed, Gaussian
from ngdnum.control import Control
from support.networks import batch
from support.training import parameters

torch.set_num_threads(1)


class Depth(nn.Module):
    """Some of the layers are left out, as `chosen` says: anew in each pass, or the same ones in all."""

    def __init__(self, chosen: Callable[[], float]) -> None:
        super().__init__()
        self.layers, self.last = nn.ModuleList(nn.Linear(4, 4) for _ in range(6)), nn.Linear(4, 3)
        self.chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if self.chosen() < 0.5:
                x = x + layer(x).tanh()
        return self.last(x)


@pytest.mark.what_if(
    "training loops",
    "a model draws random numbers from Python's or NumPy's global generator, not torch's",
    "the same numbers are drawn where it is run again, and the generators go on as if nothing had been",
)
@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5)])
@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_layers_left_out_at_random_are_those_of_the_recorded_pass(draw: Callable, control: Control) -> None:
    """The step is that of a model in which the same layers are always left out."""
    x, y, found = batch(30, 4), batch(30, 3), []
    random.seed(1), np.random.seed(1)
    fixed = [draw() for _ in range(6)]
    following = draw()
    for choices in (draw, lambda: next(numbers)):
        numbers = iter(fixed * 20)
        torch.manual_seed(0)
        model = Depth(choices).double()
        opt = NGD(model, Gaussian(), damping=Fixed(0.1), samples=None, control=control)
        random.seed(1), np.random.seed(1)
        Gaussian()(model(x), y).backward()
        opt.step()
        if choices is draw:
            assert draw() == following
        found.append(parameters(model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.what_if("models", "attention in evaluation mode, whose kernels have no derivatives", "it works")
@pytest.mark.parametrize("preset", [NGD.fast, NGD.sample_efficient])
def test_attention_in_evaluation_mode(preset: Callable[..., NGD]) -> None:
    """Steps are those in training mode, in which nothing else differs without dropout."""
    found = []
    for training in (True, False):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        model = nn.Sequential(nn.TransformerEncoder(layer, 1), nn.Linear(8, 2)).double().train(training)
        opt = preset(model, Gaussian(), fallback=lambda p: torch.optim.SGD(p, lr=1e-3))
        x = torch.randn(10, 5, 8, generator=torch.Generator().manual_seed(1)).double()
        Gaussian()(model(x), x[..., :2]).backward()
        opt.step()
        found.append(parameters(model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
    assert torch.backends.mha.get_fastpath_enabled()
