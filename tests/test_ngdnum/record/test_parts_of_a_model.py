"""Parts that take no part: experts without examples, what was frozen, thawed, replaced or sharded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.tensor import DeviceMesh, distribute_tensor

from ngdnum import NGD, Gaussian
from support.networks import batch, network
from support.training import expect, step, weights

torch.set_num_threads(1)
PRESETS = [NGD.paper, NGD.fast, NGD.sample_efficient]


class Experts(nn.Module):
    """Each example goes to one of the `used` experts; the others are called, too, with none."""

    def __init__(self, count: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.used = nn.Linear(4, 6), nn.Linear(5, 3), 2
        self.experts = nn.ModuleList(nn.Linear(6, 5) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        x, route = self.first(x), (x[:, 0] > 0.5).long() % self.used
        rows = [(route == k).nonzero().flatten() for k in range(len(self.experts))]
        parts = [expert(x[own]) for expert, own in zip(self.experts, rows)]
        return self.last(x.new_zeros(len(x), 5).index_add(0, torch.cat(rows), torch.cat(parts)).tanh())


@pytest.mark.what_if("models", "an expert gets no examples in a batch", "it stays as it is, and nothing else changes")
@pytest.mark.parametrize("preset", PRESETS)
def test_experts_without_examples_change_nothing(preset: Callable[..., NGD]) -> None:
    """Steps are those of the model that has only experts with examples; later, another expert has none."""
    models = [Experts(2).double(), Experts(3).double()]
    models[1].load_state_dict(models[0].state_dict(), strict=False)
    optimizers = [preset(model, Gaussian(), samples=None) for model in models]
    idle = weights(models[1].experts[2])
    for used in (2, 2, 1, 2):
        x, y = batch(30, 4, seed=used), batch(30, 3)
        for model, opt in zip(models, optimizers):
            model.used = used
            opt.zero_grad()
            Gaussian()(model(x), y).backward()
            opt.step()
        found = weights(models[1])
        for name, expected in weights(models[0]).items():
            torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12)
    assert all(map(torch.equal, weights(models[1].experts[2]).values(), idle.values()))


@pytest.mark.what_if(
    "models",
    "a frozen layer is thawed after `NGD` was built",
    "RuntimeError: “gradients: 0.weight, 0.bias; … build a new NGD”; no weight moves",
)
@pytest.mark.parametrize("preset", PRESETS)
def test_thawing_a_layer_asks_for_a_new_optimizer(preset: Callable[..., NGD]) -> None:
    model = network([4, 5, 3])
    model[0].requires_grad_(False)
    opt = preset(model, Gaussian())
    for k in range(5):
        step(model, opt, Gaussian(), batch(30, 4, k), batch(30, 3))
    model[0].requires_grad_(True)
    opt.zero_grad()
    Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
    expect(RuntimeError, "gradients: 0.weight, 0.bias; .* build a new NGD", model, opt.step)


@pytest.mark.what_if(
    "models",
    "a layer is put in after `NGD` was built",
    "RuntimeError: “gradients: 2.weight, 2.bias; … build a new NGD”; no weight moves",
)
def test_a_layer_put_in_later_is_noticed() -> None:
    model = network([4, 5, 3])
    opt = NGD.fast(model, Gaussian(), fallback=torch.optim.SGD)
    model[2] = nn.Linear(5, 3).double()
    Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
    expect(RuntimeError, "gradients: 2.weight, 2.bias; .* build a new NGD", model, opt.step)


@pytest.mark.what_if(
    "models", "a layer is frozen in the middle of training", "it stands still, the others go on; thawed, it goes on"
)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_frozen_layer_stands_still_and_goes_on(preset: Callable[..., NGD]) -> None:
    model = network([4, 5, 3])
    opt = preset(model, Gaussian())
    moved = []
    for frozen in (False, True, True, False):
        model[0].requires_grad_(not frozen)
        change = step(model, opt, Gaussian(), batch(30, 4), batch(30, 3))
        moved.append((bool(change[:25].any()), bool(change[25:].any())))
    assert moved == [(True, True), (False, True), (False, True), (True, True)]


@pytest.mark.what_if(
    "gradients and steps",
    "weight or bias of a layer has no gradient, the other one has",
    "RuntimeError: “' has no gradient, but the rest of its layer has one”",
)
@pytest.mark.parametrize(("name", "frozen"), [("0.bias", "bias"), ("0.weight", "weight")])
def test_half_a_layer_cannot_be_frozen_later(name: str, frozen: str) -> None:
    model = network([4, 5, 3])
    opt = NGD.fast(model, Gaussian())
    getattr(model[0], frozen).requires_grad_(False)
    Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
    expect(RuntimeError, f"'{name}' has no gradient, but the rest of its layer has one", model, opt.step)


@pytest.fixture
def one_process() -> object:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    torch.distributed.destroy_process_group()


def test_sharded_weights_are_refused_by_name(one_process: DeviceMesh) -> None:
    model = network([4, 5, 3])
    model[0].weight = nn.Parameter(distribute_tensor(model[0].weight.detach(), one_process))
    with pytest.raises(
        ValueError, match=r"'0.weight' is a DTensor, .* DistributedDataParallel in the place of fully_shard"
    ):
        NGD.fast(model, Gaussian())


class FullyShardedDataParallel(nn.Sequential):
    """What torch's class of this name is to the optimizer: a module somewhere in the model."""


@pytest.mark.what_if(
    "several processes",
    "the model is in FullyShardedDataParallel",
    "ValueError: “FullyShardedDataParallel keeps parts of them”",
)
def test_models_in_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="FullyShardedDataParallel keeps parts of them"):
        NGD.fast(nn.Sequential(FullyShardedDataParallel(nn.Linear(4, 3))), Gaussian())
