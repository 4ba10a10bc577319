"""The exact natural gradient by conjugate gradients, against a dense Fisher by autodiff."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ngdnum import NGD, ConjugateGradient, Fixed, Gaussian, Likelihood
from support.networks import COVARIANCE, LIKELIHOODS, batch, dense_fisher, network, targets
from support.training import gradient, step

torch.set_num_threads(1)
RULES = ["kronecker", "pi_damped", "kfac", "sgd"]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("sizes", [[3, 4, 3], [4, 3, 2, 3]], ids=str)
def test_it_is_the_natural_gradient_of_a_tanh_network(sizes: list[int], likelihood: Likelihood) -> None:
    """F δ = −∇ to 1e-8 on range(F), where −∇ lies: 8 examples × 3 outputs < 31, 32 weights, F is singular."""
    model, x, y = network(sizes), batch(8, sizes[0]), targets(likelihood, 8)
    F, g = dense_fisher(model, likelihood, x), -gradient(model, likelihood(model(x), y))
    assert torch.linalg.matrix_rank(F, hermitian=True) < len(F)
    control = ConjugateGradient(400, tolerance=1e-10, damped=False)
    opt = NGD(model, likelihood, damping=Fixed(1e-3), samples=None, control=control)
    delta = step(model, opt, likelihood, x, y)
    assert (F @ delta - g).norm() < 1e-8 * g.norm()


@pytest.mark.parametrize("rule", RULES)
def test_any_rule_leads_to_the_solution_of_the_damped_system(rule: str) -> None:
    lam, likelihood = 0.1, Gaussian(COVARIANCE)
    model, x, y = network([4, 5, 3]), batch(40, 4), batch(40, 3, seed=2)
    F, g = dense_fisher(model, likelihood, x), -gradient(model, likelihood(model(x), y))
    expected = torch.linalg.solve(F + lam * torch.eye(len(g)), g)
    opt = NGD(model, likelihood, 0.5, rule, Fixed(lam), control=ConjugateGradient(150, tolerance=1e-11))
    torch.testing.assert_close(step(model, opt, likelihood, x, y), 0.5 * expected)


def test_a_few_steps_are_conjugate_gradients() -> None:
    """Without preconditioner, k steps minimise the quadratic over the Krylov space of F + λI and g."""
    x, y, lam = batch(40, 4), batch(40, 3, seed=2), 0.1
    for k in range(1, 5):
        model = network([4, 5, 3])
        g = -gradient(model, Gaussian()(model(x), y))
        A = dense_fisher(model, Gaussian(), x) + lam * torch.eye(len(g))
        opt = NGD(model, Gaussian(), 1.0, "sgd", Fixed(lam), control=ConjugateGradient(k))
        krylov = torch.linalg.qr(torch.stack([torch.linalg.matrix_power(A, j) @ g for j in range(k)], 1)).Q
        expected = krylov @ torch.linalg.solve(krylov.T @ A @ krylov, krylov.T @ g)
        torch.testing.assert_close(step(model, opt, Gaussian(), x, y), expected)


def test_the_kronecker_factors_precondition() -> None:
    """With the same number of steps, the quadratic is nearer to its minimum than without preconditioner."""
    gaps = {}
    for rule in ("pi_damped", "sgd"):
        model, x, y = network([6, 8, 8, 4]), batch(200, 6), batch(200, 4, seed=2)
        g = -gradient(model, Gaussian()(model(x), y))
        A = dense_fisher(model, Gaussian(), x) + 1e-2 * torch.eye(len(g))
        opt = NGD(model, Gaussian(), 1.0, rule, Fixed(1e-2), samples=None, control=ConjugateGradient(8))
        delta = step(model, opt, Gaussian(), x, y)
        gaps[rule] = float(0.5 * delta @ A @ delta - g @ delta + 0.5 * g @ torch.linalg.solve(A, g))
    assert 0 <= gaps["pi_damped"] < 0.5 * gaps["sgd"]


def test_a_rule_that_is_not_linear_still_descends_the_quadratic() -> None:
    x, y, values = batch(40, 4), batch(40, 3, seed=2), []
    for k in (1, 2, 4, 8, 16):
        model = network([4, 5, 3])
        g = -gradient(model, Gaussian()(model(x), y))
        A = dense_fisher(model, Gaussian(), x) + 0.1 * torch.eye(len(g))
        opt = NGD(model, Gaussian(), 1.0, "muon", Fixed(0.1), control=ConjugateGradient(k))
        delta = step(model, opt, Gaussian(), x, y)
        values.append(float(0.5 * delta @ A @ delta - g @ delta))
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("rule", ["exact", "kronecker", "sgd"])
def test_more_steps_than_needed_do_no_harm(rule: str) -> None:
    """The exact rule solves the system of a linear network in one step; what is left then is rounding."""
    model, x, y = network([4, 2, 4], activation=nn.Identity), batch(40, 4), batch(40, 4, seed=2)
    F, g = dense_fisher(model, Gaussian(), x), -gradient(model, Gaussian()(model(x), y))
    opt = NGD(model, Gaussian(), rule=rule, damping=0.0, samples=None, control=ConjugateGradient(500))
    delta = step(model, opt, Gaussian(), x, y)
    assert (F @ delta - g).norm() < 1e-12 * g.norm()
