"""With a relative λ, in units of inputs and errors, steps do not depend on the units of inputs and targets."""

import copy
from functools import cache, partial

import pytest
import torch
from torch import nn

from ngdnum import NGD, Categorical, ConjugateGradient, ExactLineSearch, Fixed, Gaussian, LevenbergMarquardt

RELATIVE = LevenbergMarquardt(1.0, relative=True)
PRESETS = {
    "paper": partial(NGD.paper, damping=RELATIVE),
    "fast": NGD.fast,
    "sample_efficient": NGD.sample_efficient,
}
SCALES = [(1e-4, 1.0), (1e4, 1.0), (1.0, 1e-4), (1.0, 1e4)]


def dense(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3)).double()


def ending_in_zeros(seed):
    model = dense(seed)
    nn.init.zeros_(model[-1].weight)
    return model


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


@cache
def in_units_of_one(preset, build):
    return losses(PRESETS[preset], build)


@pytest.mark.parametrize("build", [dense, ending_in_zeros, convolutional])
@pytest.mark.parametrize("a, b", SCALES)
@pytest.mark.parametrize("preset", PRESETS)
def test_loss_curves_of_the_presets_do_not_depend_on_units(preset, a, b, build):
    expected = in_units_of_one(preset, build)
    assert expected[-1] < 0.95 * expected[0]
    torch.testing.assert_close(losses(PRESETS[preset], build, a, b), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("control", [ConjugateGradient(steps=3), ExactLineSearch()])
@pytest.mark.parametrize("rule", ["kronecker", "pi_damped", "foof"])
def test_other_rules_and_controls_do_not_depend_on_the_units_of_inputs(rule, control):
    def make(model, likelihood):
        return NGD(model, likelihood, rule=rule, control=control, damping=RELATIVE)

    torch.testing.assert_close(losses(make, dense, 1e-4), losses(make, dense), rtol=1e-6, atol=0)


def test_running_inverses_do_not_depend_on_units():
    def make(model, likelihood):
        return NGD(model, likelihood, rule="running", damping=Fixed(0.1, relative=True), lr=0.3)

    expected = losses(make, dense)
    for a, b in SCALES:
        torch.testing.assert_close(losses(make, dense, a, b), expected, rtol=1e-6, atol=0)


def factors_of(model, x):
    """Λ of the inputs of the layers of a `dense` model, in homogeneous coordinates, and Λ̃, from derivatives."""
    inputs, errors = [], []
    for k in (0, 2, 4):
        z = model[: k + 1](x)
        h = torch.cat([model[:k](x), torch.ones(len(x), 1, dtype=x.dtype)], 1)
        J = torch.stack([torch.func.jacrev(model[k + 1 :])(row) for row in z])
        inputs.append(h.T @ h / len(x))
        errors.append(torch.einsum("boi,boj->ij", J, J) / len(x))
    return inputs, errors


@pytest.mark.parametrize("size", [0.3, 3.0])
def test_a_relative_step_is_equation_20_with_sizes_of_data_at_its_ends(size):
    lam, L, model = 0.3, 3, dense(0)
    x, y = 5 * torch.randn(30, 4, dtype=torch.float64), size * torch.randn(30, 3, dtype=torch.float64)
    likelihood, before = Gaussian(), copy.deepcopy(model)
    opt = NGD(model, likelihood, damping=Fixed(lam, relative=True), samples=None)
    likelihood(model(x), y).backward()
    opt.step()
    Lambda, Lambda_tilde = factors_of(before, x)
    one, residual = torch.ones((), dtype=torch.float64), (y - before(x)).square().mean().detach()
    inputs = [torch.linalg.eigvalsh(A[:-1, :-1]).square().mean().sqrt() for A in Lambda]
    errors = [B.trace() / len(B) for B in Lambda_tilde]
    back = errors[2] * before[4].weight.square().sum() / 3
    assert (residual > back) == (size == 3.0)
    within = residual * max(1, residual / back)
    units = (
        (inputs[0], (within * errors[0]).sqrt()),
        (inputs[1].sqrt(), (within * errors[1]).sqrt()),
        (inputs[2].sqrt(), errors[2]),
    )
    for k, A, B, (tau, tau_tilde) in zip((0, 2, 4), Lambda, Lambda_tilde, units):
        layer = before[k]
        G = -torch.cat([model[k].weight.grad, model[k].bias.grad.unsqueeze(-1)], 1)
        sizes = torch.cat([tau.expand(layer.in_features), one.expand(1)])
        left = B + lam**0.5 * tau_tilde * torch.eye(len(B))
        right = A + lam**0.5 * sizes.diag()
        expected = torch.linalg.solve(left, G) @ torch.linalg.inv(right) / L
        torch.testing.assert_close(model[k].weight - layer.weight, expected[:, :-1])
        torch.testing.assert_close(model[k].bias - layer.bias, expected[:, -1])


def test_logits_have_no_units_so_the_size_of_their_errors_is_a_mean_with_1():
    lam, model = 0.3, nn.Linear(4, 3, bias=False).double()
    x, y = torch.randn(30, 4, dtype=torch.float64), torch.randint(3, (30,))
    likelihood, before = Categorical(), model.weight.detach().clone()
    opt = NGD(model, likelihood, damping=Fixed(lam, relative=True), samples=None)
    likelihood(model(x), y).backward()
    opt.step()
    p = (x @ before.T).softmax(1)
    Lambda_tilde = torch.diag(p.mean(0)) - p.T @ p / 30
    left = Lambda_tilde + (lam * Lambda_tilde.trace() / 3) ** 0.5 * torch.eye(3)
    Lambda = x.T @ x / 30
    right = Lambda + (lam * torch.linalg.eigvalsh(Lambda).square().mean()) ** 0.5 * torch.eye(4)
    expected = -torch.linalg.solve(left, model.weight.grad) @ torch.linalg.inv(right)
    torch.testing.assert_close(model.weight - before, expected)


def test_sizes_are_those_of_the_first_batch():
    model, likelihood = dense(0), Gaussian()
    opt, x = NGD(model, likelihood, damping=Fixed(0.3, relative=True)), torch.randn(30, 4, dtype=torch.float64)
    found = []
    for size in (1, 100):
        opt.zero_grad()
        likelihood(model(size * x), torch.zeros(30, 3, dtype=torch.float64)).backward()
        opt.step()
        found.append(opt.state[model[0].weight]["sizes"])
    torch.testing.assert_close(found[0][0], torch.linalg.eigvalsh(x.T @ x / 30).square().mean().sqrt())
    assert found[1].equal(found[0])


def test_inputs_in_other_units_end_no_worse_than_with_adamw():
    ends = {}
    for name in ("NGD", "AdamW"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
        likelihood, teacher = Gaussian(), torch.randn(4, 3)
        opt = PRESETS["fast"](model, likelihood) if name == "NGD" else torch.optim.AdamW(model.parameters(), lr=1e-2)
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


@pytest.mark.parametrize("preset, bound", [("fast", 1e-3), ("sample_efficient", 1e-6)])
def test_floors_fall_with_the_residual(preset, bound):
    model, likelihood = dense(0), Gaussian()
    opt, random = PRESETS[preset](model, likelihood), torch.Generator().manual_seed(1)
    x = torch.randn(100, 4, dtype=torch.float64, generator=random)
    y = dense(1)(x).detach()
    for _ in range(160):
        opt.param_groups[0]["lr"] *= 1 if preset == "sample_efficient" else 0.98
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step(lambda: likelihood(model(x), y), loss=loss)
    assert opt.param_groups[0]["damping"] < bound
