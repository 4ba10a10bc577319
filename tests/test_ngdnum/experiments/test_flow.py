"""Flows of weights: the rules against their definitions, the solver against flows that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ngdnum.experiments.flow import LAWS, follow_flows, logistic, plateaus, projected, pseudo_inverse_law, straight
from ngdnum.experiments.linear_flow import (
    Moments,
    exact_rule,
    follow,
    gradient,
    paper_rule,
    product,
    random_moments,
    random_weights,
    sides,
    smallest_speed,
    some_inverse,
)


def drawn(*sizes: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return random_weights(sizes, generator), random_moments(sizes[0], sizes[-1], generator)


def speed(rule, weights, moments):
    """dW/dt, by the product rule."""
    return sum(a @ change @ b for a, b, change in zip(*sides(weights), rule(weights, moments)))


def test_the_gradient_is_that_of_the_mean_log_density() -> None:
    weights, moments = drawn(3, 4, 2)
    for W in weights:
        W.requires_grad_()
    Z = moments.W_star - product(weights)
    loss = 0.5 * torch.trace(torch.linalg.inv(moments.Sigma_tilde) @ Z @ moments.Sigma @ Z.mT)
    for own, by_autograd in zip(gradient(weights, moments), torch.autograd.grad(loss, weights)):
        assert torch.allclose(own, -by_autograd, atol=1e-12)


def test_whitening_is_undone_and_makes_the_metric_the_identity() -> None:
    (W, *_), moments = drawn(3, 2)
    V = moments.whiten(W)
    assert torch.allclose(moments.unwhiten(V), W)
    metric = torch.trace(torch.linalg.inv(moments.Sigma_tilde) @ W @ moments.Sigma @ W.mT)
    assert float(V.square().sum()) == pytest.approx(float(metric))


@pytest.mark.parametrize("sizes", [(3, 4, 3), (4, 3, 2, 3, 4)])
def test_generalized_inverses_move_the_map_alike_and_the_weights_not(sizes: tuple[int, ...]) -> None:
    weights, moments = drawn(*sizes)
    law = projected(min(sizes))([product(weights)], moments)[0]
    for rule in (exact_rule, smallest_speed, some_inverse(1), some_inverse(2)):
        assert torch.allclose(speed(rule, weights, moments), law, atol=1e-9)
    first, second = some_inverse(1)(weights, moments), some_inverse(2)(weights, moments)
    assert not any(torch.allclose(a, b, atol=1e-2) for a, b in zip(first, second))
    lengths = [sum(float(W.square().sum()) for W in rule(weights, moments)) for rule in (smallest_speed, exact_rule)]
    assert lengths[0] < lengths[1]


def test_the_rule_of_the_paper_follows_its_own_law_and_no_other_through_a_bottleneck() -> None:
    weights, moments = drawn(4, 3, 2, 3, 4)
    W = product(weights)
    moved = speed(paper_rule, weights, moments)
    assert torch.allclose(moved, pseudo_inverse_law(weights, moments), atol=1e-10)
    assert not torch.allclose(moved, projected(2)([W], moments)[0], atol=1e-2)


def test_the_solver_arrives_where_exponentials_and_logistics_do() -> None:
    generator = torch.Generator().manual_seed(0)
    times = np.array([0.0, 0.5, 2.0])
    found = plateaus(gradient, generator, times)
    assert found[:, 1] == pytest.approx(logistic(2.0, 1e-3, times), abs=1e-6)
    step = 1e-6
    slope = (logistic(2.0, 0.3, np.array([step])) - 0.3) / step
    assert slope == pytest.approx([2 * 0.3 * 1.7], rel=1e-4)
    weights, moments = drawn(2, 3, 2)
    path = follow(paper_rule, weights, moments, times)
    assert path.maps == pytest.approx(straight(moments, product(weights), times), abs=1e-6)


def test_a_flow_ends_where_it_is_stopped_and_complains_where_it_cannot_go_on() -> None:
    one = torch.eye(1, dtype=torch.float64)
    moments = Moments(-one, one, one)
    path = follow(gradient, [one], moments, np.array([0.0, 0.5, 5.0]), stop=lambda weights: float(weights[0]))
    assert path.times == pytest.approx([0.0, 0.5, np.log(2)], abs=1e-6) and len(path.weights) == 3
    assert float(path.weights[-1][0]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(RuntimeError, match="step size"):
        follow(lambda weights, moments: [weights[0] ** 2], [one], moments, np.array([0.0, 2.0]))


def test_laws_hold_for_the_rules_that_they_are_about() -> None:
    laws = ("(18), narrowing", "exact flow", "late rate", "blow-up")
    result = follow_flows(laws=laws, seeds=1, progress=False)
    assert result.complete and {row["law"] for row in result.rows} == set(laws) < set(LAWS)
    for law in laws[:2]:
        assert max(result.values("deviation", law=law, rule="exact rule")) < 1e-6
        assert min(result.values("deviation", law=law, rule="Eq. 10")) > 1e-2
    (row,) = (row for row in result.rows if row["law"] == "late rate" and row["rule"] == "exact rule")
    assert row["measured"] == pytest.approx(row["predicted"], rel=0.05)
    (row,) = (row for row in result.rows if row["law"] == "blow-up" and row["rule"] == "Eq. 10")
    assert row["measured"] == pytest.approx(row["predicted"], rel=1e-3) and row["deviation"] < 1e-6
