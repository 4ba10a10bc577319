"""Steps of linear chains that move the product of the weights by the first order of the plain step alone."""

from __future__ import annotations

import copy
import io
from functools import reduce

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Damping, FixedStep, Gaussian, Retraction
from ngdnum.control.retraction import there_and_back
from support.networks import batch, network
from support.training import parameters, same, step, weights

torch.set_num_threads(1)
WIDE, SQUARE, NARROW, UNEVEN = [4, 6, 5, 4], [4, 4, 4, 4], [5, 4, 2, 3, 4], [4, 3, 2]
MIXED = [6, 3, 5, 2, 4, 5]


def chain(sizes: list[int], bias: bool = False, seed: int = 0) -> nn.Sequential:
    return network(sizes, bias, nn.Identity, seed)


class Reversed(nn.Module):
    """A chain whose modules are registered from the last to the first."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(reversed([m for m in chain(sizes) if isinstance(m, nn.Linear)]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            x = layer(x)
        return x


def affine_map(model: nn.Module, n: int, values: dict[str, Tensor]) -> Tensor:
    """[W_L ⋯ W_1, constant] `[n_L, n_0 + 1]` for given parameters."""
    probes = torch.cat([torch.eye(n), torch.zeros(1, n)]).double()
    f = torch.func.functional_call(model, values, probes)
    return torch.cat([f[:-1] - f[-1:], f[-1:]]).T


def aim(model: nn.Module, n: int, r: int, change: dict[str, Tensor]) -> Tensor:
    """T for the change of a plain step: its first order by forward-mode differentiation, cut to rank r."""
    value, slope = torch.func.jvp(lambda v: affine_map(model, n, v), (weights(model),), (change,))
    X = value + slope
    U, S, Vt = torch.linalg.svd(X[:, :-1], full_matrices=False)
    return torch.cat([U[:, :r] @ torch.diag(S[:r]) @ Vt[:r], X[:, -1:]], 1)


def assert_reached(model: nn.Module, T: Tensor) -> None:
    product = affine_map(model, T.shape[1] - 1, weights(model))
    torch.testing.assert_close(product, T, rtol=0, atol=1e-10 * T.abs().max().item())


def plain_change(model: nn.Module, options: dict, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    twin = copy.deepcopy(model)
    step(twin, NGD(twin, Gaussian(), **options), Gaussian(), x, y)
    before = weights(model)
    return {name: after - before[name] for name, after in weights(twin).items()}


@pytest.mark.parametrize("rule", ["kronecker", "exact", "sgd"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [WIDE, SQUARE, NARROW, UNEVEN, MIXED, [3, 4]], ids=str)
def test_the_product_goes_where_the_first_order_puts_it(sizes: list[int], bias: bool, rule: str) -> None:
    model, x, y = chain(sizes, bias), batch(30, sizes[0]), batch(30, sizes[-1], seed=2)
    options = {"rule": rule, "damping": 1.0 if rule == "sgd" else 0.0, "samples": None}
    T = aim(model, sizes[0], min(sizes), plain_change(model, options, x, y))
    step(model, NGD(model, Gaussian(), control=Retraction(), **options), Gaussian(), x, y)
    assert_reached(model, T)


def test_the_order_is_that_of_the_forward_pass() -> None:
    model, x, y = Reversed(NARROW), batch(30, 5), batch(30, 4, seed=2)
    options = {"damping": 1.0, "samples": None}
    T = aim(model, 5, 2, plain_change(model, options, x, y))
    step(model, NGD(model, Gaussian(), control=Retraction(), **options), Gaussian(), x, y)
    assert_reached(model, T)


@pytest.mark.parametrize(("rule", "size"), [("kronecker", 1e-3), ("sgd", 1e-6)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [WIDE, NARROW], ids=str)
def test_a_small_step_is_the_plain_one_to_first_order(sizes: list[int], bias: bool, rule: str, size: float) -> None:
    x, y, errors = batch(30, sizes[0]), batch(30, sizes[-1], seed=2), []
    for lr in (size, size / 10):
        changes = []
        for control in (FixedStep(), Retraction()):
            model = chain(sizes, bias)
            opt = NGD(model, Gaussian(), lr, rule, 1.0, samples=None, control=control)
            changes.append(step(model, opt, Gaussian(), x, y))
        errors.append(float((changes[0] - changes[1]).norm() / changes[0].norm()))
    assert 0 < errors[0] < 0.1
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.2)


@pytest.mark.parametrize("sizes", [WIDE, NARROW, MIXED], ids=str)
def test_the_shares_are_those_of_the_exact_rule(sizes: list[int]) -> None:
    """For Σ = I and Σ̃ = I, the metric of the pseudo-inverses."""
    model, lr = chain(sizes), 1e-6
    x, y = torch.linalg.qr(batch(30, sizes[0])).Q * 30**0.5, batch(30, sizes[-1], seed=2)
    step = plain_change(model, {"lr": lr, "rule": "exact", "damping": 0.0, "samples": None}, x, y)
    T = aim(model, sizes[0], min(sizes), step)[:, :-1]
    before = list(weights(model).values())
    after = there_and_back(before, T, 0)
    for i, u in enumerate(step.values()):
        chains = ([*before[:i], v, *before[i + 1 :]] for v in (after[i] - before[i], u))
        shared, exact = (reduce(lambda B, W: W @ B, matrices) for matrices in chains)
        torch.testing.assert_close(shared, exact, rtol=0, atol=1e-4 * exact.norm().item())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("sizes", "rule"), [([4, 8, 6, 7, 5], "kronecker"), (UNEVEN, "exact")], ids=str)
def test_one_step_solves_linear_regression(sizes: list[int], rule: str, bias: bool) -> None:
    losses = {}
    for control in (FixedStep(), Retraction()):
        model, x = chain(sizes, bias), batch(12, sizes[0])
        y = chain([sizes[0], sizes[-1]], bias, seed=3)(x).detach()
        opt = NGD(model, Gaussian(), 1.0, rule, 0.0, samples=None, control=control)
        step(model, opt, Gaussian(), x, y)
        losses[control] = Gaussian()(model(x), y).item()
    assert losses[Retraction()] < 1e-20
    assert losses[FixedStep()] > 1e-3


def test_a_bottleneck_is_learnt_in_a_handful_of_steps() -> None:
    sizes = [8, 5, 2, 4, 7]
    model, x = chain(sizes), batch(40, 8)
    y = chain(sizes, seed=3)(x).detach()
    opt = NGD(model, Gaussian(), 1.0, "exact", 0.0, samples=None, control=Retraction())
    losses = []
    for _ in range(7):
        losses.append(Gaussian()(model(x), y).item())
        step(model, opt, Gaussian(), x, y)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-20 * losses[0]


@pytest.mark.parametrize("bias", [True, False])
def test_nearly_singular_layers_are_set_anew_and_balanced(bias: bool) -> None:
    """Thirty square layers: corrections of the single layers would be astronomical."""
    sizes = [6] * 31
    model, x, y = chain(sizes, bias), batch(30, 6), batch(30, 6, seed=2)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.4)
    options = {"damping": 1e-3, "samples": None}
    T = aim(model, 6, 6, plain_change(model, options, x, y))
    step(model, NGD(model, Gaussian(), control=Retraction(), **options), Gaussian(), x, y)
    assert_reached(model, T)
    layers = [m.weight.detach() for m in model if isinstance(m, nn.Linear)]
    for W, V in zip(layers, layers[1:]):
        torch.testing.assert_close(W @ W.T, V.T @ V)


def test_the_shorter_of_two_ways_is_taken() -> None:
    """Six square layers: corrections of the single layers arrive, with weights of hundreds."""
    model, x, y = chain([4] * 7), batch(30, 4), batch(30, 4, seed=2)
    before = parameters(model)
    opt = NGD(model, Gaussian(), damping=0.0, samples=None, control=Retraction())
    assert step(model, opt, Gaussian(), x, y).norm() < before.norm()


def test_layers_whose_plain_step_overflows_reach_the_aim() -> None:
    model, x, y = chain(WIDE), batch(30, 4), batch(30, 4, seed=2)
    options = {"lr": 1e150, "rule": "sgd"}
    T = aim(model, 4, 4, plain_change(model, options, x, y))
    step(model, NGD(model, Gaussian(), control=Retraction(), **options), Gaussian(), x, y)
    assert_reached(model, T)


@pytest.mark.parametrize("lr", [1.0, 0.5])
def test_the_change_of_the_loss_is_the_predicted_one(lr: float) -> None:
    """ρ of (21) is 1 where u is the exact natural gradient of a quadratic loss of the product."""

    class Watched(Damping):
        lam, seen = 0.0, None

        def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
            self.seen = rho
            return lam

    damping, likelihood = Watched(), Gaussian()
    model, x, y = chain(WIDE), batch(30, 4), batch(30, 4, seed=2)
    opt = NGD(model, likelihood, lr, damping=damping, samples=None, control=Retraction())
    likelihood(model(x), y).backward()
    opt.step(lambda: likelihood(model(x), y))
    assert damping.seen == pytest.approx(1, abs=1e-9)


def test_resuming_gives_the_same_steps() -> None:
    model, x, y = chain(NARROW, True), batch(30, 5), batch(30, 4, seed=2)
    opt = NGD(model, Gaussian(), 0.5, "exact", 0.0, control=Retraction())
    step(model, opt, Gaussian(), x, y)
    twin, saved = copy.deepcopy(model), io.BytesIO()
    torch.save(opt.state_dict(), saved)
    saved.seek(0)
    other = NGD(twin, Gaussian(), 0.5, "exact", 0.0, control=Retraction())
    other.load_state_dict(torch.load(saved))
    step(model, opt, Gaussian(), x, y)
    step(twin, other, Gaussian(), x, y)
    assert parameters(model).equal(parameters(twin))


def nonlinear() -> nn.Module:
    return network([4, 5, 4])


def without_first_bias() -> nn.Module:
    model = chain([4, 5, 4], True)
    model[0].bias = None
    return model


def frozen_bias() -> nn.Module:
    model = chain([4, 5, 4])
    model[0].bias = nn.Parameter(torch.ones(5).double(), requires_grad=False)
    return model


def frozen_layer() -> nn.Module:
    model = chain([4, 5, 5, 4])
    model[2].requires_grad_(False)
    return model


class Doubled(nn.Module):
    """A chain whose output is not that of its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = chain([4, 5, 4])

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.chain(x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (nonlinear, "chain of nn.Linear layers without nonlinearities"),
        (frozen_layer, "chain of nn.Linear layers without nonlinearities"),
        (Doubled, "chain of nn.Linear layers without nonlinearities"),
        (without_first_bias, "a bias that is trained in every layer, or a bias in none"),
        (frozen_bias, "a bias that is trained in every layer, or a bias in none"),
    ],
)
def test_what_is_no_linear_chain_is_refused(build: type[nn.Module], message: str) -> None:
    model = build()
    before = weights(model)
    opt = NGD(model, Gaussian(), control=Retraction())
    with pytest.raises(ValueError, match=message):
        step(model, opt, Gaussian(), batch(30, 4), batch(30, 4, seed=2))
    assert same(weights(model), before)


def test_overflow_is_an_error_that_changes_nothing() -> None:
    model = chain(WIDE)
    before = weights(model)
    opt = NGD(model, Gaussian(), 1e308, "sgd", 1e-12, control=Retraction())
    with pytest.raises(ValueError, match="lower lr or raise the damping"):
        step(model, opt, Gaussian(), batch(30, 4), batch(30, 4, seed=2))
    assert same(weights(model), before)
