"""Steps limited by the divergence they cause."""

from __future__ import annotations

import pytest
import torch

from ngdnum import NGD, Fixed, Likelihood, TrustRegion
from support.networks import LIKELIHOODS, batch, dense_fisher, network, targets
from support.training import parameters, step

torch.set_num_threads(1)


@pytest.mark.parametrize("rows", [None, 8])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_a_long_step_is_cut_to_the_divergence(likelihood: Likelihood, rows: int | None) -> None:
    model, x, y, kl = network([4, 5, 3]), batch(30, 4), targets(likelihood, 30), 1e-4
    F = dense_fisher(model, likelihood, x[:rows])
    plain = network([4, 5, 3])
    free = step(plain, NGD(plain, likelihood, 0.7, "sgd", Fixed(1.0)), likelihood, x, y)
    assert 0.5 * free @ F @ free > kl
    opt = NGD(model, likelihood, 0.7, "sgd", Fixed(1.0), control=TrustRegion(kl, rows))
    u = step(model, opt, likelihood, x, y)
    torch.testing.assert_close(0.5 * u @ F @ u, torch.tensor(kl, dtype=u.dtype))
    torch.testing.assert_close(u / u.norm(), free / free.norm())


def test_a_short_step_is_left_as_it_is() -> None:
    likelihood, results = LIKELIHOODS[0], []
    for options in ({}, {"control": TrustRegion(1e6)}):
        model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
        step(model, NGD(model, likelihood, 0.01, "sgd", **options), likelihood, x, y)
        results.append(parameters(model))
    assert results[0].equal(results[1])


@pytest.mark.parametrize("likelihood", LIKELIHOODS[2:], ids=repr)
def test_the_measured_divergence_is_the_promised_one(likelihood: Likelihood) -> None:
    """Kullback–Leibler divergence from the model before the step, exactly, over the examples."""
    model, x, y, kl = network([4, 5, 3]), batch(30, 4), targets(likelihood, 30), 1e-6
    before = model(x).detach()
    step(model, NGD(model, likelihood, control=TrustRegion(kl)), likelihood, x, y)
    after = model(x).detach()
    name = type(likelihood).__name__
    if name == "Gaussian":
        change = after - before
        divergence = 0.5 * torch.einsum("mi,ij,mj->m", change, likelihood.covariance.inverse(), change)
    else:
        build = torch.distributions.Categorical if name == "Categorical" else torch.distributions.Bernoulli
        p, q = build(logits=before), build(logits=after)
        divergence = torch.distributions.kl_divergence(p, q).view(len(x), -1).sum(1)
    assert divergence.mean().item() == pytest.approx(kl, rel=1e-2)
