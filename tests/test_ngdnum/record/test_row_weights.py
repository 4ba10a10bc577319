"""Rows that do not count in the loss, or not as much as others: against the same batch without them, or with copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from ngdnum import (
    NGD,
    Bernoulli,
    Categorical,
    ConjugateGradient,
    ExactLineSearch,
    Factors,
    Gaussian,
    Likelihood,
    OutputNormalised,
    kronecker_factors,
)
from ngdnum.curvature.symmetric import full
from support.networks import batch, network
from support.training import parameters

torch.set_num_threads(1)
Loss = Callable[[Tensor, Tensor], Tensor]
PRESETS = {
    "paper": NGD.paper,
    "fast": NGD.fast,
    "fast, all rows": partial(NGD.fast, factors=Factors(), control=OutputNormalised(rows=None, memory=0.0)),
    "sample_efficient": NGD.sample_efficient,
    "running": partial(NGD, rule="running"),
}
LIKELIHOODS = [Gaussian(0.3), Categorical(), Bernoulli()]
M, N = 30, 3


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> Callable[..., NGD]:
    return PRESETS[request.param]


def targets(likelihood: Likelihood, *shape: int) -> Tensor:
    return likelihood.sample(torch.zeros(*shape, N, dtype=torch.float64), torch.Generator().manual_seed(5))


def trained(
    preset: Callable[..., NGD], likelihood: Likelihood, x: Tensor, losses: list[Loss], model: nn.Module | None = None
) -> Tensor:
    """The weights after two steps, each on the passes with these losses."""
    model = network([4, 6, N]) if model is None else model
    opt = preset(model, likelihood, samples=None)
    for k in range(2):
        opt.zero_grad()
        for loss in losses:
            loss(model(x + 0.1 * k), k).backward()
        opt.step()
    return parameters(model)


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def padded(y: Tensor, value: float) -> Tensor:
    return torch.cat([y, torch.full_like(y[:1], value).expand(10, *y.shape[1:])])


PADDINGS: dict[str, tuple[Likelihood, Callable[[Tensor], Loss]]] = {
    "slice": (Gaussian(), lambda y: lambda f, k: Gaussian()(f[:M], y)),
    "mask of rows": (Gaussian(), lambda y: lambda f, k: Gaussian()(f[torch.arange(M + 10) < M], y)),
    "weight": (
        Gaussian(),
        lambda y: lambda f, k: Gaussian()(f, padded(y, torch.nan), weight=torch.arange(M + 10) < M),
    ),
    "loss of one's own": (
        Gaussian(),
        lambda y: lambda f, k: 0.5 * (f - padded(y, 0.0))[:M].square().sum(-1).mean(),
    ),
    "log density": (Bernoulli(), lambda y: lambda f, k: -Bernoulli().log_density(f[:M], y).mean()),
    "Bernoulli": (
        Bernoulli(),
        lambda y: lambda f, k: Bernoulli()(f, padded(y, 0.0), weight=torch.arange(M + 10) < M),
    ),
    "ignored": (Categorical(), lambda y: lambda f, k: Categorical()(f, padded(y, -100))),
    "ignored class": (Categorical(ignore_index=0), lambda y: lambda f, k: Categorical(ignore_index=0)(f, padded(y, 0))),
    "ignored by torch": (
        Categorical(),
        lambda y: lambda f, k: F.cross_entropy(f, padded(y, 7), ignore_index=7),
    ),
}


@pytest.mark.what_if(
    "batches", "rows are padding, cut off before the loss or weighted 0", "the step is that without them"
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_is_as_if_it_were_not_there(preset: Callable[..., NGD], padding: str) -> None:
    likelihood, loss = PADDINGS[padding]
    x, y = batch(M, 4), targets(likelihood, M)
    if likelihood is PADDINGS["ignored class"][0]:
        y = y.clamp(min=1)
    plain = trained(preset, likelihood, x, [lambda f, k: likelihood(f, y)])
    same(trained(preset, likelihood, torch.cat([x, 5 * batch(10, 4, 2)]), [loss(y)]), plain)


def test_a_probe_of_rows_that_do_not_count_takes_all(preset: Callable[..., NGD]) -> None:
    """More padding in front than the rows on which `fast` probes: like all rows for the probe."""
    x, y = batch(M, 4), targets(Gaussian(), M)
    mask = torch.arange(M + 20) >= 20
    front = torch.cat([batch(20, 4, 2), x]), torch.cat([y[:20], y])
    whole = partial(NGD.fast, control=OutputNormalised(rows=None)) if preset == NGD.fast else preset
    plain = trained(whole, Gaussian(), x, [lambda f, k: Gaussian()(f, y)])
    same(trained(preset, Gaussian(), front[0], [lambda f, k: Gaussian()(f, front[1], weight=mask)]), plain)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_weight_is_a_number_of_copies(preset: Callable[..., NGD], likelihood: Likelihood, scale: float) -> None:
    x, y, copies = batch(M, 4), targets(likelihood, M), torch.arange(M) % 4
    preset = PRESETS["fast, all rows"] if preset == NGD.fast else preset
    x_long, y_long = x.repeat_interleave(copies, 0), y.repeat_interleave(copies, 0)
    plain = trained(preset, likelihood, x_long, [lambda f, k: likelihood(f, y_long)])
    same(trained(preset, likelihood, x, [lambda f, k: likelihood(f, y, weight=scale * copies)]), plain)


def test_class_weights_are_numbers_of_copies(preset: Callable[..., NGD]) -> None:
    likelihood = Categorical(weight=torch.tensor([0.5, 1.5, 1.0]))
    x, y = batch(M, 4), targets(likelihood, M)
    preset = PRESETS["fast, all rows"] if preset == NGD.fast else preset
    copies = torch.tensor([1, 3, 2])[y]
    x_long, y_long = x.repeat_interleave(copies, 0), y.repeat_interleave(copies)
    plain = trained(preset, Categorical(), x_long, [lambda f, k: F.cross_entropy(f, y_long)])
    same(trained(preset, likelihood, x, [lambda f, k: likelihood(f, y)]), plain)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("by", ["weight", "mask", "reshape"])
def test_positions_that_do_not_count(preset: Callable[..., NGD], likelihood: Likelihood, by: str) -> None:
    """Sequences of unequal length, each position treated by itself: like a batch of the positions that are."""
    x, y = batch(4 * 7, 4).view(4, 7, 4), targets(likelihood, 4, 7)
    mask = torch.arange(7) < torch.tensor([[7], [3], [1], [5]])
    preset = PRESETS["fast, all rows"] if preset == NGD.fast else preset
    loss = {
        "weight": lambda f, k: likelihood(f, y, weight=mask),
        "mask": lambda f, k: likelihood(f[mask], y[mask]),
        "reshape": lambda f, k: likelihood(f.flatten(0, 1), y.flatten(0, 1), weight=mask.flatten()),
    }[by]
    plain = trained(preset, likelihood, x[mask], [lambda f, k: likelihood(f, y[mask])])
    same(trained(preset, likelihood, x, [loss]), plain)


@pytest.mark.parametrize("kfac_approx", ["expand", "reduce"])
def test_weights_of_images_are_those_of_their_patches(kfac_approx: str) -> None:
    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, N)).double()

    x, y = batch(M * 25, 1).view(M, 1, 5, 5), targets(Gaussian(), M)
    make = partial(NGD, factors=Factors(kfac_approx=kfac_approx))
    copies = torch.arange(M) % 3
    x_long, y_long = x.repeat_interleave(copies, 0), y.repeat_interleave(copies, 0)
    plain = trained(make, Gaussian(), x_long, [lambda f, k: Gaussian()(f, y_long)], net())
    same(trained(make, Gaussian(), x, [lambda f, k: Gaussian()(f, y, weight=copies)], net()), plain)


def test_passes_enter_as_much_as_their_losses(preset: Callable[..., NGD]) -> None:
    """Accumulation: 6 and 20 valid rows, the mean of all of them."""
    x, y, mask = batch(M, 4), targets(Gaussian(), M), torch.arange(M) % 15 < 13
    model = network([4, 6, N])
    preset = PRESETS["fast, all rows"] if preset == NGD.fast else preset
    opt = preset(model, Gaussian(), samples=None)
    for rows, share in ((slice(7), 7 / 26), (slice(7, None), 19 / 26)):
        (share * Gaussian()(model(x[rows]), y[rows], weight=mask[rows])).backward()
    opt.step()
    plain = network([4, 6, N])
    opt = preset(plain, Gaussian(), samples=None)
    Gaussian()(plain(x[mask]), y[mask]).backward()
    opt.step()
    same(parameters(model), parameters(plain))


def test_two_losses_of_one_output_are_one(preset: Callable[..., NGD]) -> None:
    x, y = batch(M, 4), targets(Gaussian(), M)
    plain = trained(preset, Gaussian(), x, [lambda f, k: Gaussian()(f, y)])

    def halves(f: Tensor, k: int) -> Tensor:
        torch.autograd.grad(Gaussian()(f[:9], y[:9]), f, retain_graph=True)  # nothing of this is to be kept
        return 0.5 * Gaussian()(f[:15], y[:15]) + 0.5 * Gaussian()(f[15:], y[15:])

    same(trained(preset, Gaussian(), x, [halves]), plain)


@pytest.mark.parametrize("likelihood", [Gaussian(0.3), Bernoulli()], ids=repr)
def test_the_fisher_of_a_weighted_loss_is_that_of_autodiff(likelihood: Likelihood) -> None:
    """One exact step by conjugate gradients along −F⁻¹g, with F = Σ w JᵀF_m J/Σ w from dense derivatives."""
    model, x, w = network([4, 5, N]), batch(40, 4), torch.arange(40).remainder(5).double()
    y = targets(likelihood, 40)
    names, theta = zip(*[(name, p.detach()) for name, p in model.named_parameters()])

    def outputs(*theta: Tensor) -> Tensor:
        return functional_call(model, dict(zip(names, theta)), (x,))

    J = torch.cat([j.flatten(2) for j in jacrev(outputs, argnums=tuple(range(len(names))))(*theta)], -1)
    hessians = jacrev(jacrev(lambda f: -(w * likelihood.log_density(f, y)).sum() / w.sum()))(outputs(*theta))
    inner = torch.stack([hessians[m, :, m] for m in range(40)])  # of these likelihoods, the Fisher times w/Σ w
    dense = torch.einsum("mia,mij,mjb->ab", J, inner, J)
    before = parameters(model)
    control = ConjugateGradient(steps=200, damped=False)
    opt = NGD(model, likelihood, lr=0.1, damping=1e-3, samples=None, control=control)
    likelihood(model(x), y, weight=w).backward()
    g = torch.cat([p.grad.flatten() for p in model.parameters()])
    opt.step()
    torch.testing.assert_close(dense @ (parameters(model) - before), -0.1 * g, rtol=1e-5, atol=1e-7)


def test_factors_of_a_weighted_loss() -> None:
    """Through the rule that is nothing but the factors: one layer, G = Λ̃ ΔW Λ."""
    model, x, w = network([4, N]), batch(M, 4), torch.arange(M).remainder(3).double()
    y, likelihood = targets(Gaussian(), M), Gaussian(0.3)
    opt, before = NGD(model, likelihood, damping=0.0, samples=None), parameters(model)
    likelihood(model(x), y, weight=w).backward()
    G = torch.cat([model[0].weight.grad, model[0].bias.grad.unsqueeze(1)], 1)
    X = torch.cat([x, torch.ones(M, 1).double()], 1)
    opt.step()
    W = torch.cat([model[0].weight, model[0].bias.unsqueeze(1)], 1).detach()
    change = W - torch.cat([before[: 4 * N].view(N, 4), before[4 * N :].unsqueeze(1)], 1)
    torch.testing.assert_close(change @ (X.mT * w @ X / w.sum()) / 0.3, -G)


def test_parts_of_a_batch_keep_their_weights() -> None:
    """Factors of the first 8 examples of two passes, and a probe of the first 16 of both: like copies."""
    x, y, copies = batch(M, 4), targets(Gaussian(), M), torch.arange(M) % 4 + 1
    found = []
    for repeats in (torch.ones(M, dtype=torch.int64), copies):
        model, total = network([4, 6, N]), copies.sum()
        control = ExactLineSearch(rows=int(repeats[:16].sum()))
        opt = NGD(model, Gaussian(), samples=None, factors=Factors(rows=int(repeats[:8].sum())), control=control)
        for rows in (slice(10), slice(10, None)):
            inputs, outputs = (a[rows].repeat_interleave(repeats[rows], 0) for a in (x, y))
            w = (copies // repeats)[rows].repeat_interleave(repeats[rows], 0)
            (copies[rows].sum() / total * Gaussian()(model(inputs), outputs, weight=w)).backward()
        opt.step()
        found.append(parameters(model))
    same(*found)


class Shortening(nn.Module):
    """`[M, 6, 4]` to `[M, 4, N]`: 6 positions for the first layer, 4 for the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, N)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).tanh().unfold(1, 3, 1).mean(-1))


