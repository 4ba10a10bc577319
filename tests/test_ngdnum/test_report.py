"""The report of a step against eigenvalues, weights and counts computed here."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Factors, Fixed, Gaussian, Inverse, kronecker_factors
from ngdnum.rules import NETWORK_RULES, RULES
from ngdnum.rules.linalg import leading_pairs
from support.networks import batch, network

torch.set_num_threads(1)


def train(model: nn.Module, opt: NGD, steps: range) -> None:
    for k in steps:
        opt.zero_grad()
        Gaussian()(model(batch(30, 4, k)), batch(30, 3, 1000 + k)).backward()
        opt.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def ready(steps: int = 3, sizes: tuple[int, ...] = (4, 5, 3), **options: object) -> tuple[nn.Module, NGD]:
    model = network(list(sizes))
    opt = NGD(model, Gaussian(), **({"lr": 0.1, "samples": None, "damping": Fixed(0.04)} | options))
    train(model, opt, range(steps))
    return model, opt


def test_nothing_to_report_before_the_first_step_or_after_loading() -> None:
    _, opt = ready(steps=0)
    with pytest.raises(RuntimeError, match="take a step first"):
        opt.report()
    _, other = ready()
    opt.load_state_dict(other.state_dict())
    with pytest.raises(RuntimeError, match="take a step first"):
        opt.report()


def test_factors_by_their_eigenvalues() -> None:
    """c = √λ = 0.2 for each factor of (20); the effective rank by the entropy of the eigenvalues."""
    model, opt = ready(steps=2)
    expected = kronecker_factors(model, Gaussian(), batch(30, 4, 2))
    train(model, opt, range(2, 3))
    report = opt.report()
    assert [layer.name for layer in report.layers] == ["0", "2"] and report.steps == 3
    for layer in report.layers:
        assert layer.lam == 0.04 and list(layer.factors) == ["Lambda_tilde", "Lambda"]
        for factor, A in zip(layer.factors.values(), expected[layer.name]):
            s = torch.linalg.eigvalsh(A)
            p = s / s.sum()
            assert factor.rank == pytest.approx(math.exp(-(p * p.clamp(min=1e-99).log()).sum()))
            assert factor.damped == pytest.approx(float((s[-1] + 0.2) / (s[0] + 0.2)))
            assert factor.damping == pytest.approx(0.2 * len(A) / float(A.trace() + 0.2 * len(A)))
            assert math.isnan(factor.left_out)
            assert factor.condition == pytest.approx(float(torch.linalg.cond(A)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_singular_factor_has_infinite_condition(dtype: torch.dtype) -> None:
    model, x = network([4, 3]).to(dtype), batch(30, 4).to(dtype)
    x[:, 2] = x[:, 1]
    opt = NGD(model, Gaussian())
    Gaussian()(model(x), batch(30, 3).to(dtype)).backward()
    opt.step()
    (layer,) = opt.report().layers
    assert math.isinf(layer.factors["Lambda"].condition) and math.isfinite(layer.factors["Lambda"].damped)
    assert "∞" in str(opt.report())


def test_damping_shared_between_the_factors_has_equal_shares() -> None:
    for layer in ready(rule="kfac")[1].report().layers:
        first, second = (factor.damping for factor in layer.factors.values())
        assert 0 < first < 1 and first == pytest.approx(second)


def test_length_of_the_step() -> None:
    model, opt = ready(sizes=(4, 5, 5, 5, 3))
    before = weights(model)
    train(model, opt, range(3, 4))
    for k, layer in enumerate(opt.report().layers):
        now = weights(model)[2 * k : 2 * k + 2]
        change = sum(float((a - b).square().sum()) for a, b in zip(now, before[2 * k :])) ** 0.5
        size = sum(float(a.square().sum()) for a in now) ** 0.5
        assert layer.step == pytest.approx(change / size, rel=1e-9)


def test_a_step_taken_back_has_length_zero() -> None:
    model, opt = ready()
    opt.zero_grad()
    loss = Gaussian()(model(batch(30, 4)), batch(30, 3))
    loss.backward()
    opt.step(lambda: float("inf"), loss=loss)
    assert [layer.step for layer in opt.report().layers] == [0.0, 0.0]
    opt.report().figure().savefig(io.BytesIO(), format="svg")


def test_age_of_the_inverses() -> None:
    model, opt = ready(steps=0, inverse=Inverse(every=3))
    ages = []
    for k in range(8):
        train(model, opt, range(k, k + 1))
        ages.append({layer.age for layer in opt.report().layers})
    assert ages == [{0}, {0}, {1}, {0}, {1}, {2}, {0}, {1}]


def test_the_damping_that_was_used_is_reported() -> None:
    """By a rule that lowers the smallest eigenvalue of Λ to −5e-4 in the second layer."""
    rule = """
def factorise(Lambda, lam):
    low = torch.linalg.eigvalsh(Lambda)[0] + 5e-4 if len(Lambda) == 6 else 0.0
    return (torch.linalg.cholesky(Lambda + (lam - low) * torch.eye(len(Lambda), dtype=Lambda.dtype)),)
def apply(G, state):
    return G
