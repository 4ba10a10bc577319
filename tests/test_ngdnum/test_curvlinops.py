"""Factors against those of an independent implementation, curvlinops' type-2 KFAC."""

from __future__ import annotations

import pytest
import torch
from curvlinops import FisherType, KFACLinearOperator
from torch import nn

from ngdnum import Bernoulli, Categorical, Gaussian, Likelihood, kronecker_factors
from support.networks import images, network

torch.set_num_threads(1)
N = 3


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Conv2d(3, 4, 2, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(16, N),
    ).double()


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
@pytest.mark.parametrize("model", [network([72, 5, N]), cnn()], ids=["mlp", "cnn"])
@pytest.mark.parametrize(
    ("likelihood", "loss", "scale"),
    [
        (Gaussian(), nn.MSELoss(), 2 / N),
        (Categorical(), nn.CrossEntropyLoss(), 1),
        (Bernoulli(), nn.BCEWithLogitsLoss(), 1 / N),
    ],
    ids=["gaussian", "categorical", "bernoulli"],
)
def test_exact_factors_are_those_of_curvlinops(
    likelihood: Likelihood, loss: nn.Module, scale: float, model: nn.Module, sharing: str
) -> None:
    """Λ is the same, Λ̃ for the loss of torch is `scale` times ours, as is that loss."""
    x = images(7, 2, 6, 6) if isinstance(model[0], nn.Conv2d) else images(7, 72)
    y = torch.arange(7) % N if isinstance(loss, nn.CrossEntropyLoss) else torch.ones(7, N, dtype=x.dtype)
    torch.testing.assert_close(loss(model(x), y), scale * likelihood(model(x), y))
    theirs = KFACLinearOperator(
        model,
        loss,
        list(model.parameters()),
        [(x, y)],
        check_deterministic=False,
        fisher_type=FisherType.TYPE2,
        kfac_approx=sharing,
        separate_weight_and_bias=False,
    )
    theirs.compute_kronecker_factors()
    ours = kronecker_factors(model, likelihood, x, kfac_approx=sharing)
    assert ours.keys() == theirs._input_covariances.keys()
    for name, (lambda_tilde, lambda_) in ours.items():
        torch.testing.assert_close(lambda_, theirs._input_covariances[name])
        torch.testing.assert_close(scale * lambda_tilde, theirs._gradient_covariances[name])
