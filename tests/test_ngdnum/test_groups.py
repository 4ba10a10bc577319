"""Parameter groups and weight decay: what each layer moves by, what the damping learns, what a state keeps."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ngdnum import (
    NGD,
    ConjugateGradient,
    Control,
    Damping,
    DualConjugateGradient,
    ExactLineSearch,
    Fixed,
    FixedStep,
    Gaussian,
    LevenbergMarquardt,
    OutputNormalised,
    TrustRegion,
)
from support.grouped import ADAM, data, grouped, moved, network, normed, step, values

torch.set_num_threads(1)
CONTROLS: list[Control] = [
    FixedStep(),
    OutputNormalised(),
    ExactLineSearch(),
    TrustRegion(kl=1e-3),
    ConjugateGradient(),
    DualConjugateGradient(),
]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("make", [NGD, NGD.fast, NGD.sample_efficient], ids=["plain", "fast", "sample_efficient"])
def test_weights_decay_by_lr_times_weight_decay_and_biases_do_not(make: Callable[..., NGD], closed: bool) -> None:
    plain, decayed = make(network(), Gaussian(), lr=0.5), make(network(), Gaussian(), lr=0.5, weight_decay=0.02)
    old = values(plain.model)
    for p, without, with_decay in zip(old, moved(plain, closed=closed), moved(decayed, closed=closed), strict=True):
        expected = without - 0.5 * 0.02 * p if p.ndim > 1 else without
        torch.testing.assert_close(with_decay, expected, rtol=0, atol=1e-15)


def test_the_decay_is_that_of_adamw() -> None:
    """Without a gradient, what AdamW and NGD leave of the weights after ten steps is the same."""
    models = network(), network()
    opt = NGD.fast(models[0], Gaussian(), lr=0.3, weight_decay=0.1)
    adam = torch.optim.AdamW([p for p in models[1].parameters() if p.ndim > 1], lr=0.3, weight_decay=0.1)
    x, _ = data()
    for _ in range(10):
        opt.zero_grad()
        Gaussian()(models[0](x), models[0](x).detach()).backward()
        opt.step()
        for p in models[1].parameters():
            p.grad = torch.zeros_like(p)
        adam.step()
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=0)


def test_a_layer_without_a_step_does_not_decay() -> None:
    model = network()
    opt = NGD(model, Gaussian(), weight_decay=0.1)
    first = model[0].weight.detach().clone()
    model[0].requires_grad_(False)
    step(opt)
    assert model[0].weight.equal(first)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_one_group_for_each_layer_is_one_group_for_all(control: Control) -> None:
    """With the same options, up to the order of sums."""
    options: dict[str, Any] = {"rule": "pi_damped", "control": control, "samples": None, "lr": 0.5}
    model = network()
    groups = [{"params": layer.parameters()} for layer in (model[4], model[0])]
    one, three = NGD(network(), Gaussian(), **options), NGD(model, Gaussian(), groups=groups, **options)
    assert [len(opt.param_groups) for opt in (one, three)] == [1, 3]
    for k in range(4):
        step(one, k), step(three, k)
    for p, q in zip(values(one.model), values(three.model), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_a_learning_rate_of_its_own_is_a_factor_on_the_update() -> None:
    plain, opt = (
        NGD(network(), Gaussian(), lr=0.5, samples=None),
        grouped(NGD, network(), {"lr": 0.05}, lr=0.5, samples=None),
    )
    for k, (own, common) in enumerate(zip(moved(opt), moved(plain), strict=True)):
        torch.testing.assert_close(own, common * (0.1 if k >= 4 else 1.0), rtol=1e-12, atol=1e-15)


def test_a_higher_rate_is_the_same_as_lower_ones_elsewhere() -> None:
    """Groups have no order."""
    model = network()
    rest = itertools.chain(model[0].parameters(), model[2].parameters())
    low = NGD.fast(model, Gaussian(), lr=0.5, groups=[{"params": rest, "lr": 0.1}])
    high = grouped(NGD.fast, network(), {"lr": 0.5}, lr=0.1)
    for k in range(5):
        step(low, k), step(high, k)
    for p, q in zip(values(low.model), values(high.model), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def change_of_outputs(opt: NGD, seed: int) -> tuple[float, float]:
    """⟨‖J ΔW‖²⟩ and ⟨‖y − f‖²⟩ of a step, by automatic differentiation."""
    x, y = data(seed)
    names = [name for name, _ in opt.model.named_parameters()]
    before = tuple(p.detach().clone() for p in opt.model.parameters())
    delta = tuple(moved(opt, seed))

    def output(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(opt.model, dict(zip(names, parameters)), (x,))

    f, change = torch.func.jvp(output, before, delta)
    return float(change.square().sum(1).mean()), float((y - f).square().sum(1).mean())


def test_steps_measured_at_the_outputs_have_the_length_of_the_largest_rate() -> None:
    """OutputNormalised: ⟨‖J ΔW‖²⟩ = lr² ⟨‖y − f‖²⟩, with rates that differ too, or less where it is bounded."""
    control = OutputNormalised(rows=None, second_order_bound=math.inf)
    opt = grouped(NGD.fast, network(), {"lr": 0.3}, lr=0.06, control=control)
    for k in range(3):
        change, residual = change_of_outputs(opt, k)
        assert change == pytest.approx(0.3**2 * residual, rel=1e-9)


def test_a_trust_region_holds_for_the_step_with_its_rates() -> None:
    opt = grouped(NGD, network(), {"lr": 1.0}, lr=0.1, control=TrustRegion(kl=1e-3), damping=Fixed(1e-3), samples=None)
    change, _ = change_of_outputs(opt, 0)
    assert 0.5 * change == pytest.approx(1e-3, rel=1e-9)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: type(c).__name__)
def test_a_rate_of_zero_freezes_at_once(control: Control) -> None:
    """Momentum does not carry the layer on, and it moves again when the rate is back."""
    opt = grouped(NGD, network(), {}, rule="pi_damped", control=control, lr=0.5)
    step(opt, 0), step(opt, 1)
    opt.param_groups[1]["lr"] = 0.0
    for k in (2, 3):
        delta = moved(opt, k)
        assert not any(d.any() for d in delta[4:]) and all(d.any() for d in delta[:4])
    opt.param_groups[1]["lr"] = 0.5
    step(opt, 4)
    assert all(d.any() for d in moved(opt, 5))


class Watched(Damping):
    """Remembers ρ."""

    lam = 1e-3

    def __init__(self) -> None:
        self.seen: list[float | None] = []

    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        self.seen.append(rho)
        return lam


def linear(rates: Iterable[float], decay: float, control: Control) -> list[float | None]:
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    damping, (lr,) = Watched(), rates
    opt = NGD(model, Gaussian(), lr=lr, weight_decay=decay, damping=damping, control=control)
    for k in range(4):
        step(opt, k, closed=True)
    return damping.seen


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("control", [ExactLineSearch(damped=False), TrustRegion(kl=1e-3)], ids=["line", "trust"])
def test_the_damping_judges_the_step_without_its_decay(control: Control, decay: float) -> None:
    """The loss of one linear layer is quadratic, so ρ = 1; a step of the trust region has its exact prediction."""
    assert linear([0.7], decay, control) == pytest.approx([1.0] * 4, abs=1e-8)


@pytest.mark.parametrize("control", CONTROLS[1:4], ids=lambda c: type(c).__name__)
def test_the_predicted_change_is_that_of_the_step_with_its_rates(control: Control) -> None:
    """Halves of a linear map in two groups: the loss is quadratic in the weights, so ρ = 1 whatever the rates."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3, bias=False)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x.square())

    model, damping = Sum(), Watched()
    if isinstance(control, OutputNormalised):
        control = OutputNormalised(rows=None, memory=0.0)
    elif isinstance(control, ExactLineSearch):
        control = ExactLineSearch(damped=False)
    opt = NGD(
        model, Gaussian(), lr=0.5, damping=damping, control=control, groups=[{"params": model.b.weight, "lr": 0.1}]
    )
    for k in range(4):
        step(opt, k, closed=True)
    assert damping.seen == pytest.approx([1.0] * 4, abs=1e-8)


