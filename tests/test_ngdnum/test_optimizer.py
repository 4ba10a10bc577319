"""NGD as a torch optimizer: the formula of its step, damping, state, hooks, determinism, accumulation."""

from __future__ import annotations

import copy
import io
import types

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Fixed, Gaussian, LevenbergMarquardt, kronecker_factors
from ngdnum.rules import RULES
from support.networks import batch, network
from support.problem import SIZES, problem, train
from support.training import same, weights

torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_step_is_equation_20_layer_by_layer(dtype: torch.dtype) -> None:
    """Stacked layers, biases and all: the same as one layer after the other, with plain inverses."""
    model = network(SIZES).to(dtype)
    x, y = batch(30, 4).to(dtype), batch(30, 3, seed=2).to(dtype)
    lam, alpha = 0.3, 0.7
    opt = NGD(model, Gaussian(), lr=alpha, damping=LevenbergMarquardt(lam), samples=None)
    factors = kronecker_factors(model, Gaussian(), x)
    Gaussian()(model(x), y).backward()
    expected = []
    for name, (lambda_tilde, lambda_) in factors.items():
        layer = model.get_submodule(name)
        gradient = torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1)
        left = (lambda_tilde + lam**0.5 * torch.eye(len(lambda_tilde), dtype=dtype)).inverse()
        right = (lambda_ + lam**0.5 * torch.eye(len(lambda_), dtype=dtype)).inverse()
        weight = torch.cat([layer.weight, layer.bias[:, None]], 1)
        expected.append(weight - alpha / len(factors) * left @ gradient @ right)
    opt.step()
    for name, weight in zip(factors, expected):
        layer = model.get_submodule(name)
        tolerance = {"rtol": 1e-3 if dtype == torch.float32 else 1e-9, "atol": 0}
        torch.testing.assert_close(layer.weight, weight[:, :-1], **tolerance)
        torch.testing.assert_close(layer.bias, weight[:, -1], **tolerance)


def test_sgd_rule_is_sgd_and_draws_no_samples() -> None:
    model, opt, x, y = problem(rule="sgd", lr=0.01)
    twin = copy.deepcopy(model)
    sgd = torch.optim.SGD(twin.parameters(), lr=0.01)
    state = opt.generator.get_state()
    for _ in range(3):
        for m, o in ((model, opt), (twin, sgd)):
            o.zero_grad()
            Gaussian()(m(x), y).backward()
            o.step()
    torch.testing.assert_close(weights(model), weights(twin))
    assert state.equal(opt.generator.get_state())


SOURCE = """
def factorise(Lambda, lam):
    return (Lambda + lam * torch.eye(Lambda.shape[-1], dtype=Lambda.dtype),)

def apply(G, state):
    return torch.linalg.solve(state[0], G, left=False)
"""


def test_rules_by_name_object_module_and_source_are_the_same() -> None:
    module = types.ModuleType("mine")
    module.torch = torch
    exec(SOURCE, vars(module))
    emitted = types.ModuleType("kronecker_rule")
    emitted.factorise, emitted.apply = RULES["kronecker"].factorise, RULES["kronecker"].apply
    for group in (("kronecker", RULES["kronecker"], emitted), (SOURCE, module)):
        results = []
        for rule in group:
            model, opt, _, _ = problem(rule=rule, lr=0.1)
            start = weights(model)
            train(model, opt, 2)
            results.append(weights(model))
            assert not same(start, results[-1])
        assert all(same(results[0], result) for result in results[1:])


