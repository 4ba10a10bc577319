"""Parts that take no part: experts without examples, what was frozen, thawed, replaced or sharded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.distributed
import torch.nn.utils.prune
from torch import Tensor, nn
from torch.distributed.tensor import DeviceMesh, distribute_tensor

from ngdnum import NGD, Gaussian
from support.networks import batch, network
from support.training import expect, step, train, weights

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
    "models",
    "weights are pruned, parametrized or replaced after `NGD` was built",
    "an error that names them and asks for a new NGD; no weight moves",
)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize(
    "replace",
    [
        lambda model: setattr(model, "2", nn.Linear(5, 3).double()),
        lambda model: setattr(model[2], "weight", nn.Parameter(model[2].weight.detach().clone())),
        lambda model: model.load_state_dict(network([4, 5, 3], seed=1).state_dict(), assign=True),
        lambda model: nn.utils.prune.l1_unstructured(model[2], "weight", amount=0.5),
        lambda model: nn.utils.parametrizations.weight_norm(model[2]),
    ],
    ids=["module", "weight", "assign", "pruned", "parametrized"],
)
def test_replaced_weights_are_named_at_once(preset: Callable[..., NGD], steps: int, replace: Callable) -> None:
    """Also in a step in which no factors are measured."""
    model = network([4, 5, 3])
    opt = preset(model, Gaussian())
    train(model, opt, range(steps))
    replace(model)
    model.zero_grad()
    expect((RuntimeError, ValueError), "2.*build a new NGD", model, lambda: train(model, opt, range(1)))


@pytest.mark.what_if("models", "a layer has no inputs", "the fallback optimizer has its bias; without one: ValueError")
@pytest.mark.parametrize("preset", PRESETS)
def test_layers_without_inputs(preset: Callable[..., NGD]) -> None:
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(0, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x[:, :0])

    model = Biased().double()
    with pytest.raises(ValueError, match="b.weight, b.bias"):
        preset(model, Gaussian())
    opt = preset(model, Gaussian(), fallback=lambda p: torch.optim.SGD(p, lr=0.1))
    before = weights(model)
    step(model, opt, Gaussian(), batch(30, 4), batch(30, 3))
    assert all(p.numel() == 0 or not p.equal(before[name]) for name, p in model.named_parameters())


@pytest.mark.what_if("models", "a model has no outputs", "ValueError: “model's output must be a tensor [M, n_L]”")
def test_models_without_outputs() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 0)).double()
    opt = NGD.fast(model, Gaussian(), fallback=lambda p: torch.optim.SGD(p, lr=0.1))
    with pytest.raises(ValueError, match=r"model's output must be a tensor \[M, n_L\]"):
        step(model, opt, Gaussian(), batch(30, 4), batch(30, 0))


@pytest.mark.what_if(
    "models",
    "a model is traced or exported for use elsewhere while `NGD` is there",
    "it works; for `torch.jit.script`, AttributeError: “torch.jit.script compiles hooks”",
)
def test_models_are_traced_and_exported_without_hooks() -> None:
    model, x = network([4, 5, 3]), batch(30, 4)
    opt = NGD.fast(model, Gaussian())
    expected = model(x)
    assert torch.equal(torch.jit.trace(model, x)(x), expected)
    assert torch.equal(torch.export.export(model, (x,)).module()(x), expected)
    with pytest.raises(AttributeError, match="torch.jit.script compiles hooks"):
        torch.jit.script(model)
    step(model, opt, Gaussian(), x, batch(30, 3))


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
