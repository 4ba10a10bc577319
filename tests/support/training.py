"""Steps of an optimizer, and what they have changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Gaussian, Likelihood
from support.networks import batch, targets


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(tensor.equal(second[name]) for name, tensor in first.items())


def train(model: nn.Module, opt: NGD, steps: range, likelihood: Likelihood | None = None) -> None:
    likelihood = likelihood or Gaussian()
    for k in steps:
        opt.zero_grad()
        likelihood(model(batch(30, 4, k)), targets(likelihood, 30, 1000 + k)).backward()
        opt.step()


def parameters(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def gradient(model: nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def step(model: nn.Module, opt: NGD, likelihood: Likelihood, x: Tensor, y: Tensor) -> Tensor:
    """Take one step; return the change of the parameters."""
    before = parameters(model)
    opt.zero_grad()
    likelihood(model(x), y).backward()
    opt.step()
    return parameters(model) - before


def expect(error: type[Exception], message: str, model: nn.Module, action: object) -> None:
    """`action` raises and changes no weight."""
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(error, match=message):
        action()
    for p, b in zip(model.parameters(), before, strict=True):
        assert p.equal(b)


def measured(opt: NGD) -> list[tuple[Tensor, Tensor]]:
    """Λ̃ and Λ of each layer: after the first step, running means are what was measured."""
    return [(kept["Lambda_tilde"], kept["Lambda"]) for kept in opt.state.values() if "Lambda" in kept]


def expect_nothing_collected(opt: NGD) -> None:
    """No pass has told the optimizer anything since the last step."""
    with pytest.raises(RuntimeError, match=r"call backward\(\) on a loss of the model's output"):
        opt.step()
