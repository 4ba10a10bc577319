"""Passes that controls run again: with their random numbers, without traces, with the right rows; dense references."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ngdnum import NGD, ConjugateGradient, DualConjugateGradient, Factors, Fixed, Gaussian, TrustRegion
from ngdnum.control import Control
from support.networks import batch, dense_fisher
from support.training import parameters

torch.set_num_threads(1)


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training)


@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5)])
@pytest.mark.parametrize("dropout", [nn.Dropout(0.5), Functional()])
def test_dropout_has_the_mask_of_the_recorded_pass(dropout: nn.Module, control: Control) -> None:
    """With so much damping that each step is along −gradient; the global generator goes on as if nothing had been."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(20, affine=False)
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), dropout, norm, nn.Linear(20, 3)).double()
    opt = NGD(model, Gaussian(), damping=Fixed(1e5), samples=None, control=control)
    before = parameters(model)
    Gaussian()(model(batch(60, 6)), batch(60, 3)).backward()
    state, count = torch.get_rng_state(), int(norm.num_batches_tracked)
    g = torch.cat([p.grad.flatten() for p in model.parameters()])
    opt.step()
    assert torch.cosine_similarity(before - parameters(model), g, 0) > 1 - 1e-3
    assert torch.equal(torch.get_rng_state(), state) and int(norm.num_batches_tracked) == count == 1


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).movedim(2, 0).transpose(2, 3)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("control", [ConjugateGradient(400), DualConjugateGradient(400)])
def test_attention_after_a_layer(control: Control) -> None:
    """Almost undamped, F u = −gradient within the range of F."""
    torch.manual_seed(0)
    model = Attention().double()
    x, y = torch.randn(12, 5, 8).double(), batch(12, 3)
    f = dense_fisher(model, Gaussian(), x)
    opt = NGD(model, Gaussian(), damping=Fixed(1e-6), control=control)
    before = parameters(model)
    Gaussian()(model(x), y).backward()
    g = torch.cat([p.grad.flatten() for p in model.parameters()])
    opt.step()
    torch.testing.assert_close(f @ (parameters(model) - before), -g, rtol=0, atol=2e-2 * float(g.abs().max()))


@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast, NGD.sample_efficient])
def test_transformers_of_torch_train(preset: Callable[..., NGD]) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.Linear(4, 8), nn.TransformerEncoder(layer, 2), nn.Linear(8, 2)).double()
    opt = preset(model, Gaussian(), fallback=lambda p: torch.optim.SGD(p, lr=1e-3))
    x, losses = torch.randn(40, 5, 4).double(), []
    for _ in range(8):
        opt.zero_grad()
        loss = Gaussian()(model(x), x[..., :2].tanh())
        loss.backward()
        opt.step(lambda: Gaussian()(model(x), x[..., :2].tanh()), loss=loss)
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]


class Scaled(nn.Module):
    """A skip connection, so that the model is run again, and a second argument that is no property of examples."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        x = x * weights.sum()
        return self.b(x + self.a(x).tanh())


@pytest.mark.what_if(
    "batches", "another argument of a layer is by chance as long as the batch", "it is not cut as the batch is"
)
@pytest.mark.parametrize("length", [29, 30, 31])
def test_arguments_that_happen_to_be_as_long_as_the_batch_are_not_cut(length: int) -> None:
    """The divergence of the step is that of the trust region, on all examples, which are alike."""
    torch.manual_seed(0)
    model, weights = Scaled().double(), torch.ones(length).double() / length
    x, y = batch(1, 4).expand(30, 4), batch(1, 3).expand(30, 3)
    opt = NGD(model, Gaussian(), damping=Fixed(0.1), control=TrustRegion(kl=1e-5, rows=16))
    before = model(x, weights)
    Gaussian()(before, y).backward()
    opt.step()
    divergence = 0.5 * (model(x, weights) - before).square().sum(1).mean()
    assert divergence.item() == pytest.approx(1e-5, rel=1e-2)


class Mixing(nn.Module):
    """Examples that are averaged by a matrix with one row and one column for each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.b(adjacency @ self.a(x).tanh() + self.a(x))


def test_a_graph_network_takes_steps() -> None:
    model = Mixing().double()
    opt = NGD.fast(model, Gaussian())
    Gaussian()(model(batch(30, 4), torch.eye(30).double()), batch(30, 3)).backward()
    opt.step()


class TimeFirst(nn.Module):
    def __init__(self, swapped: bool) -> None:
        super().__init__()
        self.swapped, self.a, self.b = swapped, nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.transpose(0, 1))).mean(0) if self.swapped else torch.tanh(self.a(x)).mean(1))


@pytest.mark.parametrize("times", [10, 40, 80])
def test_factors_on_some_rows_are_those_of_the_layout_with_examples_first(times: int) -> None:
    """Errors of the first rows; inputs of all examples, since they cannot be told apart. 80 times are 2 M."""
    scale = torch.linspace(0.1, 3, times).double()[:, None]
    x = torch.randn(40, times, 4, generator=torch.Generator().manual_seed(0)).double() * scale
    found = {}
    for swapped, rows in ((False, 20), (True, 20), (False, None)):
        torch.manual_seed(0)
        model = TimeFirst(swapped).double()
        opt = NGD(model, Gaussian(), samples=None, factors=Factors(every=2, rows=rows))
        Gaussian()(model(x), torch.zeros(40, 2).double()).backward()
        opt.step()
        found[swapped, rows] = opt.state[model.a.weight]
    first, swapped, whole = found.values()
    for name, expected in (("Lambda", whole), ("Lambda_tilde", first)):
        torch.testing.assert_close(swapped[name], expected[name], rtol=1e-9, atol=1e-12)


class Masked(nn.Module):
    """A mask that is the same in every pass."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


@pytest.mark.parametrize("control", [ConjugateGradient(5), DualConjugateGradient(5)])
def test_a_step_with_dropout_is_that_with_its_mask_held_fixed(control: Control) -> None:
    x, y = batch(60, 6), batch(60, 3)
    torch.manual_seed(5)
    found, mask = [], F.dropout(torch.ones(60, 20).double(), 0.5)
    for dropout in (nn.Dropout(0.5), Masked(mask)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), dropout, nn.Linear(20, 3)).double()
        opt = NGD(model, Gaussian(), damping=Fixed(0.1), samples=None, control=control)
        torch.manual_seed(5)
        Gaussian()(model(x), y).backward()
        opt.step()
        found.append(parameters(model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)
