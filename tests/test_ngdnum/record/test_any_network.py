"""Factors of random networks, whatever the layers, shapes and batch, against autodiff at one example at a time."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from ngdnum import NGD, Bernoulli, Categorical, Factors, Gaussian, Likelihood, kronecker_factors
from support.networks import targets

torch.set_num_threads(1)


class Mean(nn.Module):
    """Over all axes between the first and the last."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1, -2).mean(1)


def vectors(draw: st.DrawFn) -> tuple[list[nn.Module], tuple[int, ...]]:
    """Layers on vectors, or on rows of up to two further axes."""
    axes = draw(st.lists(st.integers(1, 3), max_size=2), "axes")
    widths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), "widths")
    layers: list[nn.Module] = []
    for n, m in zip(widths, widths[1:]):
        layers += [nn.Linear(n, m, bias=draw(st.booleans(), "bias")), nn.Tanh()]
    return [*layers, *([Mean()] if axes else [])], (*axes, widths[0])


def convolutions(draw: st.DrawFn) -> tuple[list[nn.Module], tuple[int, ...]]:
    """One or two convolutions of images or series, with strides, paddings, dilations and groups."""
    axes, channels = draw(st.integers(1, 2), "axes"), draw(st.sampled_from([1, 2, 4]), "channels")
    kind = {1: nn.Conv1d, 2: nn.Conv2d}[axes]
    layers: list[nn.Module] = []
    c = channels
    for _ in range(draw(st.integers(1, 2), "convolutions")):
        groups = draw(st.sampled_from([g for g in (1, 2) if c % g == 0]), "groups")
        out = groups * draw(st.integers(1, 2), "out")
        options = {name: draw(st.integers(1, 2), name) for name in ("kernel_size", "stride", "dilation")}
        padding = draw(st.integers(0, 1), "padding")
        layers += [kind(c, out, groups=groups, padding=padding, bias=draw(st.booleans(), "bias"), **options), nn.Tanh()]
        c = out
    return [*layers, nn.Flatten()], (channels, *(9,) * axes)


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Sequential, Tensor]:
    """A network of three outputs, and inputs of up to four examples."""
    torch.manual_seed(draw(st.integers(0, 99)))
    layers, shape = draw(st.sampled_from([vectors, convolutions]))(lambda strategy, label: draw(strategy))
    body = nn.Sequential(*layers).double()
    x = torch.randn(draw(st.integers(1, 4)), *shape, dtype=torch.float64)
    width = body(x).shape[-1]
    return nn.Sequential(*layers, nn.Linear(width, 3)).double(), x


def positions(module: nn.Module, values: Tensor, axes: int) -> Tensor:
    """Numbers at the output of a module, `[…, T, channels]` behind so many other axes."""
    values = values if isinstance(module, nn.Linear) else values.movedim(axes, -1)
    return values.reshape(*values.shape[:axes], -1, values.shape[-1])


def rows(module: nn.Module, x: Tensor) -> Tensor:
    """What the weights of each channel see, `[T, channels, m]`: the derivative of the output in them."""

    def output(weight: Tensor) -> Tensor:
        return functional_call(module, {"weight": weight.view_as(module.weight)}, (x,))[0]

    J = jacrev(output)(module.weight.detach().flatten(1)).movedim((-2, -1), (0, 1))
    own = positions(module, J, 2).diagonal(dim1=0, dim2=3).movedim(0, -1)
    return own if module.bias is None else torch.cat([own, torch.ones_like(own[..., :1])], -1)


def dense(model: nn.Sequential, k: int, likelihood: Likelihood, x: Tensor, kfac_approx: str) -> tuple[Tensor, Tensor]:
    """Λ̃ and Λ of layer k, by their definition."""
    module, lambdas, tildes = model[k], [], []
    groups = getattr(module, "groups", 1)
    for example in x:
        before = model[:k](example[None]).detach()
        after = module(before).detach()
        J = positions(module, jacrev(lambda value: model[k + 1 :](value)[0])(after)[:, 0], 1)
        root = likelihood.fisher_root(model(example[None]).detach())[:, 0]
        errors = torch.einsum("rf,ftc->rtc", root, J).unflatten(-1, (groups, -1))
        inputs = rows(module, before).unflatten(1, (groups, -1))[:, :, 0]
        if kfac_approx == "reduce":
            errors, inputs = errors.sum(1, keepdim=True), inputs.mean(0, keepdim=True)
        tildes.append(torch.einsum("rtgi,rtgj->gij", errors, errors))
        lambdas.append(torch.einsum("tgi,tgj->gij", inputs, inputs) / len(inputs))
    means = torch.stack(tildes).mean(0), torch.stack(lambdas).mean(0)
    return means if groups > 1 else (means[0][0], means[1][0])


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    drawn=networks(),
    likelihood=st.sampled_from([Gaussian(), Categorical(), Bernoulli()]),
    kfac_approx=st.sampled_from(["expand", "reduce"]),
)
def test_factors_are_those_of_the_definition(
    drawn: tuple[nn.Sequential, Tensor], likelihood: Likelihood, kfac_approx: str
) -> None:
    model, x = drawn
    found = kronecker_factors(model, likelihood, x, kfac_approx=kfac_approx)
    opt = NGD(
        model, likelihood, samples=None, damping=1.0, lr=1e-3, factors=Factors(decay=0.5, kfac_approx=kfac_approx)
    )
    expected = {
        str(k): dense(model, k, likelihood, x, kfac_approx)
        for k, module in enumerate(model)
        if hasattr(module, "weight")
    }
    likelihood(model(x), targets(likelihood, len(x))).backward()
    opt.step()
    assert found.keys() == expected.keys()
    for name, (lambda_tilde, lambda_) in expected.items():
        kept = opt.state[model[int(name)].weight]
        for measured in (found[name], (kept["Lambda_tilde"], kept["Lambda"])):
            torch.testing.assert_close(measured[0], lambda_tilde)
            torch.testing.assert_close(measured[1], lambda_)