"""
    _, opt = ready(damping=Fixed(1e-4), rule=rule)
    assert [layer.lam for layer in opt.report().layers] == pytest.approx([1e-4, 1e-3])
    assert opt.param_groups[0]["damping"] == 1e-4


def test_what_the_leading_eigenpairs_leave_out() -> None:
    """Against the best approximation by as many pairs and one value for the rest."""
    x, y = batch(600, 320) * torch.arange(1, 321).double() ** -1.0, batch(600, 3)
    model = network([320, 3])
    opt = NGD(model, Gaussian(), lr=1e-3, rule="pi_damped", inverse=Inverse(solver="low_rank"))
    ((_, Lambda),) = kronecker_factors(model, Gaussian(), x).values()
    Gaussian()(model(x), y).backward()
    opt.step()
    (layer,) = opt.report().layers
    share = layer.factors["Lambda"].damping
    kept = leading_pairs(Lambda, share / (1 - share) * float(Lambda.trace()) / 321)[0].shape[-1]
    rest = torch.linalg.eigvalsh(Lambda)[: 321 - kept]
    best = float((rest - rest.mean()).norm() / Lambda.norm())
    assert 1 < kept < 37 and best < layer.factors["Lambda"].left_out < 1.2 * best
    assert layer.factors["Lambda_tilde"].left_out < 1e-12


@pytest.mark.parametrize("damping", [0.04, 0.0])
@pytest.mark.parametrize("rule", [*RULES, *NETWORK_RULES])
def test_every_rule_has_a_report(rule: str, damping: float) -> None:
    model = network([4, 3, 3], activation=nn.Identity)
    if rule == "running" and not damping:
        pytest.skip("refused")
    opt = NGD(model, Gaussian(), lr=0.01, rule=rule, damping=damping, samples=None)
    train(model, opt, range(2))
    report = opt.report()
    rows = sum(max(1, len(layer.factors)) for layer in report.layers)
    lines = str(report).splitlines()
    assert rule in lines[0] and len(lines) == 2 + rows
    assert report._repr_html_().count("<tr>") == 1 + rows
    for layer in report.layers:
        assert layer.step > 0 and layer.apply_ms > 0
        for factor in layer.factors.values():
            assert math.isnan(factor.damped) == (damping == 0 or rule in ("natural", "exact", "pseudo_backprop"))


@pytest.mark.parametrize("rule", ["kronecker", "sgd"])
def test_the_figure_has_a_row_for_each_layer(rule: str) -> None:
    _, opt = ready(rule=rule)
    picture = opt.report().figure()
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["0", "2"]
    assert len(picture.axes[1].get_lines()) == (4 if rule == "kronecker" else 0)
    assert "<svg" in picture._repr_svg_()


def test_running_inverses_tell_the_condition_of_what_they_invert() -> None:
    model, opt = ready(rule="running", steps=1, factors=Factors(decay=0.5))
    K = opt.state[model[0].weight]["K"]
    factor = opt.report().layers[0].factors["Lambda"]
    assert factor.damped == pytest.approx(float(torch.linalg.cond(torch.linalg.inv(K))))
    assert math.isnan(factor.condition) and "running" in str(opt.report())
    opt.report().figure()


def test_groups_are_reported_together() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 6, 2, groups=2), nn.Flatten(), nn.Linear(12, 3)).double()
    before, x = weights(model), batch(30, 12).view(30, 4, 3)
    opt = NGD(model, Gaussian(), lr=0.1, damping=Fixed(0.04), samples=None)
    expected = kronecker_factors(model, Gaussian(), x)["0"]
    Gaussian()(model(x), batch(30, 3)).backward()
    opt.step()
    layer = opt.report().layers[0]
    for factor, matrices in zip(layer.factors.values(), expected):
        s = torch.linalg.eigvalsh(matrices)
        assert factor.condition == pytest.approx(float((s[:, -1] / s[:, 0]).mean()))
        assert factor.damped == pytest.approx(float(((s[:, -1] + 0.2) / (s[:, 0] + 0.2)).mean()))
    now = weights(model)
    change = sum(float((a - b).square().sum()) for a, b in zip(now[:2], before)) ** 0.5
    assert layer.step == pytest.approx(change / sum(float(a.square().sum()) for a in now[:2]) ** 0.5)


def test_rules_of_ones_own_have_a_report() -> None:
    source = "def factorise(Lambda):\n    return ()\ndef apply(G, state):\n    return G\n"
    (first, _) = ready(rule=source)[1].report().layers
    assert list(first.factors) == ["Lambda"] and math.isnan(first.factors["Lambda"].damped)


def test_a_report_changes_nothing() -> None:
    (one, first), (two, second) = ready(), ready()
    first.report()
    for model, opt in ((one, first), (two, second)):
        train(model, opt, range(3, 6))
    assert all(map(torch.equal, weights(one), weights(two)))


def test_a_layer_that_is_dead_and_zero() -> None:
    model = nn.Linear(4, 3, bias=False).double()
    nn.init.zeros_(model.weight)
    opt = NGD(model, Gaussian(), rule=RULES["kronecker"]._replace(solver="low_rank"))
    (0 * model(torch.zeros(30, 4).double()).sum()).backward()
    opt.step()
    (layer,) = opt.report().layers
    factor = layer.factors["Lambda"]
    assert (layer.step, factor.rank, factor.left_out, factor.condition) == (0.0, 0.0, 0.0, math.inf)


def test_the_optimizer_keeps_no_inverses_for_a_report() -> None:
    _, opt = ready()
    opt.report()
    assert not opt.state
