"""Forward derivatives of chains of linear layers and elementwise functions, which need no dual numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ExactLineSearch, Gaussian, Likelihood
from ngdnum.fisher.primal import Call, Fisher
from ngdnum.stack import Stack, stacks
from support.networks import LIKELIHOODS, batch, targets

torch.set_num_threads(1)


def calls(model: nn.Module, likelihood: Likelihood, x: Tensor) -> tuple[list[Stack], list[Call]]:
    """What NGD keeps of two passes, to ask for their Fisher."""
    opt = NGD(model, likelihood, control=ExactLineSearch(rows=7))
    for part in (x[:3], x[3:]):
        likelihood(model(part), targets(likelihood, len(part), 0)).backward()
    return stacks(dict(enumerate(opt.layers))), opt._batch.calls


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
    stacked, kept = calls(model, likelihood, batch(9, 4).view(9, 2, 2))
    assert [[(k, len(link.x)) for k, link in call.chain.items()] for call in kept] == [
        [(k, rows) for k in range(3)] for rows in (3, 4)
    ]
    check_without_dual_numbers(model, likelihood, stacked, kept, monkeypatch)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_elementwise_functions_between_layers_need_none_either(
    activation: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(nn.Linear(4, 5), activation, nn.Linear(5, 5), activation, nn.Linear(5, 3)).double()
    stacked, kept = calls(model, Gaussian(), 3 * batch(9, 4))
    assert all(list(call.chain) == [0, 1, 2] for call in kept)
    check_without_dual_numbers(model, Gaussian(), stacked, kept, monkeypatch)


def check_without_dual_numbers(
    model: nn.Module, likelihood: Likelihood, stacked: list[Stack], kept: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = [[torch.randn_like(stack.weight()) for stack in stacked] for _ in range(2)]
    expected = Fisher(model, likelihood, stacked, [call._replace(chain={}) for call in kept]).inner(vectors)
    monkeypatch.delattr("torch.autograd.forward_ad.make_dual")
    torch.testing.assert_close(Fisher(model, likelihood, stacked, kept).inner(vectors), expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_a_chain_behind_what_autocast_has_rounded(likelihood: Likelihood) -> None:
    """The step keeps the precision of the weights, whatever that of the inputs of the layers was."""
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), batch(9, 4).float()
    model[0].requires_grad_(False)
    opt, y = NGD(model, likelihood, control=ExactLineSearch()), targets(likelihood, 9, 0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = likelihood(model(x), y.float() if y.is_floating_point() else y)
    loss.backward()
    chain = opt._batch.calls[0].chain
    assert list(chain) == [0, 1] and {link.x.dtype for link in chain.values()} == {torch.bfloat16}
    opt.step()
    assert opt.steps == 1


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
    stacked, kept = calls(model, Gaussian(), batch(9, 4))
    assert [call.chain for call in kept] == [{}, {}]
