"""With a relative λ, in units of the factors, steps do not depend on the units of inputs and targets."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from ngdnum import NGD, ConjugateGradient, Decay, ExactLineSearch, Fixed, Gaussian, LevenbergMarquardt, OutputNormalised

PRESETS = {
    "paper": LevenbergMarquardt(1e-2, relative=True),
    "fast": Decay(0.5, steps=20.0, floor=1e-2, relative=True),
    "sample_efficient": LevenbergMarquardt(0.1, floor=1e-4, factor=2.0, reject=True, relative=True),
}
SCALES = [(1e-4, 1.0), (1e4, 1.0), (1.0, 1e-4), (1.0, 1e4)]


def preset_of(name):
    """The preset with a relative λ; `fast` without its bound of second order, which counts small weights as 1."""
    free = {"control": OutputNormalised(rows=16, second_order_bound=math.inf)} if name == "fast" else {}
    return partial(getattr(NGD, name), damping=PRESETS[name], **free)


def dense(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3)).double()


def convolutional(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv1d(1, 3, 2, padding=1), nn.Tanh(), nn.Conv1d(3, 2, 2, bias=False), nn.Flatten(), nn.Linear(8, 3)
    ).double()


def losses(make, build, a=1.0, b=1.0, steps=12):
    """Losses over b² of a model whose function of x is b f(x/a), on inputs times a and targets times b."""
    model, likelihood = build(0), Gaussian()
    with torch.no_grad():
        model[0].weight /= a
        for parameter in model[-1].parameters():
            parameter *= b
    opt, random, found = make(model, likelihood), torch.Generator().manual_seed(1), []
    teacher = torch.randn(4, 3, dtype=torch.float64, generator=random)
    for _ in range(steps):
        x = torch.randn(40, 4, dtype=torch.float64, generator=random)
        y = b * (x @ teacher).tanh()
        x = a * (x.unsqueeze(1) if build is convolutional else x)
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step(lambda: likelihood(model(x), y), loss=loss)
        found.append(loss.item() / b**2)
    return torch.tensor(found)


@pytest.mark.parametrize("build", [dense, convolutional])
@pytest.mark.parametrize("a, b", SCALES)
@pytest.mark.parametrize("preset", PRESETS)
def test_loss_curves_of_the_presets_do_not_depend_on_units(preset, a, b, build):
    make = preset_of(preset)
    expected = losses(make, build)
    assert expected[-1] < 0.95 * expected[0]
    torch.testing.assert_close(losses(make, build, a, b), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("control", [ConjugateGradient(steps=3), ExactLineSearch()])
@pytest.mark.parametrize("rule", ["kronecker", "pi_damped", "foof"])
def test_other_rules_and_controls_do_not_depend_on_the_units_of_inputs(rule, control):
    def make(model, likelihood):
        return NGD(model, likelihood, rule=rule, control=control, damping=PRESETS["paper"])

    torch.testing.assert_close(losses(make, dense, 1e-4), losses(make, dense), rtol=1e-6, atol=0)


def test_running_inverses_do_not_depend_on_units():
    def make(model, likelihood):
        return NGD(model, likelihood, rule="running", damping=Fixed(0.1, relative=True), lr=0.3)

    for a, b in SCALES:
        torch.testing.assert_close(losses(make, dense, a, b), losses(make, dense), rtol=1e-6, atol=0)


def test_a_relative_step_is_equation_20_with_each_factor_damped_by_its_mean_eigenvalue():
    lam, model = 0.3, nn.Linear(4, 3, bias=False).double()
    x = torch.randn(30, 4, dtype=torch.float64) * torch.tensor([0.1, 1.0, 3.0, 5.0], dtype=torch.float64)
    y = torch.randn(30, 3, dtype=torch.float64)
    likelihood, before = Gaussian(), copy.deepcopy(model)
    opt = NGD(model, likelihood, damping=Fixed(lam, relative=True), samples=None)
    likelihood(model(x), y).backward()
    opt.step()
    inputs, errors = x.T @ x / 30, torch.eye(3, dtype=torch.float64)
    G = (y - before(x)).T @ x / 30
    left = errors + lam**0.5 * errors.trace() / 3 * torch.eye(3)
    right = inputs + lam**0.5 * inputs.trace() / 4 * torch.eye(4)
    expected = torch.linalg.solve(left, G) @ torch.linalg.inv(right)
    torch.testing.assert_close(model.weight - before.weight, expected)


def test_inputs_in_other_units_end_no_worse_than_with_adamw():
    ends = {}
    for name in ("NGD", "AdamW"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
        likelihood, teacher = Gaussian(), torch.randn(4, 3)
        opt = preset_of("fast")(model, likelihood) if name == "NGD" else torch.optim.AdamW(model.parameters(), lr=1e-2)
        curve = []
        for _ in range(400):
            x = torch.randn(100, 4)
            opt.zero_grad()
            loss = likelihood(model(1e-3 * x), (x @ teacher).tanh())
            loss.backward()
            opt.step()
            curve.append(loss.item())
        ends[name] = curve[-1]
        if name == "NGD":
            assert max(curve) < 1.5 * curve[0]
    assert ends["NGD"] < ends["AdamW"]


@pytest.mark.parametrize("preset, bound", [("fast", 1e-4), ("sample_efficient", 1e-6)])
def test_floors_fall_with_the_residual(preset, bound):
    model, likelihood = dense(0), Gaussian()
    opt, random = preset_of(preset)(model, likelihood), torch.Generator().manual_seed(1)
    x = torch.randn(100, 4, dtype=torch.float64, generator=random)
    y = dense(1)(x).detach()
    for _ in range(300):
        opt.param_groups[0]["lr"] *= 1 if preset == "sample_efficient" else 0.98
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step(lambda: likelihood(model(x), y), loss=loss)
    assert opt.param_groups[0]["damping"] < bound
