"""Forward derivatives of chains of linear layers and elementwise functions, which need no dual numbers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ExactLineSearch, Gaussian, Likelihood
from ngdnum.control import Step, StepContext
from ngdnum.stack import Stack
from support.networks import LIKELIHOODS, batch, targets

torch.set_num_threads(1)


@dataclass(frozen=True)
class Asking(ExactLineSearch):
    """Notes whether the model need not run again for its Fisher, and what that is along the same vectors each time."""

    answers: list[tuple[bool, list[list[float]]]] = field(default_factory=list)

    def move(self, stacks: list[Stack], directions: Any, velocity: Any, context: StepContext) -> Step:
        torch.manual_seed(1)
        vectors = [[torch.randn_like(stack.weight()) for stack in stacks] for _ in range(2)]
        self.answers.append((context.linked, context.fisher().inner(vectors)))
        return super().move(stacks, directions, velocity, context)


def asked(model: nn.Module, likelihood: Likelihood, x: Tensor) -> tuple[bool, list[list[float]]]:
    """What a control is told in a step of two passes, of which it has 7 examples."""
    control = Asking(rows=7)
    opt = NGD(model, likelihood, control=control, samples=None)
    for part in (x[:3], x[3:]):
        likelihood(model(part), targets(likelihood, len(part), 0)).backward()
    opt.step()
    return control.answers[0]


ACTIVATIONS = [
    nn.CELU(),
    nn.ELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.Hardsigmoid(),
    nn.Hardswish(),
    nn.Hardtanh(),
    nn.Identity(),
    nn.LeakyReLU(0.3),
    nn.LogSigmoid(),
    nn.Mish(),
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.SELU(),
    nn.Sigmoid(),
    nn.SiLU(),
    nn.Softplus(2.0),
    nn.Tanh(),
]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_chains_of_linear_layers_need_no_dual_numbers(likelihood: Likelihood, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a frozen bias, and a model that changes its input first."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 3)).double()
    model[3].bias.requires_grad_(False)
    check_without_dual_numbers(model, likelihood, batch(9, 4).view(9, 2, 2), monkeypatch)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_elementwise_functions_between_layers_need_none_either(
    activation: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(nn.Linear(4, 5), activation, nn.Linear(5, 5), activation, nn.Linear(5, 3)).double()
    check_without_dual_numbers(model, Gaussian(), 3 * batch(9, 4), monkeypatch)


def check_without_dual_numbers(
    model: nn.Module, likelihood: Likelihood, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Fisher is that of a twin with a hook that changes nothing, but of which nobody knows that."""
    twin = copy.deepcopy(model)
    twin[-1].register_forward_hook(lambda module, inputs, output: output.clone())
    by_dual_numbers, expected = asked(twin, likelihood, x)
    monkeypatch.delattr("torch.autograd.forward_ad.make_dual")
    linked, found = asked(model, likelihood, x)
    assert linked and not by_dual_numbers
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_a_chain_behind_what_autocast_has_rounded(likelihood: Likelihood) -> None:
    """The step keeps the precision of the weights, whatever that of the inputs of the layers was."""
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), batch(9, 4).float()
    model[0].requires_grad_(False)
    control, y = Asking(), targets(likelihood, 9, 0)
    opt = NGD(model, likelihood, control=control)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x)
        assert output.dtype == torch.bfloat16
        loss = likelihood(output, y.float() if y.is_floating_point() else y)
    loss.backward()
    opt.step()
    assert opt.steps == 1 and control.answers[0][0]


class Joined(nn.Module):
    """Two layers, and what keeps them from being a chain with elementwise functions between."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.first, self.second = kind, nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        between = {
            "skipped": lambda: z.tanh() + z,
            "earlier": lambda: (2 * z).tanh(),
            "part": lambda: z[:, :3].tanh(),
            "softmax": lambda: z.softmax(-1),
            "output": lambda: z.tanh(),
        }
        found = self.second(between[self.kind]())
        return found.tanh() if self.kind == "output" else found


@pytest.mark.parametrize("between", ["dropout", "hook", "skipped", "earlier", "part", "softmax", "output", "twice"])
def test_whatever_is_not_a_plain_chain_is_differentiated_as_it_is(between: str) -> None:
    model = nn.Sequential(nn.Linear(4, 3), *[nn.Dropout()] * (between == "dropout"), nn.Linear(3, 3)).double()
    if between == "hook":
        model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    elif between == "twice":
        model.append(model[1])
    elif between != "dropout":
        model = Joined(between).double()
    linked, _ = asked(model, Gaussian(), batch(9, 4))
    assert not linked