def test_damping_follows_equation_21_and_its_exact_prediction() -> None:
    """One layer, exact factors, λ → 0: ρ = 1, and λ shrinks by 2/3 a step until its floor."""
    model, x, y = network([4, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt = NGD(model, Gaussian(), lr=0.5, damping=LevenbergMarquardt(1e-6, floor=3e-7), samples=None)
    for expected in (2e-6 / 3, 4e-6 / 9, 3e-7, 3e-7):
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
        assert opt.param_groups[0]["damping"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rho", "factor"), [(-1, 1.5), (0, 1.5), (0.2, 1.5), (0.3, 1), (0.7, 1), (0.8, 2 / 3), (1, 2 / 3)]
)
def test_damping_reacts_to_the_ratio_of_actual_to_predicted_change(rho: float, factor: float) -> None:
    """A closure that makes up the loss: it changes by ρ times what footnote 1 predicts."""
    model, opt, x, y = problem(damping=0.1, lr=0.5, samples=None)
    Gaussian()(model(x), y).backward()
    before = weights(model)
    gradient = [p.grad.clone() for p in model.parameters()]
    losses = iter([7.0, None])

    def closure() -> float:
        loss = next(losses)
        if loss is None:
            trace = sum(((b - p) * g).sum() for b, p, g in zip(before.values(), model.parameters(), gradient)) / 0.5
            loss = 7.0 + rho * float(trace) * (-0.5 + 0.125)
        return loss

    assert opt.step(closure) == 7.0
    assert opt.param_groups[0]["damping"] == pytest.approx(0.1 * factor)


def test_step_without_closure_keeps_the_damping_and_a_scheduler_may_change_it() -> None:
    model, opt, _, _ = problem(damping=0.3)
    train(model, opt, 3, closure=False)
    assert opt.param_groups[0]["damping"] == 0.3
    opt.param_groups[0]["damping"] = 1e6
    start = weights(model)
    train(model, opt, 1, closure=False)
    assert max(float((a - b).abs().max()) for a, b in zip(start.values(), weights(model).values())) < 1e-2
    model, opt, _, _ = problem(damping=Fixed(0.3))
    train(model, opt, 3)
    assert opt.param_groups[0]["damping"] == 0.3


def test_learning_rate_schedulers_work() -> None:
    model, opt, _, _ = problem(lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 1, gamma=0.1)
    train(model, opt, 1)
    scheduler.step()
    assert opt.param_groups[0]["lr"] == pytest.approx(0.05)


def test_closure_runs_twice_without_gradients_and_costs_no_backward_pass() -> None:
    model, opt, x, y = problem()
    Gaussian()(model(x), y).backward()
    modes = []
    opt.step(lambda: (modes.append(torch.is_grad_enabled()), Gaussian()(model(x), y))[1])
    assert modes == [False, False]


def test_an_overflowing_step_is_undone_and_damped() -> None:
    model, opt, x, y = problem(damping=0.1)
    before = weights(model)
    Gaussian()(model(x), y).backward()
    losses = iter([1.0, float("inf")])
    opt.step(lambda: next(losses))
    assert same(before, weights(model))
    assert opt.param_groups[0]["damping"] == pytest.approx(0.15)


def test_one_seed_gives_one_trajectory() -> None:
    runs = []
    for seed in (5, 5, 6):
        model, opt, _, _ = problem(samples=1)
        opt.generator.manual_seed(seed)
        train(model, opt, 5)
        runs.append(weights(model))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_default_seed_is_that_of_torch_and_leaves_its_random_numbers_alone() -> None:
    runs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        model = network(SIZES)
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        opt = NGD(model, Gaussian())
        train(model, opt, 3)
        assert state.equal(torch.get_rng_state())
        runs.append(weights(model))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_saved_state_continues_to_the_bit() -> None:
    model, opt, _, _ = problem(damping=0.5, lr=0.5)
    train(model, opt, 3)
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, 3, first=3)

    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    untouched = copy.deepcopy(saved["opt"])
    other = network(SIZES, seed=9)
    resumed = NGD(other, Gaussian())
    resumed.generator.manual_seed(77)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    assert saved["opt"].keys() == untouched.keys() and saved["opt"]["ngd"].keys() == untouched["ngd"].keys()
    train(other, resumed, 3, first=3)
    assert same(weights(model), weights(other))
    assert resumed.steps == opt.steps == 6
    assert resumed.param_groups[0]["damping"] == opt.param_groups[0]["damping"] != 0.5
    assert resumed.param_groups[0]["lr"] == 0.5


def test_gradient_accumulation_is_one_large_batch() -> None:
    results = []
    for parts in (1, 3):
        model, opt, x, y = problem(samples=None, damping=0.1)
        for piece, target in zip(x.chunk(parts), y.chunk(parts)):
            (Gaussian()(model(piece), target) / parts).backward()
        opt.step()
        results.append(weights(model))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


def test_frozen_layers_stay_and_count_not_as_depth() -> None:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    model[0].requires_grad_(False)
    frozen = [p.clone() for p in model[0].parameters()]
    opt = NGD(model, Gaussian(), damping=0.0, samples=None)
    Gaussian()(model(x), y).backward()
    opt.step()
    assert all(map(torch.equal, frozen, [p.detach() for p in model[0].parameters()]))
    hidden = torch.cat([model[:2](x), torch.ones(30, 1, dtype=x.dtype)], 1).detach()
    solution = torch.linalg.lstsq(hidden, y).solution
    torch.testing.assert_close(model[2].weight.detach(), solution[:-1].mT)


def test_layers_that_take_no_part_are_left_alone() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model, x, y = Branches().double(), batch(30, 4), batch(30, 3, seed=2)
    idle = [p.clone() for p in model.idle.parameters()]
    opt = NGD(model, Gaussian(), damping=0.0, samples=None)
    Gaussian()(model(x), y).backward()
    opt.step()
    assert all(map(torch.equal, idle, [p.detach() for p in model.idle.parameters()]))
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(30, 1, dtype=x.dtype)], 1), y).solution
    torch.testing.assert_close(model.used.weight.detach(), solution[:-1].mT)


def test_two_layer_network_learns() -> None:
    model, x = network([4, 6, 3], activation=nn.Identity), batch(200, 4)
    y = x @ torch.randn(4, 3, dtype=torch.float64)
    opt = NGD(model, Gaussian(), damping=1.0)
    for _ in range(60):
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        loss = opt.step(lambda: Gaussian()(model(x), y))
    assert loss < 1e-6
