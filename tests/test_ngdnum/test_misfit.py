"""A loss that is not that of the likelihood told is noticed where its gradient or value shows it, and only there."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ngdnum import NGD, Bernoulli, Categorical, Gaussian, Likelihood
from support.networks import batch, network

torch.set_num_threads(1)
CLASSES, BINARY, REAL = batch(30, 3, 2).argmax(1), (batch(30, 3, 2) > 0).double(), batch(30, 3, 2)
WEIGHT = torch.tensor([0.2, 1.0, 3.0]).double()


def cross_entropy(f: Tensor) -> Tensor:
    return F.cross_entropy(f, CLASSES)


def weighted(f: Tensor) -> Tensor:
    return 7 * F.cross_entropy(f, CLASSES.where(CLASSES > 0, -100), WEIGHT)


def smoothed(f: Tensor) -> Tensor:
    return F.cross_entropy(f, CLASSES, label_smoothing=0.1)


def binary(f: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(f, BINARY)


def mean_square(f: Tensor) -> Tensor:
    return F.mse_loss(f, REAL)


def onehot(f: Tensor) -> Tensor:
    return 1.5 * F.mse_loss(f, F.one_hot(CLASSES, 3).double())


def first_step(likelihood: Likelihood, loss: Callable[[Tensor], Tensor]) -> list[str]:
    model, x = network([4, 5, 3]), batch(30, 4)
    opt = NGD.fast(model, likelihood)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            opt.zero_grad()
            value = loss(model(x))
            value.backward()
            opt.step(loss=value)
    return [str(warning.message) for warning in caught if warning.category is UserWarning]


@pytest.mark.what_if(
    "batches",
    "cross entropy is trained, and the likelihood says Gaussian",
    "one warning: “that of a cross entropy of classes, … pass Categorical”",
)
@pytest.mark.what_if(
    "batches",
    "`nn.MSELoss` is trained as it is",
    "one warning with the constant that is missing: “is nn.MSELoss, … n = 3 outputs… = 1.5;”",
)
@pytest.mark.parametrize(
    ("likelihood", "loss", "message"),
    [
        (Gaussian(), cross_entropy, "that of a cross entropy of classes, .* pass Categorical"),
        (Gaussian(), weighted, "that of a cross entropy of classes, .* pass Categorical"),
        (Bernoulli(), cross_entropy, "that of a cross entropy of classes, .* pass Categorical"),
        (Gaussian(), binary, "that of a binary cross entropy, .* pass Bernoulli"),
        (Categorical(), binary, "not that of a cross entropy of classes"),
        (Categorical(), mean_square, "not that of a cross entropy of classes"),
        (Gaussian(), mean_square, "is nn.MSELoss, .* n = 3 outputs.* = 1.5;"),
        (Gaussian(0.5), mean_square, "is nn.MSELoss, .* n = 3 outputs.* = 3;"),
    ],
)
def test_told_once(likelihood: Likelihood, loss: Callable[[Tensor], Tensor], message: str) -> None:
    (found,) = first_step(likelihood, loss)
    assert re.search(message, found)


@pytest.mark.parametrize(
    ("likelihood", "loss"),
    [
        (Categorical(), cross_entropy),
        (Categorical(), weighted),
        (Categorical(), smoothed),
        (Bernoulli(), binary),
        (Gaussian(), onehot),
        (Gaussian(1.5), mean_square),
        (Gaussian(), lambda f: Gaussian()(f, REAL)),
        (Gaussian(0.5), lambda f: Gaussian(0.5)(f, BINARY)),
        (Gaussian(), lambda f: 0.1 * Gaussian()(f, REAL)),
        (Gaussian(), lambda f: Gaussian()(f, REAL) + f.sum(0).square().sum()),
    ],
)
def test_nothing_is_said_of_losses_that_fit(likelihood: Likelihood, loss: Callable[[Tensor], Tensor]) -> None:
    assert not first_step(likelihood, loss)


def test_the_constant_told_makes_the_step_that_of_the_likelihood() -> None:
    """n/2 times nn.MSELoss, against the likelihood as the loss."""
    found = []
    for loss in (lambda f: 1.5 * F.mse_loss(f, REAL), lambda f: Gaussian()(f, REAL)):
        model, x = network([4, 5, 3]), batch(30, 4)
        opt = NGD(model, Gaussian(), samples=None)
        loss(model(x)).backward()
        opt.step()
        found.append([p.detach().clone() for p in model.parameters()])
    torch.testing.assert_close(*found)


@pytest.mark.what_if(
    "batches",
    "outputs are certain, and wrong, so that the Fisher is 0 in float32",
    "UserWarning: “certain, and wrong, … no step: start from smaller weights”",
)
def test_outputs_that_are_certain_and_wrong_are_told() -> None:
    """With logits (60, −60), p(1 − p) is 0 in float32, and the gradient is not."""
    model = nn.Linear(5, 2)
    nn.init.zeros_(model.weight)
    model.bias.data = torch.tensor([60.0, -60.0])
    opt = NGD.fast(model, Categorical())
    Categorical()(model(torch.randn(30, 5)), torch.ones(30, dtype=torch.long)).backward()
    assert model.bias.grad.abs().min() > 0.9
    with pytest.warns(UserWarning, match="certain, and wrong, .* no step: start from smaller weights"):
        opt.step()
