"""Convolutions as matrices, layers that act at several positions or several times, outputs with positions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev
from torch.nn import functional as F

from ngdnum import NGD, Categorical, Factors, Gaussian, kronecker_factors
from ngdnum.layers import trainable_layers
from ngdnum.stack import stacks
from support.networks import batch, close, images, output_jacobians

torch.set_num_threads(1)
Factor = dict[str, tuple[Tensor, Tensor]]


GEOMETRY = [
    {},
    {"stride": 2},
    {"padding": 2},
    {"padding": "same"},
    {"padding": "same", "kernel_size": 4},
    {"padding": "same", "dilation": 2, "kernel_size": 4},
    {"padding": "valid", "dilation": 2},
    {"padding": 1, "padding_mode": "circular", "stride": 2},
    {"padding": "same", "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "bias": False},
    {"groups": 2, "stride": 2},
    {"groups": 4, "padding": 1, "bias": False},
]


@pytest.mark.parametrize("options", GEOMETRY, ids=str)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_convolution_is_its_matrix_times_its_rows(dims: int, options: dict) -> None:
    torch.manual_seed(0)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    module = kind(4, 8, **{"kernel_size": 3} | options).double()
    x = images(2, 4, *(7, 8, 9)[:dims])
    ((layer,), others) = trainable_layers(module)
    W = layer.matrix(*layer.parameters)
    rows = layer.homogeneous(layer.input_rows(x))
    torch.testing.assert_close(rows @ W.mT, layer.output_rows(module(x)))
    assert W.shape[-2:] == layer.shape and not others
    torch.testing.assert_close(layer.pieces(W), tuple(p.detach() for p in module.parameters()))


@pytest.mark.parametrize("kernel", [(3, 2), (1, 3)], ids=str)
def test_kernels_may_differ_between_the_axes(kernel: tuple[int, int]) -> None:
    module = nn.Conv2d(2, 3, kernel, stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False).double()
    x = images(2, 2, 7, 8)
    ((layer,), _) = trainable_layers(module)
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
    torch.testing.assert_close(layer.input_rows(x), F.unfold(x, kernel, **options).mT.flatten(0, 1))


def cnn() -> nn.Sequential:
    """The last convolution has one position."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 4, 2)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(4, 3)).double()


def per_example(model: nn.Sequential, k: int, x: Tensor, reduce: bool) -> tuple[Tensor, Tensor]:
    """Factors of the convolution `model[k]` for a Gaussian, one example and one position after the other."""
    module, lambda_tilde, lambda_ = model[k], 0, 0
    for example in x.unsqueeze(1):
        inputs = model[:k](example).detach()
        jacobian = jacrev(lambda v: model[k + 1 :](v)[0])(model[: k + 1](example).detach())
        errors = jacobian.flatten(3).squeeze(1)  # [n_L, n, T]
        patches = F.unfold(inputs, module.kernel_size)[0]  # [m, T]
        patches = torch.cat([patches, torch.ones_like(patches[:1])])
        if reduce:
            errors, patches = errors.sum(-1, keepdim=True), patches.mean(-1, keepdim=True)
        lambda_tilde = lambda_tilde + torch.einsum("rit,rjt->ij", errors, errors) / len(x)
        lambda_ = lambda_ + patches @ patches.mT / patches.shape[1] / len(x)
    return lambda_tilde, lambda_


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_factors_of_convolutions_are_sums_over_examples_and_positions(sharing: str) -> None:
    model, x = cnn(), images(5, 2, 3, 3)
    factors = kronecker_factors(model, Gaussian(), x, kfac_approx=sharing)
    assert list(factors) == ["0", "2", "4"]
    for k in (0, 2):
        torch.testing.assert_close(factors[str(k)], per_example(model, k, x, sharing == "reduce"))


def test_both_ways_to_share_agree_for_one_position_only() -> None:
    x = images(5, 2, 3, 3)
    expand, reduce = (kronecker_factors(cnn(), Gaussian(), x, kfac_approx=s) for s in ("expand", "reduce"))
    for name in ("2", "4"):
        torch.testing.assert_close(expand[name], reduce[name])
    assert not torch.allclose(expand["0"][0], reduce["0"][0])


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_a_convolution_is_a_linear_layer_on_patches(sharing: str, samples: int | None) -> None:
    """Factors of a layer on sequences `[M, T, m]`, and steps with them."""

    class Patches(nn.Module):
        def __init__(self, source: nn.Sequential) -> None:
            super().__init__()
            self.add_module("0", nn.Linear(8, 3).double())
            self.add_module("3", source[3])
            conv, linear = source[0], self.get_submodule("0")
            linear.load_state_dict({"weight": conv.weight.flatten(1), "bias": conv.bias})

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.get_submodule("0")(F.unfold(x, 2).mT).tanh()
            return self.get_submodule("3")(hidden.mT.flatten(1))

    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)).double()
    linear, x, y = Patches(conv), images(6, 2, 3, 3), images(6, 2, seed=2)
    conv[3] = nn.Linear(12, 2).double()
    conv[3].load_state_dict(linear.get_submodule("3").state_dict())
    close(*(kronecker_factors(model, Gaussian(), x, kfac_approx=sharing) for model in (conv, linear)))
    for model in (conv, linear):
        opt = NGD(model, Gaussian(), damping=0.1, samples=samples, factors=Factors(kfac_approx=sharing))
        opt.generator.manual_seed(0)
        Gaussian()(model(x), y).backward()
        opt.step()
    weight = linear.get_submodule("0").weight
    torch.testing.assert_close(conv[0].weight.flatten(1), weight)
    torch.testing.assert_close(conv[0].bias, linear.get_submodule("0").bias)


