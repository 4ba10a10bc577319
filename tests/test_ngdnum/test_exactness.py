"""The undamped step with exact factors against the dense natural gradient of an autodiff Fisher.

Hidden widths ≥ max(n_0, n_L) with generic weights: the first-order change of the map W = W_L ⋯ W_1 that a step
causes, Σ_i A_i ΔW_i B_i, is that of −F⁺∇ (Eq. 10). In narrower networks it is not.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import jvp

from ngdnum import NGD, Gaussian
from support.networks import batch, network, output_jacobians

torch.set_num_threads(1)
COVARIANCE = torch.tensor([[1.0, 0.3, 0.1], [0.3, 0.5, 0.0], [0.1, 0.0, 2.0]], dtype=torch.float64)


def changes_of_the_map(
    sizes: list[int],
    likelihood: Gaussian,
    bias: bool,
    seed: int,
    damping: float = 0.0,
    rule: str = "kronecker",
) -> tuple[Tensor, Tensor]:
    """First-order change of the outputs at n_0 + 1 affinely independent inputs: by NGD, and by −F⁺∇."""
    model = network(sizes, bias, nn.Identity, seed)
    x, y = batch(40, sizes[0], seed + 100), batch(40, sizes[-1], seed + 200)
    names = [name for name, _ in model.named_parameters()]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    jacobians = output_jacobians(model, x)
    jacobian = torch.cat([jacobians[name].flatten(2) for name in names], 2)
    precision = torch.linalg.inv(_matrix(likelihood, sizes[-1]))
    fisher = torch.einsum("mip,ij,mjq->pq", jacobian, precision, jacobian) / len(x)
    loss = likelihood(model(x), y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    dense = -torch.linalg.pinv(fisher, rtol=1e-9, hermitian=True) @ gradient
    pieces = dense.split([before[name].numel() for name in names])
    dense = {name: piece.view_as(before[name]) for name, piece in zip(names, pieces)}

    opt = NGD(model, likelihood, rule=rule, damping=damping, samples=None)
    likelihood(model(x), y).backward()
    opt.step()
    ours = {name: p.detach() - before[name] for name, p in model.named_parameters()}

    probes = torch.cat([torch.zeros(1, sizes[0]), torch.eye(sizes[0])]).double()
    call = lambda parameters: torch.func.functional_call(model, parameters, (probes,))
    return jvp(call, (before,), (ours,))[1], jvp(call, (before,), (dense,))[1]


def _matrix(likelihood: Gaussian, n: int) -> Tensor:
    covariance = likelihood.covariance.double()
    return covariance if covariance.ndim == 2 else covariance * torch.eye(n, dtype=torch.float64)


def relative_difference(pair: tuple[Tensor, Tensor]) -> float:
    ours, dense = pair
    return float((ours - dense).norm() / dense.norm())


@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian(0.01), Gaussian(COVARIANCE)], ids=repr)
@pytest.mark.parametrize("sizes", [[3, 3], [3, 3, 3], [2, 4, 3], [4, 4, 5, 3], [3, 5, 4, 6, 3]], ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rule", ["kronecker", "pseudo_backprop"])
def test_wide_linear_networks_take_the_exact_natural_gradient_step(
    sizes: list[int], likelihood: Gaussian, bias: bool, rule: str
) -> None:
    assert relative_difference(changes_of_the_map(sizes, likelihood, bias, seed=1, rule=rule)) < 1e-8


@pytest.mark.parametrize("sizes", [[4, 2, 4], [5, 3, 2, 3], [4, 3, 2]], ids=str)
def test_narrow_linear_networks_do_not(sizes: list[int]) -> None:
    """A_i or B_i loses rank, and (19) is not the natural gradient any more."""
    assert relative_difference(changes_of_the_map(sizes, Gaussian(), bias=False, seed=0)) > 0.01


@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian(COVARIANCE)], ids=repr)
@pytest.mark.parametrize("sizes", [[3, 3], [4, 2, 3], [2, 4, 3], [5, 3, 2, 3], [5, 3, 4, 2, 4, 3], [6, 1, 3]], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_the_exact_rule_takes_the_natural_gradient_step_on_any_linear_network(
    sizes: list[int], likelihood: Gaussian, bias: bool
) -> None:
    assert relative_difference(changes_of_the_map(sizes, likelihood, bias, seed=1, rule="exact")) < 1e-7


@pytest.mark.parametrize("sizes", [[3, 3, 3], [2, 5, 4, 3], [4, 4, 3]], ids=str)
def test_pseudo_inverses_send_errors_back(sizes: list[int]) -> None:
    """Eq. 16 in every layer, with D from the errors at the output themselves."""
    model, x, y = network(sizes, activation=nn.Identity, bias=False), batch(40, sizes[0]), batch(40, sizes[-1], seed=2)
    weights = [p.detach().clone() for p in model.parameters()]
    D, Sigma, L = (y - model(x).detach()).mT @ x / 40, x.mT @ x / 40, len(weights)
    likelihood = Gaussian(torch.eye(sizes[-1]).double() + 0.3)
    opt = NGD(model, likelihood, rule="pseudo_backprop", samples=None)
    likelihood(model(x), y).backward()
    opt.step()
    for i, (W, parameter) in enumerate(zip(weights, model.parameters())):
        A, B = torch.eye(len(W)).double(), torch.eye(W.shape[1]).double()
        for later in weights[i + 1 :]:
            A = later @ A
        for earlier in reversed(weights[:i]):
            B = B @ earlier
        expected = torch.linalg.pinv(A) @ D @ torch.linalg.inv(Sigma) @ torch.linalg.pinv(B) / L
        torch.testing.assert_close(parameter.detach() - W, expected)


def test_damping_makes_the_step_inexact() -> None:
    pair = changes_of_the_map([3, 3, 3], Gaussian(), bias=False, seed=0, damping=0.1)
    assert relative_difference(pair) > 0.01


def test_the_natural_gradient_step_of_one_layer_with_bias_solves_linear_regression() -> None:
    model, x, y = network([4, 3], activation=nn.Identity), batch(40, 4), batch(40, 3, seed=2)
    opt = NGD(model, Gaussian(COVARIANCE), damping=0.0, samples=None)
    Gaussian(COVARIANCE)(model(x), y).backward()
    opt.step()
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(40, 1, dtype=x.dtype)], 1), y).solution
    torch.testing.assert_close(model[0].weight.detach(), solution[:-1].mT)
    torch.testing.assert_close(model[0].bias.detach(), solution[-1])


def test_more_training_targets_noise_changes_the_gradient_only() -> None:
    """The step is linear in the residual: with targets y = f the weights stay, whatever the sampled errors."""
    model, x = network([3, 4, 3]), batch(40, 3)
    before = [p.detach().clone() for p in model.parameters()]
    opt = NGD(model, Gaussian(), damping=0.0)
    output = model(x)
    Gaussian()(output, output.detach()).backward()
    opt.step()
    torch.testing.assert_close([p.detach() for p in model.parameters()], before)


def test_the_exact_rule_follows_the_order_of_the_forward_pass() -> None:
    """Layers registered in another order, and an nn.Identity between them."""

    class Reversed(nn.Module):
        def __init__(self, source: nn.Sequential) -> None:
            super().__init__()
            self.last, self.first, self.between = source[2], source[0], nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.between(self.first(x)))

    x, y, results = batch(40, 4), batch(40, 4, seed=2), []
    for wrap in (lambda source: source, Reversed):
        source = network([4, 2, 4], activation=nn.Identity)
        model = wrap(source)
        opt = NGD(model, Gaussian(), rule="exact", damping=0.0, samples=None)
        Gaussian()(model(x), y).backward()
        opt.step()
        results.append([p.detach() for p in source.parameters()])
    torch.testing.assert_close(*results)
