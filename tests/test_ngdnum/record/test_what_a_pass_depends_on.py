"""A pass that is run again has what the recorded one had: arguments, random choices, derivatives of all parts."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ConjugateGradient, DualConjugateGradient, Fixed, Gaussian, OutputNormalised, TrustRegion
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


class Skip(nn.Module):
    """A skip connection, so that the model is run again."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(x + self.a(x).tanh())


class Popping(Skip):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return super().forward(batch.pop("x"))


@pytest.mark.what_if(
    "training loops",
    "the batch is overwritten between `backward` and the step, or the model takes it out of its dictionary",
    "the step is that of the batch that was",
)
@pytest.mark.parametrize("popped", [False, True])
@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5), OutputNormalised(rows=16)])
def test_batches_that_are_used_up_before_the_step(control: Control, popped: bool) -> None:
    x, y, found = batch(30, 4), batch(30, 3), []
    for used_up in (False, True):
        torch.manual_seed(0)
        model = (Popping() if popped else Skip()).double()
        opt = NGD(model, Gaussian(), damping=Fixed(0.1), samples=None, control=control)
        own = x.clone()
        given = {"x": own} if popped else own
        Gaussian()(model(given), y).backward()
        if used_up:
            own.fill_(100)
        opt.step()
        found.append(parameters(model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.what_if(
    "training loops",
    "the model goes into evaluation mode between its pass and the step",
    "the step is that of the pass",
)
@pytest.mark.parametrize("when", ["before backward", "after backward"])
@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5), OutputNormalised(rows=16)])
def test_evaluation_mode_before_the_step(control: Control, when: str) -> None:
    x, y, found = batch(30, 4), batch(30, 3), []
    for early in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4, affine=False), Skip()).double()
        opt = NGD(model, Gaussian(), damping=Fixed(0.1), samples=None, control=control)
        loss = Gaussian()(model(x), y)
        model.train(not (early and when == "before backward"))
        loss.backward()
        model.train(not early)
        opt.step()
        assert model[0].training is not early
        found.append(parameters(model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


class Remembering(Skip):
    """What it kept from the last pass is part of the next one."""

    last: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.last
        self.last = x.detach()
        return super().forward(x)


class Subtracting(Skip):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(1.0))


class OwnGenerator(Skip):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * torch.rand(x.shape, generator=self.generator))


@pytest.mark.what_if(
    "training loops",
    "run again on the same batch, a model gives another output, as one that keeps a state in an attribute",
    "a warning, at the first pass",
)
@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5), OutputNormalised(rows=16)])
@pytest.mark.parametrize("kind", [Remembering, Subtracting, OwnGenerator])
def test_a_model_that_gives_something_else_when_it_is_run_again(kind: type[Skip], control: Control) -> None:
    torch.manual_seed(0)
    model = kind()
    opt = NGD(model, Gaussian(), damping=Fixed(0.1), control=control)
    x = torch.randn(30, 4)
    with pytest.warns(UserWarning, match="run again on the same batch, the model gives another output"):
        Gaussian()(model(x.clone()), torch.randn(30, 3)).backward()
    opt.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Gaussian()(model(x.clone()), torch.randn(30, 3)).backward()


@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5), OutputNormalised(rows=16)])
def test_no_warning_where_the_output_is_the_same(control: Control) -> None:
    """With dropout, batch normalisation in training mode and numbers of low precision."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Tanh(), Skip(), nn.Linear(3, 3))
    model[4].a, model[4].b = nn.Linear(5, 5), nn.Linear(5, 3)
    opt = NGD(model, Gaussian(), damping=Fixed(0.1), control=control, fallback=torch.optim.AdamW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.autocast("cpu", torch.bfloat16):
            loss = Gaussian()(model(torch.randn(30, 4)), torch.randn(30, 3))
        loss.backward()
    opt.step()


def test_weights_of_rows_where_the_batch_cannot_be_cut() -> None:
    """The divergence of the step is that of the trust region, on all rows by their weights."""
    torch.manual_seed(0)
    model, x, y = Popping().double(), batch(30, 4), batch(30, 3)
    opt = NGD(model, Gaussian(), damping=Fixed(0.1), control=TrustRegion(kl=1e-6, rows=16))
    w = torch.rand(30).double()
    before = model({"x": x})
    Gaussian()(before, y, weight=w).backward()
    opt.step()
    divergence = 0.5 * (w * (model({"x": x}) - before).square().sum(1)).sum() / w.sum()
    assert divergence.item() == pytest.approx(1e-6, rel=1e-2)