@pytest.mark.parametrize("rule", ["kronecker", "fisher_shampoo", "sgd"])
def test_a_convolution_in_groups_is_one_convolution_per_group(rule: str) -> None:
    class Apart(nn.Module):
        def __init__(self, source: nn.Conv2d, last: nn.Linear) -> None:
            super().__init__()
            self.parts, self.last = nn.ModuleList(nn.Conv2d(2, 3, 2).double() for _ in range(2)), last
            for part, w, b in zip(self.parts, source.weight.chunk(2), source.bias.chunk(2)):
                part.load_state_dict({"weight": w, "bias": b})

        def forward(self, x: Tensor) -> Tensor:
            parts = [part(piece) for part, piece in zip(self.parts, x.chunk(2, 1))]
            return self.last(torch.cat(parts, 1).tanh().flatten(1))

    torch.manual_seed(0)
    together = nn.Sequential(nn.Conv2d(4, 6, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 2)).double()
    apart, x, y = Apart(together[0], together[3]), images(6, 4, 3, 3), images(6, 2, seed=2)
    lambda_tilde, lambda_ = kronecker_factors(together, Gaussian(), x)["0"]
    assert lambda_tilde.shape == (2, 3, 3) and lambda_.shape == (2, 9, 9)
    separate = kronecker_factors(apart, Gaussian(), x)
    for g in range(2):
        torch.testing.assert_close((lambda_tilde[g], lambda_[g]), separate[f"parts.{g}"])
    steps = []
    for model, depth in ((together, 2), (apart, 3)):
        together.zero_grad()
        before = [p.detach().clone() for p in model.parameters()]
        lr = 0.1 if rule == "sgd" else 0.1 * depth
        opt = NGD(model, Gaussian(), lr=lr, rule=rule, damping=0.1, samples=None)
        Gaussian()(model(x), y).backward()
        opt.step()
        steps.append([p.detach() - b for p, b in zip(model.parameters(), before)])
        for p, b in zip(model.parameters(), before):
            p.data.copy_(b)
    weight = torch.cat([steps[1][0], steps[1][2]]), torch.cat([steps[1][1], steps[1][3]])
    torch.testing.assert_close(tuple(steps[0][:2]), weight)


def test_layers_with_and_without_groups_are_not_stacked_for_matrices_of_one_shape() -> None:
    layers, _ = trainable_layers(nn.ModuleList([nn.Conv1d(2, 3, 2), nn.Conv1d(4, 6, 2, groups=2)]))
    assert layers[0].shape == layers[1].shape and len(stacks(dict(enumerate(layers)))) == 2


