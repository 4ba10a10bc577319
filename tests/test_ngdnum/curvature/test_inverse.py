"""Inverses: singular factors, precision, reuse until the factors have moved."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ConjugateGradient, Factors, Gaussian, Inverse, LevenbergMarquardt, kronecker_factors
from ngdnum.rules import Rule
from ngdnum.schedule import due
from support.networks import batch, network

torch.set_num_threads(1)
RECORDING = """
def factorise(Lambda, lam):
    return (Lambda, torch.linalg.cholesky(Lambda + lam * torch.eye(len(Lambda), dtype=Lambda.dtype)))
def apply(G, state, lam):
    assert state[1].dtype == G.dtype
    return G * lam
"""
LOWERED = RECORDING.replace(
    "    return (Lambda,",
    """
    Lambda = Lambda - (torch.linalg.eigvalsh(Lambda)[0] + {offset}) * torch.eye(len(Lambda), dtype=Lambda.dtype)
    return (Lambda,""",
)


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def backward(model: nn.Module, opt: NGD, seed: int = 0) -> None:
    dtype = next(model.parameters()).dtype
    opt.zero_grad()
    Gaussian()(model(batch(30, 4, seed).to(dtype)), batch(30, 3, 1000 + seed).to(dtype)).backward()


def train(model: nn.Module, opt: NGD, steps: range) -> None:
    for k in steps:
        backward(model, opt, k)
        opt.step()


def step_with(offset: float, lam: float, **options: object) -> tuple[nn.Module, NGD]:
    """A model before a step, by a rule that lowers the smallest eigenvalue of Λ to −`offset`."""
    model, rule = network([4, 3]), LOWERED.format(offset=offset)
    opt = NGD(model, Gaussian(), lr=1.0, rule=rule, damping=LevenbergMarquardt(lam), **options)
    backward(model, opt)
    return model, opt


@pytest.mark.parametrize(("offset", "expected"), [(0.0, 1e-3), (5e-3, 1e-2), (0.5, 1.0)])
def test_damping_is_raised_until_the_factor_is_definite(offset: float, expected: float) -> None:
    model, opt = step_with(offset, 1e-3)
    before, G = weights(model), torch.cat([model[0].weight.grad, model[0].bias.grad[:, None]], 1)
    opt.step()
    after = weights(model)
    torch.testing.assert_close(after[0] - before[0], -expected * G[:, :-1])
    assert opt.param_groups[0]["damping"] == 1e-3


def test_no_damping_beyond_the_retries() -> None:
    model, opt = step_with(0.5, 1e-3, inverse=Inverse(retries=2))
    before = weights(model)
    with pytest.raises(torch.linalg.LinAlgError, match="at damping 0.001 and up to 0.1, so no weight"):
        opt.step()
    assert all(map(torch.equal, before, weights(model)))


def test_without_retries_the_first_failure_is_final() -> None:
    _, opt = step_with(5e-3, 1e-3, inverse=Inverse(retries=0))
    with pytest.raises(torch.linalg.LinAlgError, match="at damping 0.001, so no weight"):
        opt.step()


def test_a_rule_without_damping_is_tried_once() -> None:
    calls = []

    def factorise(Lambda: Tensor) -> tuple[Tensor, ...]:
        calls.append(Lambda)
        raise torch.linalg.LinAlgError("no")

    model = network([4, 3])
    opt = NGD(model, Gaussian(), rule=Rule("mine", factorise, lambda G, state: G))
    backward(model, opt)
    with pytest.raises(torch.linalg.LinAlgError, match="could not be factorised"):
        opt.step()
    assert len(calls) == 1


def test_a_raised_damping_stays_with_the_inverses_it_made() -> None:
    """λ as the fast part sees it, at the steps that reuse the factorisation."""
    model, opt = step_with(5e-3, 1e-3, inverse=Inverse(every=50))
    opt.steps = 24  # the calendar's next turn is step 27
    opt.step()
    before = weights(model)
    backward(model, opt, 1)
    G = model[0].weight.grad.clone()
    opt.step()
    torch.testing.assert_close(weights(model)[0] - before[0], -1e-2 * G)


def test_double_precision_inverses_of_single_precision_weights() -> None:
    """One step at λ = 1e-10, where an inverse in single precision is mostly rounding, against float64."""
    off = {}
    for dtype in (torch.float64, None):
        model = network([4, 3], activation=nn.Identity).to(torch.float32)
        opt = NGD(
            model,
            Gaussian(),
            damping=LevenbergMarquardt(1e-10),
            samples=None,
            inverse=Inverse(dtype=dtype),
        )
        x, before = batch(30, 4).float(), model[0].weight.detach().double()
        x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
        Gaussian()(model(x), batch(30, 3, 1).float()).backward()
        ((error, input_),) = kronecker_factors(model, Gaussian(), x).values()
        damped = [A.double() + 1e-5 * torch.eye(len(A), dtype=torch.float64) for A in (error, input_)]
        G = -torch.cat([model[0].weight.grad, model[0].bias.grad[:, None]], 1).double()
        step = torch.linalg.solve(damped[1], torch.linalg.solve(damped[0], G).mT).mT[:, :-1]
        opt.step()
        off[dtype] = float((model[0].weight.detach().double() - before - step).norm() / step.norm())
    assert 5 * off[torch.float64] < off[None] < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_are_applied_in_the_precision_of_the_gradient(dtype: torch.dtype) -> None:
    other = torch.float64 if dtype == torch.float32 else torch.float32
    model = network([4, 3]).to(dtype)
    train(model, NGD(model, Gaussian(), rule=RECORDING, inverse=Inverse(dtype=other)), range(2))
    assert model[0].weight.dtype == dtype


def renewed(drift: float | None, decay: float, rule: str = "kronecker") -> list[bool]:
    """Whether the inverses of each of 40 steps are new."""
    model = network([4, 5, 3])
    opt = NGD(
        model,
        Gaussian(),
        lr=0.01,
        rule=rule,
        damping=LevenbergMarquardt(1.0),
        samples=None,
        factors=Factors(decay=decay),
        inverse=Inverse(every=1000, drift=drift),
    )
    steps = []
    for k in range(40):
        train(model, opt, range(k, k + 1))
        steps.append(any(kept["factorisation"]["step"] == k for kept in opt.state.values() if "factorisation" in kept))
    return steps


def test_drift_renews_inverses_between_the_calendars_turns() -> None:
    calendar = [due(k, 1000) for k in range(40)]
    assert renewed(None, 0.0) == calendar
    assert renewed(10.0, 0.0) == calendar
    assert renewed(1e-6, 0.0) == [True] * 40
    assert sum(calendar) < sum(renewed(0.1, 0.9)) < sum(renewed(0.01, 0.9))


def test_a_rule_of_the_network_drifts_with_any_factor_or_weight() -> None:
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    opt = NGD(
        model,
        Gaussian(),
        lr=0.01,
        rule="exact",
        samples=None,
        factors=Factors(decay=0.999),
        inverse=Inverse(every=1000, drift=0.5),
    )
    train(model, opt, range(9))
    state = opt.state[model[0].weight]
    assert state["factorisation"]["step"] == 7
    with torch.no_grad():
        model[1].weight.mul_(2)
    train(model, opt, range(8, 9))
    assert state["factorisation"]["step"] == opt.steps - 1


def test_drift_is_the_relative_frobenius_distance() -> None:
    """Inputs grow, and Λ by a known amount."""
    model, x, y = network([4, 3], bias=False), batch(30, 4), batch(30, 3)
    opt = NGD(model, Gaussian(), lr=1e-9, samples=None, inverse=Inverse(every=1000, drift=0.1))
    opt.steps = 500  # the calendar's next turn is step 511
    for factor, new in ((1.0, True), (1.099, False), (1.101, True)):
        opt.zero_grad()
        Gaussian()(model(factor**0.5 * x), y).backward()
        opt.step()
        assert (opt.state[model[0].weight]["factorisation"]["step"] == opt.steps - 1) == new


@pytest.mark.parametrize("inverse", [Inverse(), Inverse(every=1000, drift=1e-9)], ids=["calendar", "drift"])
def test_many_directions_in_one_step_share_their_inverses(inverse: Inverse) -> None:
    calls = []

    def factorise(Lambda: Tensor, lam: float) -> tuple[Tensor, ...]:
        calls.append(lam)
        return (Lambda,)

    model = network([4, 5, 3])
    rule = Rule("mine", factorise, lambda G, state: G)
    train(model, NGD(model, Gaussian(), rule=rule, inverse=inverse, control=ConjugateGradient()), range(4))
    assert len(calls) == 4 * 2  # steps and layers


@pytest.mark.parametrize("rule", ["pi_damped", "exact"])
def test_a_saved_run_goes_on_to_the_bit(rule: str) -> None:
    options = {
        "lr": 0.1,
        "rule": rule,
        "factors": Factors(decay=0.9),
        "inverse": Inverse(every=9, drift=0.05, dtype=torch.float32),
    }
    model, other = (network([4, 5, 3], activation=nn.Identity, seed=seed) for seed in (0, 9))
    opt = NGD(model, Gaussian(), **options)
    train(model, opt, range(6))
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, range(6, 14))

    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = NGD(other, Gaussian(), **options)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    train(other, resumed, range(6, 14))
    assert all(map(torch.equal, weights(model), weights(other)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 2, "drift": 0.0}, "drift must be a number > 0"),
        ({"every": 2, "drift": True}, "drift must be a number > 0"),
        ({"every": 2, "drift": float("inf")}, "drift must be a number > 0"),
        ({"drift": 0.1}, "each step factorises; raise every"),
        ({"retries": -1}, "retries must be an integer from 0 to 20; got -1"),
        ({"retries": 2.0}, "retries must be"),
        ({"dtype": torch.bfloat16}, "dtype must be torch.float32, torch.float64 or None; got torch.bfloat16"),
        ({"dtype": "float64"}, "dtype must be"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inverse(**options)
