"""Kronecker factors against dense references built from per-example Jacobians by autodiff."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev

from ngdnum import NGD, Bernoulli, Categorical, Factors, Gaussian, Likelihood, kronecker_factors
from support.networks import COVARIANCE, batch, network, output_jacobians
from support.training import expect_nothing_collected, measured, parameters

torch.set_num_threads(1)


def reference(model: nn.Sequential, likelihood: Likelihood, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Factors from the Hessian of the loss in f and the Jacobian of f in the layer's output."""
    factors = {}
    for k, layer in enumerate(model):
        if not isinstance(layer, nn.Linear):
            continue
        with torch.no_grad():
            inputs = model[:k](x)
            values = model[: k + 1](x)
            fs = model(x)
        lambda_tilde = 0
        for value, f in zip(values, fs):
            jacobian = jacrev(lambda v: model[k + 1 :](v))(value)
            y = likelihood.sample(f[None])
            hessian = torch.autograd.functional.hessian(lambda v: likelihood(v[None], y), f)
            lambda_tilde = lambda_tilde + jacobian.mT @ hessian @ jacobian / len(x)
        if layer.bias is not None:
            inputs = torch.cat([inputs, torch.ones(len(x), 1, dtype=x.dtype)], 1)
        factors[str(k)] = lambda_tilde, torch.stack([torch.outer(v, v) for v in inputs]).mean(0)
    return factors


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian(COVARIANCE), Categorical(), Bernoulli()], ids=repr)
def test_exact_factors_equal_a_dense_reference(likelihood: Likelihood, bias: bool) -> None:
    model, x = network([4, 5, 3], bias), batch(6, 4)
    factors, expected = kronecker_factors(model, likelihood, x), reference(model, likelihood, x)
    assert list(factors) == ["0", "2"]
    for name, pair in factors.items():
        assert [f.shape[0] for f in pair] == [5 if name == "0" else 3, (4 if name == "0" else 5) + bias]
        for got, want in zip(pair, expected[name]):
            torch.testing.assert_close(got, want)


def test_exact_factors_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network([4, 5, 3]), batch(6, 4)
    whole = kronecker_factors(model, Categorical(), x)
    monkeypatch.setattr("ngdnum.curvature.factors._CHUNK", 1)
    for name, pair in kronecker_factors(model, Categorical(), x).items():
        torch.testing.assert_close(pair, whole[name])