def test_an_undone_step_undoes_its_decay() -> None:
    model = normed()
    opt = NGD(model, Gaussian(), damping=LevenbergMarquardt(0.1, reject=True), weight_decay=0.1, fallback=ADAM)
    before = values(model)
    x, y = data()
    Gaussian()(model(x), y).backward()
    losses = iter([1.0, 2.0])
    opt.step(lambda: next(losses))
    assert all(p.equal(q) for p, q in zip(values(model), before, strict=True))
    assert opt.param_groups[0]["damping"] > 0.1


def test_schedulers_act_on_each_group() -> None:
    model = normed()
    opt = NGD.fast(model, Gaussian(), lr=0.5, groups=[{"params": model[3].parameters(), "lr": 0.1}], fallback=ADAM)
    scheduler = torch.optim.lr_scheduler.LambdaLR(opt, [lambda k: 0.5**k, lambda k: 0.1**k, lambda k: 0.25**k])
    step(opt)
    scheduler.step()
    assert [group["lr"] for group in opt.param_groups] == pytest.approx([0.25, 0.01, 0.005])
    assert opt.fallback.param_groups[0]["lr"] == pytest.approx(0.005)
    step(opt)
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, [0.5, 0.1, 0.02], total_steps=4, cycle_momentum=False)
    for k in range(3):
        step(opt, k)
        cycle.step()


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
def test_copies_and_states_keep_groups(twin_of: Callable[[NGD], NGD]) -> None:
    def make(model: nn.Sequential) -> NGD:
        groups = [{"params": model[3].parameters(), "lr": 0.1, "weight_decay": 0.2}]
        return NGD.fast(model, Gaussian(), weight_decay=0.01, groups=groups, fallback=ADAM)

    opt = make(normed())
    for k in range(3):
        step(opt, k)
    opt.param_groups[1]["lr"] = 0.05
    twin = twin_of(opt)
    resumed = make(normed())
    resumed.model.load_state_dict(opt.model.state_dict())
    resumed.load_state_dict(opt.state_dict())
    for k in range(3, 6):
        step(opt, k), step(twin, k), step(resumed, k)
    for other in (twin, resumed):
        assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in opt.param_groups]
        assert [g.get("weight_decay") for g in other.param_groups] == [g.get("weight_decay") for g in opt.param_groups]
        assert all(p.equal(q) for p, q in zip(values(opt.model), values(other.model), strict=True))


def test_a_state_with_other_groups_is_refused() -> None:
    saved = grouped(NGD, network(), {"lr": 0.1}).state_dict()
    opt = NGD(network(), Gaussian())
    with pytest.raises(ValueError, match="2 groups of layers, not 1"):
        opt.load_state_dict(saved)
    model = network()
    other = NGD(model, Gaussian(), groups=[{"params": model[0].parameters()}])
    with pytest.raises(ValueError, match=r"param_groups\[0\].*lacks 4.bias, 4.weight; the model lacks 0.bias"):
        other.load_state_dict(saved)


def test_all_layers_may_be_in_groups() -> None:
    model = network()
    opt = NGD.fast(model, Gaussian(), groups=[{"params": layer.parameters(), "lr": 0.1} for layer in model[::2]])
    assert [group["lr"] for group in opt.param_groups] == [0.1] * 3
    step(opt)
    assert opt.param_groups[0]["damping"] != 0.1


def test_what_is_not_trained_may_be_in_a_group() -> None:
    model = network()
    model[4].requires_grad_(False)
    assert len(grouped(NGD, model, {"lr": 0.1}).param_groups) == 1
