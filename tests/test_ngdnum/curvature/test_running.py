"""Running inverses against dense inverses of the sums they stand for."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Factors, Fixed, Gaussian, Inverse, kronecker_factors
from ngdnum.curvature.running import follow, turn
from support.networks import batch, network

torch.set_num_threads(1)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def train(model: nn.Module, opt: NGD, steps: range, rows: int = 30) -> None:
    for k in steps:
        opt.zero_grad()
        Gaussian()(model(batch(rows, 4, k)), batch(rows, 3, 1000 + k)).backward()
        opt.step()


def decayed(roots: list[Tensor], decay: float, level: float) -> Tensor:
    """Λ + D, dense: γ = min(1 − 1/k, decay) and the damping `level` of the axes whose turn it is."""
    total = roots[0].mT @ roots[0] + level * torch.eye(roots[0].shape[-1]).double()
    for k, root in enumerate(roots[1:], start=2):
        gamma = min(1 - 1 / k, decay)
        axes, weight = turn(root.shape[-1], k, decay)
        total = gamma * total + (1 - gamma) * root.mT @ root
        total[..., axes, axes] += weight * level
    return total


@pytest.mark.parametrize("rows", [1, 4, 9])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_the_inverse_of_the_decayed_sum_and_its_damping(rows: int, decay: float) -> None:
    """One row is Sherman and Morrison's formula, nine are more than the width."""
    roots, K = [gaussian(2, rows, 7, seed=k) for k in range(60)], None
    for k, root in enumerate(roots, start=1):
        K = follow(K, root, k, decay, lam=0.04)
    torch.testing.assert_close(K, torch.linalg.inv(decayed(roots, decay, 0.2)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_without_a_past_it_is_the_damped_inverse(rows: int) -> None:
    root = gaussian(rows, 7)
    expected = torch.linalg.inv(root.mT @ root + 0.2 * torch.eye(7).double())
    for K in (None, torch.eye(7).double()):
        torch.testing.assert_close(follow(K, root, 5, 0.0, lam=0.04), expected)


@pytest.mark.parametrize("m", [1, 7, 40])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_damping_stays_at_its_level(m: int, decay: float) -> None:
    """Without data K⁻¹ is the damping: its mean is √λ at all times, and no axis has much less."""
    K, nothing = None, torch.zeros(1, m).double()
    for k in range(1, 300):
        K = follow(K, nothing, k, decay, lam=0.04)
        damping = 1 / K.diagonal() / 0.2
        assert float(damping.mean()) == pytest.approx(1, rel=1e-9)
        assert damping.min() > 0.2 and damping.max() < 3


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_axes_have_their_turns_in_order(decay: float) -> None:
    seen = [axis for k in range(2, 400) for axis in turn(7, k, decay)[0]]
    assert seen == [j % 7 for j in range(len(seen))]


def test_the_damping_follows_lambda() -> None:
    K, nothing = None, torch.zeros(1, 7).double()
    for k in range(1, 200):
        K = follow(K, nothing, k, 0.9, lam=0.04 if k < 100 else 0.0004)
    assert float((1 / K.diagonal()).mean()) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [2, 30])
def test_without_decay_the_step_is_that_of_kronecker_damping(rows: int, bias: bool) -> None:
    steps = []
    for rule in ("running", "kronecker"):
        model = network([4, 5, 5, 3], bias=bias)
        train(model, NGD(model, Gaussian(), lr=0.1, rule=rule, damping=Fixed(0.01)), range(4), rows)
        steps.append(weights(model))
    torch.testing.assert_close(*steps, rtol=1e-8, atol=1e-10)


def test_convolutions_with_groups() -> None:
    steps, x, y = [], batch(20, 12).view(20, 4, 3), batch(20, 3)
    for rule in ("running", "kronecker"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv1d(4, 6, 2, groups=2), nn.Flatten(), nn.Linear(12, 3)).double()
        opt = NGD(model, Gaussian(), lr=0.1, rule=rule, damping=Fixed(0.01))
        for _ in range(3):
            opt.zero_grad()
            Gaussian()(model(x), y).backward()
            opt.step()
        steps.append(weights(model))
    torch.testing.assert_close(*steps, rtol=1e-8, atol=1e-10)


def test_inverses_of_a_training_run() -> None:
    """Every other batch is measured; dense sums of the exact factors of the same batches."""
    model, factors = network([4, 5, 3]), []
    opt = NGD(
        model,
        Gaussian(),
        lr=0.05,
        rule="running",
        damping=Fixed(0.01),
        samples=None,
        factors=Factors(every=2, decay=0.8),
    )
    for k in range(11):
        if k % 2 == 0 or k == 1:
            factors.append(kronecker_factors(model, Gaussian(), batch(30, 4, k)))
        train(model, opt, range(k, k + 1))
    assert opt.state_dict()["ngd"]["measured"] == len(factors) == 7
    for position, quantity in enumerate(("K_tilde", "K")):
        for layer, name in enumerate(factors[0]):
            roots = [
                torch.linalg.cholesky(f[name][position] + 1e-15 * torch.eye(len(f[name][position]))).mT for f in factors
            ]
            expected = torch.linalg.inv(decayed(roots, 0.8, 0.1))
            torch.testing.assert_close(opt.state[opt.layers[layer].weight][quantity], expected, rtol=1e-6, atol=1e-9)


def test_accumulated_passes_are_one_batch() -> None:
    results = []
    for parts in ((30,), (5, 25)):
        model = network([4, 5, 3])
        opt = NGD(model, Gaussian(), rule="running", samples=None, lr=0.1)
        pieces = zip(batch(30, 4).split(parts), batch(30, 3, seed=2).split(parts))
        for (x, y), size in zip(pieces, parts):
            (Gaussian()(model(x), y) * size / 30).backward()
        opt.step()
        results.append(weights(model))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-10)