@pytest.mark.parametrize("likelihood", [Gaussian(COVARIANCE), Categorical(), Bernoulli()], ids=repr)
@pytest.mark.parametrize(("samples", "count"), [(1, 4), (5, 4), (1, 12), (5, 12)])
def test_expected_sampled_factors_do_not_depend_on_samples_and_batch(
    likelihood: Likelihood, samples: int, count: int
) -> None:
    """E[Λ̃_K] equals the exact Λ̃, within 4.5 standard errors of the mean over repetitions.

    The batch of 12 is the batch of 4 three times, so that the exact factor is the same for both.
    """
    model, x = network([4, 5, 3]), batch(4, 4).repeat(count // 4, 1)
    generator = torch.Generator().manual_seed(7)
    exact = kronecker_factors(model, likelihood, x[:4])
    draws = [kronecker_factors(model, likelihood, x, samples, generator) for _ in range(300)]
    for name in exact:
        values = torch.stack([draw[name][0] for draw in draws])
        standard_error = values.std(0) / len(draws) ** 0.5
        assert ((values.mean(0) - exact[name][0]).abs() <= 4.5 * standard_error + 1e-12).all()
        assert standard_error.norm() < 0.1 * exact[name][0].norm()


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("samples", [None, 1, 3])
def test_training_targets_and_loss_scale_do_not_enter_the_factors(samples: int | None, scale: float) -> None:
    model, x = network([4, 5, 3]), batch(6, 4)
    opt = NGD(model, Gaussian(), samples=samples, factors=Factors(decay=0.5))
    opt.generator.manual_seed(3)
    generator = torch.Generator().manual_seed(3)
    expected = kronecker_factors(model, Gaussian(), x, samples, generator)
    y = scale * batch(6, 3, seed=2)
    Gaussian()(model(x), y).backward()
    opt.step()
    torch.testing.assert_close(measured(opt), list(expected.values()))


def test_fisher_of_a_linear_network_is_the_product_of_its_factors() -> None:
    """For one linear layer F = Λ ⊗ Λ̃ exactly (Eq. 22)."""
    model, x = network([4, 3], activation=nn.Identity), batch(6, 4)
    jacobians = output_jacobians(model, x)
    jacobian = torch.cat([jacobians["0.weight"], jacobians["0.bias"].unsqueeze(-1)], -1)
    jacobian = jacobian.mT.flatten(2)  # column-stacking vec
    fisher = torch.einsum("mip,ij,mjq->pq", jacobian, COVARIANCE.inverse(), jacobian) / len(x)
    ((lambda_tilde, lambda_),) = kronecker_factors(model, Gaussian(COVARIANCE), x).values()
    torch.testing.assert_close(torch.kron(lambda_, lambda_tilde), fisher)


def test_passes_between_two_steps_are_averaged_by_their_shares_in_the_loss() -> None:
    """Here, by their sizes: the sum is the mean over all examples."""
    model, x, y = network([4, 5, 3]), batch(9, 4), batch(9, 3, seed=2)
    expected = list(kronecker_factors(model, Gaussian(), x).values())
    opt = NGD(model, Gaussian(), samples=None, factors=Factors(decay=0.5))
    for part in (slice(0, 2), slice(2, 9)):
        (len(x[part]) / len(x) * Gaussian()(model(x[part]), y[part])).backward()
    opt.step()
    torch.testing.assert_close(measured(opt), expected)


def test_two_backward_passes_through_one_graph_count_once() -> None:
    """The same targets are sampled as for one pass with twice the loss."""
    x, y, steps = batch(9, 4), batch(9, 3, seed=2), []
    for passes in (1, 2):
        model = network([4, 5, 3])
        opt = NGD(model, Gaussian())
        output = model(x)
        for _ in range(passes):
            (2 / passes * Gaussian()(output, y)).backward(retain_graph=True)
        opt.step()
        steps.append((parameters(model), opt.generator.get_state()))
    torch.testing.assert_close(steps[0], steps[1])


def test_activations_in_place_do_not_disturb_the_errors() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu_()

    x = batch(6, 4)
    inplace, plain = network([4, 5, 3], activation=InPlace), network([4, 5, 3], activation=nn.ReLU)
    got, want = (kronecker_factors(model, Gaussian(), x) for model in (inplace, plain))
    for name in want:
        torch.testing.assert_close(got[name], want[name])


def test_kronecker_factors_leaves_nothing_behind() -> None:
    model = network([4, 5, 3])
    before = copy.deepcopy({name: sorted(vars(module)) for name, module in model.named_modules()})
    kronecker_factors(model, Gaussian(), batch(6, 4))
    assert before == {name: sorted(vars(module)) for name, module in model.named_modules()}
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert all(p.grad is None for p in model.parameters())


def test_frozen_layers_have_no_factors_and_a_frozen_bias_no_coordinate() -> None:
    model, x = network([4, 5, 5, 3]), batch(6, 4)
    model[2].requires_grad_(False)
    model[4].bias.requires_grad_(False)
    factors = kronecker_factors(model, Gaussian(), x)
    assert {name: tuple(lambda_.shape) for name, (_, lambda_) in factors.items()} == {"0": (5, 5), "4": (5, 5)}


def test_looking_at_factors_does_not_disturb_an_optimizer() -> None:
    model, x = network([4, 5, 3]), batch(6, 4)
    opt = NGD(model, Gaussian())
    state = opt.generator.get_state()
    for samples in (None, 1, 3):
        kronecker_factors(model, Gaussian(), x, samples)
    expect_nothing_collected(opt)
    assert state.equal(opt.generator.get_state())