@pytest.mark.parametrize("kind", ["conv1d", "conv2d", "conv3d"])
def test_with_one_position_the_undamped_step_of_a_convolution_is_exact(kind: str) -> None:
    """The kernel covers the image: F = Λ ⊗ Λ̃, and the step solves linear regression."""
    dims = int(kind[4])
    torch.manual_seed(0)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](2, 3, 2)
    model = nn.Sequential(conv, nn.Flatten()).double()
    x, y = images(60, 2, *[2] * dims), images(60, 3, seed=2)
    ((lambda_tilde, lambda_),) = kronecker_factors(model, Gaussian(0.5), x).values()
    jacobians = output_jacobians(model, x)
    jacobian = torch.cat([jacobians["0.weight"].flatten(3), jacobians["0.bias"].unsqueeze(-1)], -1)
    jacobian = jacobian.mT.flatten(2)  # column-stacking vec
    fisher = torch.einsum("mip,miq->pq", jacobian, jacobian) / 0.5 / len(x)
    torch.testing.assert_close(torch.kron(lambda_, lambda_tilde), fisher)

    opt = NGD(model, Gaussian(0.5), damping=0.0, samples=None)
    loss = Gaussian(0.5)(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    loss.backward()
    (stack,) = stacks(dict(enumerate(opt.layers)))
    expected = torch.cat([gradients[0].flatten(1), gradients[1].unsqueeze(1)], 1)
    torch.testing.assert_close(stack.gradient(), -expected)
    opt.step()
    solution = torch.linalg.lstsq(torch.cat([x.flatten(1), torch.ones(60, 1, dtype=x.dtype)], 1), y).solution
    torch.testing.assert_close(conv.weight.flatten(1), solution[:-1].mT)
    torch.testing.assert_close(conv.bias, solution[-1])


@pytest.mark.parametrize("build", [lambda: Factors(kfac_approx="sum"), lambda: Factors(kfac_approx=None)])
def test_unknown_ways_to_share_are_refused(build: object) -> None:
    with pytest.raises(ValueError, match='kfac_approx must be "expand" or "reduce"'):
        build()


def test_a_convolutional_network_is_trained_by_every_part() -> None:
    """Fisher products, momentum and inverses in float32, grouped and channels-last weights included."""
    torch.manual_seed(0)
    x = torch.randn(100, 2, 6, 6).to(memory_format=torch.channels_last)
    y = (x[:, 0].mean((1, 2)) > 0).long()
    for options in ({}, {"factors": Factors(kfac_approx="reduce")}, {"samples": None}):
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(4, 4, 3, groups=4, stride=2, bias=False),
            nn.Tanh(),
            nn.Conv2d(4, 2, 2),
            nn.Flatten(),
        ).to(memory_format=torch.channels_last)
        opt = NGD.fast(model, Categorical(), **options)
        for _ in range(30):
            opt.zero_grad()
            loss = Categorical()(model(x), y)
            loss.backward()
            opt.step()
        assert loss < 0.05


class Scaled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, 3 * self.weight, self.bias)


class Masked(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.tril(), self.bias)


class Standardised(nn.Conv1d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight - weight.mean((1, 2), keepdim=True), bias)


class Renamed(nn.Linear):
    """The same computation under a name of its own."""


def changed() -> nn.Linear:
    module = nn.Linear(4, 4)
    module.forward = lambda x: F.linear(x, module.weight).tanh()
    return module


ODD = [lambda: Scaled(4, 4), lambda: Masked(4, 4), lambda: Standardised(4, 4, 3, padding=1), changed]


@pytest.mark.parametrize("odd", ODD)
def test_a_module_that_computes_something_else_is_not_taken_for_the_layer_it_is_derived_from(odd: Callable) -> None:
    """The fallback optimizer updates it; the plain layer gets the step that it gets if the odd one is a constant."""
    torch.manual_seed(0)
    module = odd()
    mixed = nn.Unflatten(1, (4, 1)) if isinstance(module, nn.Conv1d) else nn.Identity()
    model = nn.Sequential(mixed, module, nn.Flatten(), nn.Linear(4, 3)).double()
    x, y = batch(30, 4), batch(30, 3, seed=2)
    with pytest.raises(ValueError, match=r"forward of their own, or shared: 1\.weight, 1\.bias"):
        NGD(model, Gaussian())
    plain = nn.Sequential(nn.Linear(4, 3)).double()
    plain[0].load_state_dict(model[3].state_dict())
    hidden = model[:3](x).detach()
    before = module.weight.detach().clone()
    opt = NGD.fast(model, Gaussian(), samples=None, fallback=lambda p: torch.optim.SGD(p, lr=0.1))
    assert [layer.name for layer in opt.layers] == ["3"]
    reference = NGD.fast(plain, Gaussian(), samples=None)
    Gaussian()(model(x), y).backward()
    gradient = module.weight.grad.clone()
    opt.step()
    Gaussian()(plain(hidden), y).backward()
    reference.step()
    torch.testing.assert_close(model[3].state_dict(), plain[0].state_dict())
    torch.testing.assert_close(module.weight.detach(), before - 0.1 * gradient)


@pytest.mark.what_if(
    "models",
    "a subclass of a layer computes something else (masked weights, weight standardisation)",
    "ValueError: “what these compute is not torch's own forward: 0 (Masked), 1 (Scaled)”",
)
def test_a_model_of_nothing_else_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"what these compute is not torch's own forward: 0 \(Masked\), 1 \(Scaled\)"):
        NGD(nn.Sequential(Masked(4, 4), Scaled(4, 3)), Gaussian())


def test_a_derived_class_without_a_forward_of_its_own_is_the_layer() -> None:
    torch.manual_seed(0)
    model, x = Renamed(4, 3).double(), batch(6, 4)
    plain = nn.Linear(4, 3).double()
    plain.load_state_dict(model.state_dict())
    close(*(kronecker_factors(m, Gaussian(), x) for m in (model, plain)))
