"""Conjugate gradients among the errors at the outputs, against those among the weights and a dense Fisher."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ngdnum import (
    NGD,
    ConjugateGradient,
    DualConjugateGradient,
    Factors,
    Fixed,
    Gaussian,
    Likelihood,
    kronecker_factors,
)
from ngdnum.control import Control
from ngdnum.rules import RULES
from ngdnum.schedule import examples
from support.networks import COVARIANCE, LIKELIHOODS, batch, dense_fisher, network, targets
from support.training import gradient, measured, parameters, step

torch.set_num_threads(1)
PRODUCTS = [name for name, rule in RULES.items() if rule.halves and rule.damping]


def change(model: nn.Module, likelihood: Likelihood, batches: list, control: Control, **options: object) -> Tensor:
    """What one step on the sum of the losses changes; `model` itself stays as it is."""
    own = copy.deepcopy(model)
    opt = NGD(own, likelihood, damping=Fixed(0.1), samples=None, control=control, **options)
    opt.zero_grad()
    for x, y in batches:
        (likelihood(own(x), y) / len(batches)).backward()
    opt.step()
    return parameters(own) - parameters(model)


class Twice(nn.Module):
    """One layer used twice, at three positions of each example."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(4, 5), nn.Linear(5, 5, bias=False)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.again(torch.tanh(self.again(x)))).mean(1))


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("rule", PRODUCTS)
def test_undamped_it_is_conjugate_gradients(rule: str, likelihood: Likelihood) -> None:
    """Layers 1 and 2 form one stack; 8 examples are fewer than columns, 40 more than twice as many."""
    model = network([6, 5, 5, 5, 3])
    for count in (8, 40):
        data = [(batch(count, 6), targets(likelihood, count))]
        expected = change(model, likelihood, data, ConjugateGradient(4, damped=False), rule=rule)
        found = change(model, likelihood, data, DualConjugateGradient(4, damped=False), rule=rule)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.norm()))


@pytest.mark.parametrize("make, shape", [(Twice, (3, 4)), (convolutions, (2, 4, 4))])
def test_layers_that_act_several_times(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    """In two passes, which count as one batch."""
    torch.manual_seed(0)
    model, likelihood = make().double(), Gaussian(COVARIANCE)
    data = [(torch.randn(9, *shape).double(), batch(9, 3, seed)) for seed in (2, 3)]
    expected = change(model, likelihood, data, ConjugateGradient(4, damped=False))
    found = change(model, likelihood, data, DualConjugateGradient(4, damped=False))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.norm()))


def test_damped_it_solves_with_the_curvature_of_the_rule() -> None:
    """(F + √λ P⁻¹) u = g, with P from the factors, one layer after the other."""
    lam, model, x, y = 0.1, network([4, 5, 3], bias=False), batch(20, 4), batch(20, 3, seed=2)
    F, g = dense_fisher(model, Gaussian(), x), -gradient(model, Gaussian()(model(x), y))
    blocks = []
    for Lambda_tilde, Lambda in kronecker_factors(model, Gaussian(), x).values():
        root = lam**0.5
        damped = (A + root * torch.eye(len(A), dtype=A.dtype) for A in (Lambda_tilde, Lambda))
        blocks.append(2 * torch.kron(*damped))
    expected = torch.linalg.solve(F + root * torch.block_diag(*blocks), g)
    opt = NGD(model, Gaussian(), damping=Fixed(lam), samples=None, control=DualConjugateGradient(100))
    torch.testing.assert_close(step(model, opt, Gaussian(), x, y), expected)


def penalty(model: nn.Module) -> None:
    """That of 3 ‖θ‖²."""
    for p in model.parameters():
        p.grad.add_(p.detach(), alpha=6.0)


def mask(model: nn.Module) -> None:
    model[0].weight.grad.zero_()


def clip(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)


@pytest.mark.parametrize("edit", [penalty, mask, clip])
def test_gradients_changed_after_the_backward_pass_are_solved_for(edit: Callable[[nn.Module], None]) -> None:
    """(F + √λ P⁻¹) u = −p.grad, whatever is in p.grad: by a dense solve, and undamped by conjugate gradients."""
    lam, model, x, y = 0.1, network([4, 5, 5, 3], bias=False), batch(20, 4), batch(20, 3, seed=2)
    blocks = []
    for factors in kronecker_factors(model, Gaussian(), x).values():
        blocks.append(3 * torch.kron(*(A + lam**0.5 * torch.eye(len(A), dtype=A.dtype) for A in factors)))

    def edited(control: Control) -> tuple[Tensor, Tensor]:
        own = copy.deepcopy(model)
        opt = NGD(own, Gaussian(), damping=Fixed(lam), samples=None, control=control)
        Gaussian()(own(x), y).backward()
        edit(own)
        g = -torch.cat([p.grad.flatten() for p in own.parameters()])
        opt.step()
        return parameters(own) - parameters(model), g

    found, g = edited(DualConjugateGradient(200))
    F = dense_fisher(model, Gaussian(), x)
    torch.testing.assert_close(found, torch.linalg.solve(F + lam**0.5 * torch.block_diag(*blocks), g))
    expected, _ = edited(ConjugateGradient(4, damped=False))
    found, _ = edited(DualConjugateGradient(4, damped=False))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9 * float(expected.norm()))


