"""Runs of gradient descent that take their steps as one stack come out as they do one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ngdnum import Gaussian
from ngdnum.data import Problem, linear_teacher
from ngdnum.experiments.entry import Entry
from ngdnum.experiments.method import Method, method, nesterov, sgd
from ngdnum.experiments.search import SCHEDULES
from ngdnum.experiments.stacked import advance_stacked
from ngdnum.experiments.training import Budget, Run
from ngdnum.results import Curve

BUDGET = Budget(samples=2_000)
PLAIN = method("SGD", sgd, (0.01, 0.05, 0.1), (20,), schedule=SCHEDULES)
HEAVY = method("SGD with momentum", sgd, (0.005, 0.01), (20, 50), momentum=(0.9,), schedule=SCHEDULES)


def problem(seed: int = 0, **options: object) -> Problem:
    return linear_teacher((6, 4, 2, 5), seed, train=500, validation=50, test=50, **options)


def entries(tuned: Method, *problems: Problem, budget: Budget = BUDGET) -> list[Entry]:
    return [
        Entry(Run(each, tuned, settings, seed), budget, 1.0, Curve(tuned.name, settings))
        for seed, each in enumerate(problems)
        for settings in tuned.grid
    ]


def weights(entry: Entry) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in entry.run.model.parameters()])


@pytest.mark.parametrize("tuned", [PLAIN, HEAVY], ids=["plain", "momentum"])
def test_a_stack_goes_where_the_optimizer_goes(tuned: Method) -> None:
    """Also over several turns, on problems of several seeds, with batches of several sizes."""
    problems = problem(0), problem(1)._replace(likelihood=Gaussian(torch.tensor([0.5, 1.0, 2.0, 1.0, 3.0])))
    alone, together = (entries(tuned, *problems) for _ in range(2))
    start = weights(together[0])
    for share in (0.3, 0.6, 1.0):
        advance_stacked(together, share)
        for one, other in zip(alone, together, strict=True):
            one.run.advance(BUDGET, share)
            assert (one.run.steps, one.run.samples) == (other.run.steps, other.run.samples)
            torch.testing.assert_close(weights(other), weights(one), rtol=0, atol=1e-10)
    assert (weights(together[0]) - start).abs().max() > 0.01


def test_what_a_stack_has_trained_the_optimizer_goes_on_with() -> None:
    alone, together = (entries(HEAVY, problem()) for _ in range(2))
    advance_stacked(together, 0.5)
    for one, other in zip(alone, together, strict=True):
        one.advance(1.0)
        other.advance(1.0)
        torch.testing.assert_close(weights(other), weights(one), rtol=0, atol=1e-10)
        assert other.curve.samples == one.curve.samples


def test_a_run_comes_out_the_same_to_the_bit_in_whatever_company() -> None:
    single, together = entries(PLAIN, problem()), entries(PLAIN, problem())
    advance_stacked(together, 1.0)
    for one, other in zip(single, together, strict=True):
        advance_stacked([one], 1.0)
        assert torch.equal(weights(one), weights(other))


def test_runs_that_diverge_leave_the_others_alone() -> None:
    wild = method("SGD", sgd, (1e3, 0.05, 30.0, 0.01), (20,), momentum=(0.9,))
    alone, together = (entries(wild, problem()) for _ in range(2))
    for share in (0.5, 1.0):
        advance_stacked(together, share)
        for one, other in zip(alone, together, strict=True):
            one.advance(share)
            other.advance(share)
    assert [entry.curve.diverged for entry in together] == [True, False, True, False]
    for one, other in zip(alone, together, strict=True):
        assert (one.run.samples, one.curve.samples) == (other.run.samples, other.curve.samples)
        assert one.curve.diverged == other.curve.diverged and not other.run.seconds
        if not one.curve.diverged:
            torch.testing.assert_close(weights(other), weights(one), rtol=0, atol=1e-10)


def tanh(each: Problem) -> Problem:
    return each._replace(model=nn.Sequential(*each.model[:1], nn.Tanh(), *each.model[1:]))


@pytest.mark.parametrize(
    ("tuned", "budget", "change"),
    [
        (PLAIN, Budget(seconds=1.0), copy.deepcopy),
        (method("SGD", nesterov, (0.01,), (20,)), BUDGET, copy.deepcopy),
        (PLAIN, BUDGET, tanh),
        (PLAIN, BUDGET, lambda each: problem(bias=True)),
    ],
    ids=["seconds", "another optimizer", "nonlinear", "biases"],
)
def test_what_cannot_be_stacked_is_left_as_it_is(
    tuned: Method, budget: Budget, change: Callable[[Problem], Problem]
) -> None:
    left = entries(tuned, change(problem()), budget=budget)
    before = [weights(entry) for entry in left]
    advance_stacked(left, 1.0)
    assert all(map(torch.equal, before, map(weights, left))) and not any(entry.run.steps for entry in left)
