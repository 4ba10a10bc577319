"""Refreshes, saved runs and presets against references written out by autodiff."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ngdnum import (
    NGD,
    Bernoulli,
    Categorical,
    Decay,
    Factors,
    Gaussian,
    Inverse,
    LevenbergMarquardt,
    Likelihood,
    TrustRegion,
    kronecker_factors,
)
from ngdnum.schedule import due
from support.networks import batch, network
from support.training import same, train, weights

torch.set_num_threads(1)


def test_factors_are_a_running_mean_of_the_measured_steps() -> None:
    model, measured = network([4, 5, 3]), []
    opt = NGD(model, Gaussian(), lr=0.1, samples=None, factors=Factors(every=3, decay=0.6))
    for k in range(8):
        if due(k, 3):
            measured.append(kronecker_factors(model, Gaussian(), batch(30, 4, k)))
        train(model, opt, range(k, k + 1))
    assert len(measured) == 4  # steps 0, 1, 3, 6
    for position, quantity in enumerate(("Lambda_tilde", "Lambda")):
        for layer, name in enumerate(measured[0]):
            mean = measured[0][name][position]
            for k, factors in enumerate(measured[1:], start=2):
                decay = min(1 - 1 / k, 0.6)
                mean = decay * mean + (1 - decay) * factors[name][position]
            torch.testing.assert_close(opt.state[opt.layers[layer].weight][quantity], mean)


def test_sampled_errors_are_propagated_only_when_factors_are_measured() -> None:
    model, opt = network([4, 5, 3]), None
    opt = NGD(model, Gaussian(), lr=0.1, factors=Factors(every=3))
    drawn = []
    for k in range(10):
        state = opt.generator.get_state()
        train(model, opt, range(k, k + 1))
        drawn.append(not state.equal(opt.generator.get_state()))
    assert drawn == [due(k, 3) for k in range(10)]


def test_inverses_are_renewed_when_due() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian(), lr=0.1, inverse=Inverse(every=3))
    for k in range(10):
        train(model, opt, range(k, k + 1))
        for layer in opt.layers:
            assert (opt.state[layer.weight]["factorisation"]["step"] == k) == due(k, 3)


def test_stale_inverses_follow_a_change_of_the_active_layers() -> None:
    model = network([4, 5, 3])
    opt = NGD.fast(model, Gaussian())
    train(model, opt, range(5))
    first = weights(model)
    model[0].requires_grad_(False)
    train(model, opt, range(5, 7))
    assert model[0].weight.equal(first["0.weight"]) and not model[2].weight.equal(first["2.weight"])


@pytest.mark.parametrize("stop", [1, 5, 9, 12])
def test_a_saved_run_goes_on_to_the_bit(stop: int) -> None:
    """In the midst of momentum, running means and stale inverses."""
    options = {"factors": Factors(every=3, decay=0.9), "inverse": Inverse(every=5)}
    model = network([4, 5, 5, 5, 3])
    opt = NGD.fast(model, Gaussian(), **options)
    train(model, opt, range(stop))
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, range(stop, 20))

    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    other = network([4, 5, 5, 5, 3], seed=9)
    resumed = NGD.fast(other, Gaussian(), **options)
    resumed.generator.manual_seed(77)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    train(other, resumed, range(stop, 20))
    assert same(weights(model), weights(other))


@pytest.mark.parametrize("field", ["measured", "Lambda", "Lambda_tilde", "factorisation", "velocity"])
def test_every_part_of_the_saved_past_matters(field: str) -> None:
    results = []
    for forget in (False, True):
        model = network([4, 5, 5, 5, 3])
        opt = NGD.fast(model, Gaussian(), factors=Factors(every=3, decay=0.9), inverse=Inverse(every=5))
        train(model, opt, range(9))
        if forget:
            opt.load_state_dict(without(field, opt.state_dict()))
        train(model, opt, range(9, 14))
        results.append(weights(model))
    assert not same(*results)


def without(field: str, saved: dict) -> dict:
    """A saved optimizer that has never known this."""
    saved = copy.deepcopy(saved)
    if field == "measured":
        saved["ngd"]["measured"] = 0
    for kept in saved["state"].values():
        kept.pop(field, None)
    for names in saved["ngd"]["kept"].values():
        names[:] = [name for name in names if name != field]
    return saved


def test_a_refused_step_leaves_weights_and_past_alone() -> None:
    model = network([4, 5, 3])
    opt = NGD.fast(model, Gaussian())
    train(model, opt, range(3))
    before, past = weights(model), copy.deepcopy(opt.state_dict()["state"])
    Gaussian()(model(batch(30, 4)), batch(30, 3) * float("nan")).backward()
    with pytest.raises(ValueError, match="not finite"):
        opt.step()
    assert same(before, weights(model))
    torch.testing.assert_close(opt.state_dict()["state"], past, rtol=0, atol=0)
    opt.zero_grad()
    train(model, opt, range(3, 5))


def test_an_undone_step_forgets_the_momentum_that_led_to_it() -> None:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt = NGD.fast(model, Gaussian())
    train(model, opt, range(2))
    before = weights(model)
    opt.zero_grad()
    loss = Gaussian()(model(x), y)
    loss.backward()
    opt.step(lambda: float("inf"), loss=loss)
    assert not any("velocity" in kept for kept in opt.state.values()) and same(before, weights(model))


def test_a_loss_that_is_known_is_not_computed_again() -> None:
    results, calls = [], []
    for known in (False, True):
        model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
        opt = NGD.paper(model, Gaussian(), damping=1.0)
        calls.append(0)
        for _ in range(3):
            opt.zero_grad()
            loss = Gaussian()(model(x), y)
            loss.backward()

            def closure() -> Tensor:
                calls[-1] += 1
                return Gaussian()(model(x), y)

            assert opt.step(closure, loss=loss if known else None) == loss
        results.append((weights(model), opt.param_groups[0]["damping"]))
    assert calls == [6, 3]
    assert same(results[0][0], results[1][0]) and results[0][1] == results[1][1]


def test_damping_decays_to_its_floor() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian(), lr=0.1, damping=Decay(0.1, steps=2.0, floor=0.03))
    seen = []
    for k in range(4):
        train(model, opt, range(k, k + 1))
        seen.append(opt.param_groups[0]["damping"])
    assert seen == pytest.approx([0.1 * 2.718281828**-0.5, 0.1 * 2.718281828**-1, 0.03, 0.03])


def test_presets_take_options() -> None:
    model = network([4, 5, 3])
    plain, paper = NGD(model, Gaussian()), NGD.paper(model, Gaussian())
    for name in ("factors", "inverse", "control", "damping", "samples", "defaults"):
        assert getattr(plain, name) == getattr(paper, name)
    assert plain.rule.name == paper.rule.name
    fast = NGD.fast(model, Gaussian(), lr=0.2, rule="kfac")
    assert fast.param_groups[0]["lr"] == 0.2 and fast.rule.name == "kfac" and fast.factors.decay == 0.8


@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast], ids=lambda preset: preset.__name__)
@pytest.mark.parametrize("rule", ["sgd", "pi_damped"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_leaves_the_gradients_as_they_are(preset: Callable[..., NGD], rule: str, bias: bool) -> None:
    model, x = nn.Sequential(nn.Linear(4, 5, bias), nn.Linear(5, 3, bias)), batch(20, 4).float()
    opt = preset(model, Gaussian(), rule=rule)
    Gaussian()(model(x), torch.ones(20, 3)).backward()
    before = [p.grad.clone() for p in model.parameters()]
    opt.step()
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before))


@pytest.mark.parametrize("likelihood", [Gaussian(), Categorical(), Bernoulli()], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_preset_learns_without_tuning(likelihood: Likelihood, dtype: torch.dtype) -> None:
    model, x = network([4, 16, 3]).to(dtype), batch(200, 4).to(dtype)
    if isinstance(likelihood, Gaussian):
        y = network([4, 8, 3], seed=5).to(dtype)(x).detach()
    else:
        y = x[:, :3].argmax(1) if isinstance(likelihood, Categorical) else (x[:, :3] > 0.5).to(dtype)
    opt = NGD.fast(model, likelihood)
    losses = []
    for _ in range(100):
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_the_plain_optimizer_keeps_no_matrices_between_steps() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian())
    train(model, opt, range(2))
    assert not opt.state


@pytest.mark.what_if(
    "gradients and steps",
    "a step that the quadratic model itself did not trust is undone",
    "the damping is raised, until a step lowers the loss",
)
def test_the_damping_is_raised_after_every_step_that_is_undone() -> None:
    """With lr = 8, the loss is predicted to rise, and does: ρ is no reason to trust longer steps."""
    model, x, y = network([4, 6, 2]), batch(40, 4), batch(40, 2, seed=1)
    damping = LevenbergMarquardt(0.1, reject=True)
    opt, undone = NGD(model, Gaussian(), lr=8.0, damping=damping, control=TrustRegion(kl=1.0), samples=None), 0
    for _ in range(15):
        before, lam = weights(model), opt.param_groups[0]["damping"]
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
        if same(weights(model), before):
            undone += 1
            assert opt.param_groups[0]["damping"] > lam
    assert undone