def test_a_term_of_the_loss_outside_the_likelihood_counts() -> None:
    """With two backward passes through one graph, and with all in one."""
    x, y = batch(20, 4), batch(20, 3, seed=2)

    def stepped(apart: bool) -> Tensor:
        model = network([4, 5, 3])
        opt = NGD.sample_efficient(model, Gaussian(), samples=None)
        loss, other = Gaussian()(model(x), y), 3 * sum(p.square().sum() for p in model.parameters())
        for term in (loss, other) if apart else (loss + other,):
            term.backward()
        opt.step()
        return parameters(model)

    torch.testing.assert_close(stepped(True), stepped(False))
    model = network([4, 5, 3])
    step(model, NGD.sample_efficient(model, Gaussian(), samples=None), Gaussian(), x, y)
    assert not torch.allclose(stepped(True), parameters(model), rtol=1e-2)


def test_the_predicted_change_of_the_loss_is_that_of_its_quadratic_model() -> None:
    """On a linear network with one layer, where the model is exact but for the damping: ρ is just above 1."""
    x, y, model = batch(30, 4), batch(30, 3, seed=2), network([4, 3])
    seen: list[float] = []

    class Watch(Fixed):
        def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
            seen.append(rho)
            return lam

    opt = NGD(model, Gaussian(), damping=Watch(1e-8), control=DualConjugateGradient(50))
    Gaussian()(model(x), y).backward()
    opt.step(lambda: Gaussian()(model(x), y))
    assert seen == [pytest.approx(1, abs=1e-3)]


def test_rules_that_are_no_product_are_refused() -> None:
    for options in ({"rule": "exact"}, {"rule": "fisher_muon"}, {"damping": 0.0}):
        with pytest.raises(ValueError, match="damped rule that is a product"):
            NGD(network([4, 3]), Gaussian(), control=DualConjugateGradient(), **options)
    with pytest.raises(ValueError, match="steps must be"):
        DualConjugateGradient(0)


def test_a_use_beside_the_output_is_refused() -> None:
    class Aside(Twice):
        def forward(self, x: Tensor) -> Tensor:
            self.first(x)
            return super().forward(x)

    model = Aside().double()
    opt = NGD(model, Gaussian(), control=DualConjugateGradient())
    Gaussian()(model(torch.randn(5, 3, 4).double()), batch(5, 3)).backward()
    before = parameters(model)
    with pytest.raises(ValueError, match="'first' is also used where"):
        opt.step()
    assert torch.equal(parameters(model), before)


def test_buffers_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, affine=False), nn.Linear(5, 3)).double()
    opt = NGD(model, Gaussian(), control=DualConjugateGradient())
    Gaussian()(model(batch(9, 4)), batch(9, 3)).backward()
    before = [b.clone() for b in model.buffers()]
    opt.step()
    assert all(map(torch.equal, before, model.buffers()))


def test_factors_from_part_of_a_batch_are_those_of_that_part() -> None:
    """Λ̃ of exact directions is of the first 7 of 20 examples; so is Λ, but T positions need √T times fewer."""
    torch.manual_seed(0)
    model = convolutions().double()
    x, y = torch.randn(20, 2, 4, 4).double(), batch(20, 3)
    positions = {"0": 16, "2": 16, "4": 1}
    for sharing in ("expand", "reduce"):
        opt, expected = NGD(model, Gaussian(), samples=None, factors=Factors(1, 0.5, sharing, rows=7)), []
        for layer in opt.layers:
            T = positions[layer.name] if sharing == "expand" else 1
            Lambda_tilde, _ = kronecker_factors(model, Gaussian(), x[:7], kfac_approx=sharing)[layer.name]
            _, Lambda = kronecker_factors(model, Gaussian(), x[: examples(7, T)], kfac_approx=sharing)[layer.name]
            expected.append((Lambda_tilde, Lambda))
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step()
        torch.testing.assert_close(measured(opt), expected)
