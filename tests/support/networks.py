"""Networks, batches and likelihoods that the tests share, and dense references by autodiff."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from ngdnum import Bernoulli, Categorical, Gaussian, Likelihood

COVARIANCE = torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 2.0]], dtype=torch.float64)


LIKELIHOODS = [Gaussian(), Gaussian(0.1), Gaussian(COVARIANCE), Categorical(), Bernoulli()]


def network(sizes: list[int], bias: bool = True, activation: type[nn.Module] = nn.Tanh, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.Linear(*pair, bias=bias) for pair in zip(sizes, sizes[1:])]
    net = nn.Sequential(*[m for layer in layers for m in (layer, activation())][:-1]).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def batch(count: int, size: int, seed: int = 1) -> Tensor:
    return torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.5


def images(count: int, *shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, dtype=torch.float64, generator=generator) + 0.5


def targets(likelihood: Likelihood, count: int, seed: int = 2) -> Tensor:
    y = batch(count, 3, seed)
    if isinstance(likelihood, Categorical):
        return y.argmax(1)
    return (y > 0).double() if isinstance(likelihood, Bernoulli) else y


def output_jacobians(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """∂f_m/∂θ `[M, n_L, *θ.shape]`."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    return jacrev(lambda p: functional_call(model, p, (x,)))(parameters)


def dense_fisher(model: nn.Module, likelihood: Likelihood, x: Tensor) -> Tensor:
    """F in the order of `model.parameters()`, flattened, from per-example Jacobians."""
    jacobians = output_jacobians(model, x)
    J = torch.cat([jacobians[name].flatten(2) for name, _ in model.named_parameters()], 2)
    root = likelihood.fisher_root(model(x).detach())
    return torch.einsum("mip,rmi,rmj,mjq->pq", J, root, root, J) / len(x)


def close(first: dict[str, tuple[Tensor, Tensor]], second: dict[str, tuple[Tensor, Tensor]]) -> None:
    assert first.keys() == second.keys()
    for name, pair in first.items():
        torch.testing.assert_close(pair, second[name])


class TwoMethods:
    """The least a likelihood can be: sampled factors work, exact ones cannot."""

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        return -0.5 * (output - target).square().sum(1)

    def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return output + torch.randn(output.shape, generator=generator, dtype=output.dtype)