def test_single_precision_follows_for_long() -> None:
    """2000 updates of factors with condition 1e8, damped to about 1e3."""
    scale = torch.logspace(0, -4, 30, dtype=torch.float64)
    single = double = None
    for k in range(1, 2001):
        root = gaussian(8, 30, seed=k) / 8**0.5 * scale
        single, double = follow(single, root.float(), k, 0.95, 1e-6), follow(double, root, k, 0.95, 1e-6)
    assert float((single.double() - double).norm() / double.norm()) < 1e-2


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_saved_run_goes_on_to_the_bit(stop: int) -> None:
    options = {"lr": 0.1, "rule": "running", "factors": Factors(every=3, decay=0.9)}
    model, other = network([4, 5, 3]), network([4, 5, 3], seed=9)
    opt = NGD(model, Gaussian(), **options)
    train(model, opt, range(stop))
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, range(stop, 15))
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    resumed = NGD(other, Gaussian(), **options)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    train(other, resumed, range(stop, 15))
    assert all(map(torch.equal, weights(model), weights(other)))


def test_running_inverses_need_damping() -> None:
    model = network([4, 3])
    with pytest.raises(ValueError, match="'running' has no undamped form: use damping > 0"):
        NGD(model, Gaussian(), rule="running", damping=0.0)
    opt = NGD(model, Gaussian(), rule="running", damping=Fixed(0.1))
    before = weights(model)
    opt.param_groups[0]["damping"] = 0.0
    with pytest.raises(ValueError, match="no undamped form"):
        train(model, opt, range(1))
    assert all(map(torch.equal, before, weights(model)))


def test_an_inverse_that_is_lost_is_refused_by_name() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian(), rule="running", lr=0.1, factors=Factors(decay=0.9), inverse=Inverse(every=3))
    train(model, opt, range(3))
    before = weights(model)
    opt.state[model[2].weight]["K"].mul_(-1e3)
    with pytest.raises(torch.linalg.LinAlgError, match="running inverse of layer '2' .* raise the damping"):
        train(model, opt, range(3, 4))
    assert all(map(torch.equal, before, weights(model)))


def test_a_rule_of_ones_own_may_ask_for_one_inverse() -> None:
    source = "def factorise(K):\n    return (K,)\ndef apply(G, state):\n    return G @ state[0]\n"
    steps = []
    for rule, lam in ((source, 0.01), ("foof", 0.1)):
        model = network([4, 5, 3])
        train(model, NGD(model, Gaussian(), lr=0.1, rule=rule, damping=Fixed(lam)), range(3))
        steps.append(weights(model))
    torch.testing.assert_close(*steps)
