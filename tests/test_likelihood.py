"""Likelihoods: the loss, the score and the Fisher of the outputs against torch's own and against each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ngdnum import Bernoulli, Categorical, Gaussian, Likelihood
from ngdnum.likelihood import fisher_product, sampled_score, score

torch.set_num_threads(1)
N = 3
A = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FULL = A @ A.mT + torch.eye(N, dtype=torch.float64)
ALL = {
    "unit": Gaussian(),
    "scalar": Gaussian(0.3),
    "diagonal": Gaussian(torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)),
    "full": Gaussian(FULL),
    "categorical": Categorical(),
    "bernoulli": Bernoulli(),
}


@pytest.fixture(params=ALL)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    return ALL[request.param]


def outputs(count: int = 5) -> Tensor:
    return torch.randn(count, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_losses_are_those_of_torch() -> None:
    f = outputs()
    y = torch.randn_like(f)
    r = y - f
    torch.testing.assert_close(Gaussian()(f, y), N / 2 * F.mse_loss(f, y))
    torch.testing.assert_close(Gaussian(FULL)(f, y), 0.5 * (r @ FULL.inverse() * r).sum(1).mean())
    torch.testing.assert_close(Gaussian(FULL.diagonal())(f, y), Gaussian(FULL.diagonal().diag())(f, y))
    classes, bits = torch.tensor([0, 2, 1, 1, 0]), (y > 0).double()
    torch.testing.assert_close(Categorical()(f, classes), F.cross_entropy(f, classes))
    torch.testing.assert_close(Bernoulli()(f, bits), N * F.binary_cross_entropy_with_logits(f, bits))


def test_gaussian_log_density_is_torchs_up_to_the_constant() -> None:
    f, y = outputs(), outputs().flip(0)
    reference = torch.distributions.MultivariateNormal(f, FULL)
    constant = reference.log_prob(f)
    torch.testing.assert_close(Gaussian(FULL).log_density(f, y), reference.log_prob(y) - constant)


def test_score_is_the_derivative_of_the_log_density(likelihood: Likelihood) -> None:
    f = outputs()
    y = likelihood.sample(f, torch.Generator().manual_seed(2))
    torch.testing.assert_close(likelihood.score(f, y), score(likelihood, f, y))


def test_sampled_scores_have_mean_zero_and_the_output_fisher_as_covariance(likelihood: Likelihood) -> None:
    """Both within five standard errors of 20,000 samples per example, entry by entry."""
    f = outputs(2)
    s = sampled_score(likelihood, f, 20_000, torch.Generator().manual_seed(3))
    products = s.unsqueeze(-1) * s.unsqueeze(-2)
    root = likelihood.fisher_root(f)
    fisher = torch.einsum("rmi,rmj->mij", root, root)
    for estimate, expected in ((s, torch.zeros_like(f)), (products, fisher)):
        error = (estimate.mean(0) - expected).abs()
        assert (error <= 5 * estimate.std(0) / len(s) ** 0.5 + 1e-12).all()


def test_output_fisher_is_the_expected_hessian(likelihood: Likelihood) -> None:
    """For these likelihoods the Hessian of −log q in f does not depend on y."""
    f = outputs()
    y = likelihood.sample(f, torch.Generator().manual_seed(2))
    root = likelihood.fisher_root(f)
    for m in range(len(f)):
        hessian = torch.autograd.functional.hessian(lambda v: likelihood(v[None], y[m : m + 1]), f[m])
        torch.testing.assert_close(root[:, m].mT @ root[:, m], hessian)


def test_sampling_is_reproducible(likelihood: Likelihood) -> None:
    draw = [likelihood.sample(outputs(50), torch.Generator().manual_seed(k)) for k in (4, 4, 5)]
    assert draw[0].equal(draw[1])
    assert not draw[0].equal(draw[2])


def test_float32_output_with_a_float64_covariance_stays_float32() -> None:
    f = outputs().float()
    likelihood = Gaussian(FULL)
    for value in (likelihood(f, f), likelihood.sample(f), likelihood.score(f, f), likelihood.fisher_root(f)):
        assert value.dtype == torch.float32


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (0.0, "positive"),
        (-1, "positive"),
        (float("nan"), "finite"),
        (torch.tensor([1.0, -1.0]), "positive"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (torch.ones(2, 3), "n × n"),
    ],
)
def test_impossible_covariances_are_refused(covariance: float | Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gaussian(covariance)


def test_wrong_shapes_are_refused_instead_of_broadcast() -> None:
    f = outputs()
    with pytest.raises(ValueError, match="same shape"):
        Gaussian()(f, f[:, :1])
    with pytest.raises(ValueError, match="same shape"):
        Bernoulli()(f, f[0])
    with pytest.raises(ValueError, match="2 outputs, but the model has 3"):
        Gaussian(torch.ones(2))(f, f)
    with pytest.raises(ValueError, match="class numbers"):
        Categorical()(f, f)
    with pytest.raises(ValueError, match="0 … 2"):
        Categorical()(f, torch.tensor([0, 1, 2, 3, 0]))


def test_log_density_that_sums_over_examples_is_refused() -> None:
    class Summed(Likelihood):
        def log_density(self, output: Tensor, target: Tensor) -> Tensor:
            return -(output - target).square().sum()

        def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
            return output

    with pytest.raises(ValueError, match="one value per example"):
        Summed().score(outputs(), outputs())


def test_product_with_the_fisher_of_the_output(likelihood: Likelihood) -> None:
    output, change = outputs(), outputs().flip(0)
    root = likelihood.fisher_root(output)
    expected = torch.einsum("rmi,rmj,mj->mi", root, root, change)
    torch.testing.assert_close(likelihood.fisher_product(output, change), expected)

    class OnlyRoot:
        fisher_root = staticmethod(likelihood.fisher_root)

    torch.testing.assert_close(fisher_product(OnlyRoot(), output, change), expected)