def test_positions_that_are_not_those_of_the_output_share_the_weight_of_the_example() -> None:
    model, x, w = Shortening().double(), batch(M * 6, 4).view(M, 6, 4), batch(M, 4).square()
    opt = NGD(model, Gaussian(), factors=Factors(decay=0.5))
    Gaussian()(model(x), targets(Gaussian(), M, 4), weight=w).backward()
    opt.step()
    X = torch.cat([x, torch.ones(M, 6, 1).double()], -1)
    expected = torch.einsum("m,mti,mtj->ij", w.sum(1), X, X) / (6 * w.sum())
    torch.testing.assert_close(full(opt.state[model.first.weight]["Lambda"]), expected)


def test_sampled_errors_are_weighted_as_exact_ones() -> None:
    """Λ̃ of 4000 targets per example, within 5 % of the exact one."""
    found = []
    for samples in (None, 4000):
        model = network([4, 6, N])
        opt = NGD(model, Gaussian(), samples=samples, factors=Factors(decay=0.5))
        Gaussian()(model(batch(M, 4)), targets(Gaussian(), M), weight=batch(M, 1)[:, 0].square()).backward()
        opt.step()
        found.append(full(opt.state[model[0].weight]["Lambda_tilde"]))
    torch.testing.assert_close(*found, rtol=0, atol=0.05 * float(found[0].abs().max()))


