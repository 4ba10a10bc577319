"""Step control, refreshes and presets against references written out by autodiff."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable

import pytest
import torch
from test_factors import COVARIANCE, batch, network, output_jacobians
from torch import Tensor, nn
from torch.func import functional_call, jvp

from ngdnum import (
    NGD,
    Bernoulli,
    Categorical,
    Decay,
    Factors,
    Gaussian,
    Inverse,
    Likelihood,
    OutputNormalised,
    kronecker_factors,
)
from ngdnum.experiments import EXPERIMENTS
from ngdnum.likelihood import fisher_product
from ngdnum.schedule import due

torch.set_num_threads(1)
LIKELIHOODS = [Gaussian(), Gaussian(0.1), Gaussian(COVARIANCE), Categorical(), Bernoulli()]


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(tensor.equal(second[name]) for name, tensor in first.items())


def targets(likelihood: Likelihood, count: int, seed: int = 2) -> Tensor:
    y = batch(count, 3, seed)
    if isinstance(likelihood, Categorical):
        return y.argmax(1)
    return (y > 0).double() if isinstance(likelihood, Bernoulli) else y


def train(model: nn.Module, opt: NGD, steps: range, likelihood: Likelihood = Gaussian()) -> None:
    for k in steps:
        opt.zero_grad()
        likelihood(model(batch(30, 4, k)), targets(likelihood, 30, 1000 + k)).backward()
        opt.step()


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_product_with_the_output_fisher(likelihood: Likelihood) -> None:
    output, change = batch(7, 3), batch(7, 3, seed=2)
    root = likelihood.fisher_root(output)
    expected = torch.einsum("rmi,rmj,mj->mi", root, root, change)
    torch.testing.assert_close(likelihood.fisher_product(output, change), expected)

    class OnlyRoot:
        fisher_root = staticmethod(likelihood.fisher_root)

    torch.testing.assert_close(fisher_product(OnlyRoot(), output, change), expected)


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

    opt = NGD(model, likelihood, lr=lr, control=OutputNormalised(rows=rows, reach=math.inf))
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
    """The last layer starts near zero: its length counts as 1. Two layers are of equal shape."""
    model, x, y = network([4, 5, 5, 5, 3]), batch(30, 4), 100 * batch(30, 3, seed=2)
    with torch.no_grad():
        model[-1].weight.mul_(0.01)
    start = weights(model)
    moves = {}
    for reach in (math.inf, 0.3, 0.03):
        model.load_state_dict(start)
        opt = NGD(model, Gaussian(), lr=0.5, rule="sgd", control=OutputNormalised(rows=30, reach=reach))
        Gaussian()(model(x), y).backward()
        opt.step()
        moves[reach] = {name: p - start[name] for name, p in weights(model).items()}
    lengths = [(f"{k}.weight", f"{k}.bias", max(1.0, float(start[f"{k}.weight"].norm()))) for k in (0, 2, 4, 6)]
    second = {}
    for reach, move in moves.items():
        r = [float((move[w].square().sum() + move[b].square().sum()).sqrt()) / length for w, b, length in lengths]
        second[reach] = sum(r[i] * r[j] for j in range(4) for i in range(j)) / sum(r)
    assert second[math.inf] > 0.3 and second[0.3] == pytest.approx(0.3) and second[0.03] == pytest.approx(0.03)
    for name, move in moves[0.03].items():
        torch.testing.assert_close(move, 0.1 * moves[0.3][name])


def test_a_single_layer_has_no_second_order() -> None:
    model, x, y = network([4, 3], activation=nn.Identity), batch(30, 4), 100 * batch(30, 3, seed=2)
    start = model(x).detach()
    opt = NGD(model, Gaussian(), lr=0.3, control=OutputNormalised(rows=30))
    Gaussian()(model(x), y).backward()
    opt.step()
    torch.testing.assert_close((model(x) - start).norm(), 0.3 * (y - start).norm())


@pytest.mark.parametrize("seed", [0, 3])
def test_the_fast_preset_stays_within_its_reach_in_deep_linear_networks(seed: int) -> None:
    """Seeds of Figure 1C with which first-order changes of the right size have led to errors of 1e5 and more."""
    problem = EXPERIMENTS["fig1c"].problem(seed, None)
    model, likelihood, examples = problem.model.float(), Gaussian(), problem.train
    opt = NGD.fast(model, likelihood)
    opt.generator.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(150):
        rows = torch.randint(len(examples.x), (200,), generator=generator)
        opt.zero_grad()
        loss = likelihood(model(examples.x[rows].float()), examples.y[rows].float())
        loss.backward()
        opt.step()
    with torch.no_grad():
        start = likelihood(torch.zeros_like(problem.test.y), problem.test.y)
        assert likelihood(model(problem.test.x.float()), problem.test.y.float()) < start


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
    opt.damping = type("Spy", (), {"next": staticmethod(lambda lam, rho: ratios.append(rho) or lam)})
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
    assert same(weights(model.net), weights(plain))


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
            torch.testing.assert_close(opt._past.factors[quantity][layer], mean)


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
    states = []
    for k in range(10):
        train(model, opt, range(k, k + 1))
        states.append(opt._past.states)
    for k in range(1, 10):
        kept = all(states[k][key] is states[k - 1][key] for key in states[k])
        assert kept != due(k, 3)


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


@pytest.mark.parametrize("field", ["measured", "factors", "states", "memory"])
def test_every_part_of_the_saved_past_matters(field: str) -> None:
    results = []
    for forget in (False, True):
        model = network([4, 5, 5, 5, 3])
        opt = NGD.fast(model, Gaussian(), factors=Factors(every=3, decay=0.9), inverse=Inverse(every=5))
        train(model, opt, range(9))
        if forget:
            opt._past = opt._past._replace(**{field: type(getattr(opt._past, field))()})
        train(model, opt, range(9, 14))
        results.append(weights(model))
    assert not same(*results)


def test_a_refused_step_leaves_weights_and_past_alone() -> None:
    model = network([4, 5, 3])
    opt = NGD.fast(model, Gaussian())
    train(model, opt, range(3))
    before, past = weights(model), copy.deepcopy(opt.state_dict()["ngd"]["past"])
    Gaussian()(model(batch(30, 4)), batch(30, 3) * float("nan")).backward()
    with pytest.raises(ValueError, match="not finite"):
        opt.step()
    assert same(before, weights(model))
    torch.testing.assert_close(opt.state_dict()["ngd"]["past"], past, rtol=0, atol=0)
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
    assert not opt._past.memory and same(before, weights(model))


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
    assert fast.param_groups[0]["lr"] == 0.2 and fast.rule.name == "kfac" and fast.factors.decay == 0.9


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


def test_the_plain_optimizer_keeps_no_matrices_between_steps() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian())
    train(model, opt, range(2))
    assert not opt._past.factors and not opt._past.states and not opt._past.memory
