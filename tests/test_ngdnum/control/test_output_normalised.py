"""The step normalised by the change of the outputs, against references written out by autodiff."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from ngdnum import NGD, Damping, Gaussian, Likelihood, OutputNormalised
from ngdnum.experiments import EXPERIMENTS
from support.networks import LIKELIHOODS, batch, network, output_jacobians, targets
from support.training import same, train, weights

torch.set_num_threads(1)


@pytest.mark.parametrize("rows", [10, 30])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_a_step_changes_the_outputs_by_lr_times_their_residual(likelihood: Likelihood, rows: int) -> None:
    """(1/M) Σ (J δ)ᵀF(J δ) = lr² ℓ, ℓ = (1/M) (Σ eᵀe)² / Σ eᵀF e, with dense Jacobians, unless (gᵀδ)²/ℓ is more."""
    model, x, y, lr = network([4, 5, 3]), batch(30, 4), targets(likelihood, 30), 0.3
    before, jacobians = weights(model), output_jacobians(model, x[:rows])
    output = model(x).detach()
    fisher = torch.einsum("rmi,rmj->mij", *[likelihood.fisher_root(output)] * 2)
    e = likelihood.score(output, y)
    residual = e.square().sum() ** 2 / torch.einsum("mi,mij,mj->", e, fisher, e) / 30

    opt = NGD(model, likelihood, lr=lr, control=OutputNormalised(rows=rows, second_order_bound=math.inf))
    likelihood(model(x), y).backward()
    opt.step()
    delta = {name: p - before[name] for name, p in weights(model).items()}
    change = sum(torch.einsum("mi...,...->mi", j, delta[n]) for n, j in jacobians.items())
    length = torch.einsum("mi,mij,mj->", change, fisher[:rows], change) / rows
    slope = sum((p.grad * delta[name]).sum() for name, p in model.named_parameters())
    if rows == 30 and isinstance(likelihood, Gaussian) and not likelihood.covariance.ndim:
        assert length >= slope**2 / residual
    torch.testing.assert_close(torch.maximum(length, slope**2 / residual), lr**2 * residual)


def test_length_of_the_residual_of_a_gaussian_is_the_squared_error() -> None:
    model, x, y = network([4, 3], activation=nn.Identity), batch(30, 4), batch(30, 3, seed=2)
    start = model(x).detach()
    opt = NGD(model, Gaussian(0.1), lr=0.3, control=OutputNormalised(rows=30))
    Gaussian(0.1)(model(x), y).backward()
    opt.step()
    torch.testing.assert_close((model(x) - start).norm(), 0.3 * (y - start).norm())


def test_the_second_order_of_a_step_is_within_reach() -> None:
    """The last layer starts near zero. Biases do not count. Two layers are of equal shape."""
    model, x, y = network([4, 5, 5, 5, 3]), batch(30, 4), 100 * batch(30, 3, seed=2)
    with torch.no_grad():
        model[-1].weight.mul_(0.01)
    start = weights(model)
    moves = {}
    for reach in (math.inf, 0.3, 0.03):
        model.load_state_dict(start)
        opt = NGD(model, Gaussian(), lr=0.5, rule="sgd", control=OutputNormalised(rows=30, second_order_bound=reach))
        Gaussian()(model(x), y).backward()
        opt.step()
        moves[reach] = {name: p - start[name] for name, p in weights(model).items()}
    names = [f"{k}.weight" for k in (0, 2, 4, 6)]
    second = {}
    for reach, move in moves.items():
        r = [float(move[name].norm() / start[name].norm()) for name in names]
        second[reach] = sum(r[i] * r[j] for j in range(4) for i in range(j)) / sum(r)
    assert second[math.inf] > 0.3 and second[0.3] == pytest.approx(0.3) and second[0.03] == pytest.approx(0.03)
    for name, move in moves[0.03].items():
        torch.testing.assert_close(move, 0.1 * moves[0.3][name])


def test_a_layer_whose_weights_are_zero_has_no_relative_change() -> None:
    """The middle layer is 0, so the first has no gradient: only the last one counts, and a bound has nothing to do."""
    zero = network([4, 5, 5, 3])
    with torch.no_grad():
        zero[2].weight.zero_()
        zero[2].bias.normal_()
    after = []
    for bound in (math.inf, 1e-6):
        model = copy.deepcopy(zero)
        train(model, NGD(model, Gaussian(), lr=0.3, control=OutputNormalised(second_order_bound=bound)), range(1))
        after.append(weights(model))
    assert same(*after) and not same(weights(zero), after[0])


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_does_not_carry_a_saturated_layer_away(seed: int) -> None:
    """A tanh network at the floor; were layers held to like relative changes, weights would exceed 10⁶."""
    torch.manual_seed(seed)
    teacher, model = (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double() for _ in range(2))
    opt = NGD.fast(model, Gaussian(), lr=1.0)
    for _ in range(400):
        x, noise = torch.randn(32, 3).double(), torch.randn(32, 2).double()
        with torch.no_grad():
            y = teacher(x) + 0.5 * noise
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step()
    assert max(weight.norm() for weight in weights(model).values()) < 1e4


def test_a_single_layer_has_no_second_order() -> None:
    model, x, y = network([4, 3], activation=nn.Identity), batch(30, 4), 100 * batch(30, 3, seed=2)
    start = model(x).detach()
    opt = NGD(model, Gaussian(), lr=0.3, control=OutputNormalised(rows=30))
    Gaussian()(model(x), y).backward()
    opt.step()
    torch.testing.assert_close((model(x) - start).norm(), 0.3 * (y - start).norm())


@pytest.mark.parametrize("seed", [9, 15])
def test_the_fast_preset_never_makes_deep_linear_networks_much_worse(seed: int) -> None:
    """Seeds of Figure 1C with which steps without the bound make the loss more than 10⁵ times as large."""
    problem = EXPERIMENTS["fig1c"].problem(seed, None)
    model, likelihood = problem.model.float(), Gaussian()
    x, y = problem.train.x.float(), problem.train.y.float()
    opt = NGD.fast(model, likelihood)
    opt.generator.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(100):
        rows = torch.randint(len(x), (200,), generator=generator)
        opt.zero_grad()
        loss = likelihood(model(x[rows]), y[rows])
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert max(losses) < 3 * losses[0] and losses[-1] < 0.1 * losses[0]


def test_momentum_is_nesterovs() -> None:
    """Three steps with G as the direction, against a loop of its own."""
    model, lr, beta = network([4, 5, 3]), 0.3, 0.7
    twin = copy.deepcopy(model)
    opt = NGD(model, Gaussian(), lr=lr, rule="sgd", control=OutputNormalised(momentum=beta, rows=20))
    train(model, opt, range(3))
    v = {name: torch.zeros_like(p) for name, p in twin.named_parameters()}
    for k in range(3):
        x, y = batch(30, 4, k), batch(30, 3, 1000 + k)
        theta = weights(twin)
        output = twin(x)
        gradients = torch.autograd.grad(Gaussian()(output, y), list(twin.parameters()))
        d = {name: -g for name, g in zip(theta, gradients)}
        v = {name: beta * v[name] + (1 - beta) * d[name] for name in d}
        u = {name: (1 - beta) * d[name] + beta * v[name] for name in d}
        change = jvp(lambda p: functional_call(twin, p, (x[:20],)), (theta,), (u,))[1]
        scale = ((y - output).square().sum(1).mean() / change.square().sum(1).mean()).sqrt().detach()
        with torch.no_grad():
            for name, p in twin.named_parameters():
                p += lr * scale * u[name]
    for name, p in weights(model).items():
        torch.testing.assert_close(p, twin.get_parameter(name).detach())


@pytest.mark.parametrize(("every", "probes"), [(1, [0, 1, 2, 3, 4]), (3, [0, 1, 3])])
def test_steps_remember_how_much_the_outputs_changed_before(every: int, probes: list[int]) -> None:
    """Where the examples of the probe hardly change, the mean of q/‖u‖² over the last steps is the larger one.

    Steps between probes rely on the mean.
    """
    model, likelihood, mean, larger = network([4, 3], bias=False), Gaussian(), None, []
    nn.init.zeros_(model[0].weight)
    control = OutputNormalised(momentum=0.0, rows=6, memory=0.9, every=every)
    opt = NGD(model, likelihood, lr=0.2, rule="sgd", control=control)
    for k in range(5):
        x, y = batch(200, 4, k).view(100, 2, 4), batch(200, 3, 1000 + k).view(100, 2, 3)
        x[:5] *= 1.0 if k < 2 else 0.01
        opt.zero_grad()
        output = model(x)
        likelihood(output, y).backward()
        (W,) = model.parameters()
        u, before = -W.grad, W.detach().clone()
        q, size = (x[:5] @ u.T).square().sum() / 10, u.square().sum()
        if k not in probes:
            q = mean * size
        elif mean is None:
            mean = q / size
        else:
            mean = 0.9**every * mean + (1 - 0.9**every) * q / size
        residual = (y - output).detach().square().sum(-1).mean()
        least = size**2 / residual
        larger.append(bool(mean * size > max(q, least)))
        opt.step()
        length = max(q, mean * size, least)
        torch.testing.assert_close(W.detach() - before, 0.2 * (residual / length).sqrt() * u)
    assert larger[probes[2]] and not larger[0]


def test_accumulated_passes_are_one_batch_for_the_residual() -> None:
    results = []
    for parts in (1, 3):
        model, x, y = network([4, 5, 3]), batch(10, 4).repeat(3, 1), batch(10, 3, seed=2).repeat(3, 1)
        opt = NGD(model, Gaussian(), samples=None, control=OutputNormalised(rows=10))
        for piece, target in zip(x.chunk(parts), y.chunk(parts)):
            (Gaussian()(model(piece), target) / parts).backward()
        opt.step()
        results.append(weights(model))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


def test_a_quadratic_loss_changes_as_predicted() -> None:
    """One linear layer, all rows: ρ = 1, so λ shrinks by 2/3 whatever the direction."""
    model, x, y = network([4, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt = NGD(model, Gaussian(), lr=0.4, rule="sgd", damping=1.0, control=OutputNormalised(rows=30))
    ratios = []
    opt.damping = type("Spy", (Damping,), {"next": lambda self, lam, rho: ratios.append(rho) or lam})()
    for _ in range(3):
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
    assert ratios == pytest.approx([1, 1, 1])


def test_nothing_moves_at_a_stationary_point() -> None:
    model, x = network([4, 5, 3]), batch(30, 4)
    before = weights(model)
    opt = NGD.fast(model, Gaussian())
    output = model(x)
    Gaussian()(output, output.detach()).backward()
    opt.step()
    assert same(before, weights(model))


def test_models_called_with_keywords_and_several_arguments() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network([4, 5, 3])

        def forward(self, scale: float, x: Tensor, shift: Tensor) -> Tensor:
            return scale * self.net(x) + shift

    model, plain, x, y = Scaled(), network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    for m, call in ((model, lambda: model(1.0, x, shift=0 * y)), (plain, lambda: plain(x))):
        opt = NGD.fast(m, Gaussian())
        Gaussian()(call(), y).backward()
        opt.step()
    for name, weight in weights(model.net).items():
        torch.testing.assert_close(weight, weights(plain)[name], rtol=1e-12, atol=1e-12)


def test_examples_that_do_not_change_cannot_make_a_step_too_long() -> None:
    """q is measured on 4 examples with hardly any input; the change of all outputs is lr times their residual."""
    model, x = network([4, 3], bias=False), batch(200, 4)
    x[:4] *= 1e-6
    y = x @ batch(4, 3, seed=2)
    opt = NGD(model, Gaussian(), lr=0.5, samples=None, damping=1e-6, control=OutputNormalised(0.0, rows=4))
    f = model(x)
    Gaussian()(f, y).backward()
    opt.step()
    change = (model(x) - f).norm() / (y - f).norm()
    assert change.item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("every", "known"), [(1, [0, 1, 2, 3, 4]), (3, [0, 1, 3])])
def test_the_damping_follows_steps_in_which_the_model_has_run(every: int, known: list[int]) -> None:
    """A quadratic loss of a model that is no chain: ρ = 1 where all examples were asked, unknown in between."""
    model, ratios = network([4, 3]), []
    x, y = batch(120, 4).view(60, 2, 4), batch(120, 3, seed=2).view(60, 2, 3)
    control = OutputNormalised(momentum=0.0, rows=None, memory=0.0, every=every)
    opt = NGD(model, Gaussian(), lr=0.4, rule="sgd", damping=1.0, control=control)
    opt.damping = type("Spy", (Damping,), {"next": lambda self, lam, rho: ratios.append(rho) or lam})()
    for _ in range(5):
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
    assert [k for k, rho in enumerate(ratios) if rho is not None] == known
    assert [ratios[k] for k in known] == pytest.approx([1.0] * len(known))
