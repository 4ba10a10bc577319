"""A few examples in place of all: exact for linear networks, and only for them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ngdnum import Gaussian, SufficientStatistics, kronecker_factors
from support.networks import COVARIANCE, batch, network

torch.set_num_threads(1)
SIZES = [4, 5, 2, 3]
ROWS = 4 + 1 + 3
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def data(count: int) -> tuple[Tensor, Tensor]:
    return batch(count, 4), batch(count, 3, seed=2)


def fed(x: Tensor, y: Tensor, *counts: int) -> SufficientStatistics:
    """Statistics of all rows, in batches of these sizes."""
    assert sum(counts) == len(x)
    statistics = SufficientStatistics()
    for rows in zip(x.split(counts), y.split(counts)):
        statistics.update(*rows)
    return statistics


def loss_gradient_factors(model: nn.Module, likelihood: Gaussian, x: Tensor, y: Tensor) -> list[Tensor]:
    loss = likelihood(model(x), y)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    factors = kronecker_factors(model, likelihood, x, samples=None)
    return [loss.detach(), *gradient, *(matrix for pair in factors.values() for matrix in pair)]


@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian(COVARIANCE)], ids=repr)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("counts", [(40, 3, 1, 56), (1,) * 20, (8,), (3, 2), (1,)], ids=str)
def test_a_linear_network_sees_no_difference(counts: tuple[int, ...], bias: bool, likelihood: Gaussian) -> None:
    """In batches larger and smaller than k, and with fewer examples than k in all."""
    model, (x, y) = network(SIZES, bias, nn.Identity), data(sum(counts))
    statistics = fed(x, y, *counts)
    few = statistics.examples()
    assert statistics.count == len(x)
    assert [t.shape for t in few] == [(min(len(x), ROWS), 4), (min(len(x), ROWS), 3)]
    expected = loss_gradient_factors(model, likelihood, x, y)
    for got, want in zip(loss_gradient_factors(model, likelihood, *few), expected, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def test_constants_and_copies_among_the_data() -> None:
    """Dead pixels, repeated columns and inputs that are constant leave R singular, and the result exact."""
    x, y = data(50)
    x[:, 0], x[:, 1], x[:, 2], y[:, 2] = 0.0, 3.0, x[:, 3], y[:, 1]
    model = network(SIZES, activation=nn.Identity)
    few = fed(x, y, 30, 20).examples()
    expected = loss_gradient_factors(model, Gaussian(), x, y)
    for got, want in zip(loss_gradient_factors(model, Gaussian(), *few), expected, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def test_small_differences_between_inputs_are_kept() -> None:
    """Two columns that differ by 1e-9: squared, their difference would drown in rounding."""
    x, y = data(200)
    x[:, 1] = x[:, 0] + 1e-9 * x[:, 2]
    x_hat, _ = fed(x, y, *[20] * 10).examples()
    few, all_ = ((u[:, 1] - u[:, 0]).square().mean() for u in (x_hat, x))
    torch.testing.assert_close(few, all_, rtol=1e-5, atol=0.0)


def test_a_nonlinear_network_does_see_a_difference() -> None:
    model, (x, y) = network(SIZES), data(100)
    few, all_ = (Gaussian()(model(u), v) for u, v in (fed(x, y, 100).examples(), (x, y)))
    assert abs(few - all_) > 1e-3 * all_


def test_single_precision_stays_accurate() -> None:
    """After 3000 updates, means are as good as the rounding of the data; inputs far from zero are the worst."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6_000, 4, generator=generator) + 30.0
    y = torch.randn(6_000, 3, generator=generator)
    x_hat, y_hat = fed(x, y, *[2] * 3_000).examples()
    assert x_hat.dtype == y_hat.dtype == torch.float32
    few, all_ = torch.cat([x_hat, y_hat], 1).double(), torch.cat([x, y], 1).double()
    scale = all_.square().mean(0).sqrt()
    assert ((few.mean(0) - all_.mean(0)) / scale).abs().max() < 1e-6
    moments = [rows.T @ rows / len(rows) / scale / scale[:, None] for rows in (few, all_)]
    assert (moments[0] - moments[1]).abs().max() < 1e-6


def test_it_survives_pickling_and_leaves_its_input_alone() -> None:
    x, y = data(20)
    before = x.clone(), y.clone()
    first = fed(x[:15], y[:15], 10, 5)
    second = pickle.loads(pickle.dumps(first))
    for statistics in (first, second):
        statistics.update(x[15:], y[15:])
    for got, want in zip(second.examples(), first.examples()):
        assert torch.equal(got, want)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])


def test_no_gradient_flows_back_into_the_data() -> None:
    x, y = data(10)
    statistics = fed(x.requires_grad_(), y, 10)
    assert not statistics.root.requires_grad
    assert not any(t.requires_grad for t in statistics.examples())


Spoil = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
BAD = [
    (lambda x, y: (x[0], y), r"one example a row; got \(4,\) and \(6, 3\)"),
    (lambda x, y: (x, y[:, 0]), r"got \(6, 4\) and \(6,\)"),
    (lambda x, y: (x, y[:5]), r"got \(6, 4\) and \(5, 3\)"),
    (lambda x, y: (x[:0], y[:0]), "empty batches"),
    (lambda x, y: (x, y[:, :0]), r"nothing in x .* or y of shape \(6, 0\)"),
    (lambda x, y: (x.int(), y), "x must be of floating point.*int32"),
    (lambda x, y: (x, y.long()), "y must be of floating point.*int64"),
    (lambda x, y: (x / 0, y), "x has entries that are not finite"),
    (lambda x, y: (x, y * float("nan")), "y has entries that are not finite"),
]
CHANGED = [
    (lambda x, y: (x[:, :3], y), "3 inputs and 3 outputs, those before had 4 and 3: begin a new SufficientStatistics"),
    (lambda x, y: (x, y[:, :2]), "4 inputs and 2 outputs, those before had 4 and 3"),
    (lambda x, y: (x[:, :3], torch.cat([y, y[:, :1]], 1)), "3 inputs and 4 outputs, those before had 4 and 3"),
]


def refuses(statistics: SufficientStatistics, examples: tuple[Tensor, Tensor], message: str) -> None:
    """And everything in `statistics` is as before."""
    before = copy.deepcopy(vars(statistics))
    with pytest.raises(ValueError, match=message):
        statistics.update(*examples)
    after = dict(vars(statistics))
    root, root_before = after.pop("root"), before.pop("root")
    assert after == before
    assert root is root_before or torch.equal(root, root_before)


@pytest.mark.what_if(
    "batches", "bad examples are added to sufficient statistics", "ValueError, and what was added before is unchanged"
)
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(("spoil", "message"), BAD)
def test_bad_examples_are_refused_and_change_nothing(spoil: Spoil, message: str, begun: bool) -> None:
    refuses(fed(*data(20), 20) if begun else SufficientStatistics(), spoil(*data(6)), message)


@pytest.mark.parametrize(("spoil", "message"), CHANGED)
def test_changed_widths_are_refused_and_change_nothing(spoil: Spoil, message: str) -> None:
    refuses(fed(*data(20), 20), spoil(*data(6)), message)


def test_nothing_to_give_out_before_the_first_update() -> None:
    with pytest.raises(RuntimeError, match=r"call update\(x, y\) first"):
        SufficientStatistics().examples()