def test_certain_rows_count_where_the_likelihood_computes_the_loss() -> None:
    """Their gradients are 0 exactly, as those of padding are; a loss of one's own cannot tell these from those."""

    def step(loss: Loss) -> Tensor:
        model = network([1, 1], bias=False).float()
        with torch.no_grad():
            model[0].weight.fill_(1.0)
        opt = NGD(model, Bernoulli(), damping=0.0, samples=None)
        loss(model(torch.tensor([[50.0], [1.0]])), torch.ones(2, 1)).backward()
        opt.step()
        return parameters(model) - 1

    all_rows = step(Bernoulli())
    p = torch.tensor([50.0, 1.0]).sigmoid()
    x = torch.tensor([50.0, 1.0])
    torch.testing.assert_close(all_rows, (((1 - p) * x).mean() / ((p * (1 - p)).mean() * x.square().mean())).view(1))
    alone = step(lambda f, y: F.binary_cross_entropy_with_logits(f, y))
    assert alone > 100 * all_rows


class TimeFirst(nn.Module):
    """`[M, T, 4]` to `[M, N]` by way of `[T, M, 5]`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, N)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x.transpose(0, 1)).tanh().mean(0))


@pytest.mark.what_if(
    "batches", "a layer mixes up the rows of weighted examples", "ValueError: “'first'…not along the first axis”"
)
def test_inputs_whose_rows_are_not_those_of_the_examples_are_refused() -> None:
    torch.manual_seed(0)
    model, x = TimeFirst().double(), batch(M * 7, 4).view(M, 7, 4)
    y, _ = targets(Gaussian(), M), NGD(model, Gaussian())
    Gaussian()(model(x), y).backward()
    with pytest.raises(ValueError, match="'first'.*not along the first axis"):
        Gaussian()(model(x), y, weight=torch.arange(M) < 9).backward()


def test_a_likelihood_behind_something_else_counts_all_rows(preset: Callable[..., NGD]) -> None:
    """What autograd sends back through a decoder, here positive numbers, is no weight of rows."""
    x, y = batch(M, 4), targets(Gaussian(), M)

    def decoder(f: Tensor) -> Tensor:
        return nn.functional.softplus(f) * torch.arange(1, N + 1) / 10

    plain = trained(preset, Gaussian(), x, [lambda f, k: 0.5 * (decoder(f) - y).square().sum(-1).mean()])
    same(trained(preset, Gaussian(), x, [lambda f, k: Gaussian()(decoder(f), y)]), plain)


def test_factors_do_not_depend_on_passes_of_which_nothing_is_told() -> None:
    model, x = network([4, 6, N]), batch(M, 4)
    expected = kronecker_factors(model, Gaussian(), x)
    _ = NGD(model, Gaussian())
    torch.testing.assert_close(kronecker_factors(model, Gaussian(), x), expected)
