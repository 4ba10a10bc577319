"""Saved optimizers and copies: by name, all or nothing, cast to the weights."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ConjugateGradient, Factors, Gaussian, Inverse, OutputNormalised
from support.networks import batch

torch.set_num_threads(1)
ADAM = partial(torch.optim.AdamW, lr=0.02)
PRESETS = {"plain": NGD, "fast": NGD.fast, "sample_efficient": NGD.sample_efficient}


def normed(seed: int = 0, width: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    first, hidden, last = nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 3)
    return nn.Sequential(first, nn.LayerNorm(width), nn.Tanh(), hidden, nn.Tanh(), last).double()


def train(opt: NGD, steps: range) -> Tensor:
    """All parameters after these steps."""
    dtype = next(opt.model.parameters()).dtype
    for k in steps:
        opt.zero_grad()
        Gaussian()(opt.model(batch(30, 4, k).to(dtype)), batch(30, 3, 1000 + k).to(dtype)).backward()
        opt.step()
    return nn.utils.parameters_to_vector(opt.model.parameters()).detach().clone()


def with_model(opt: NGD) -> NGD:
    model, twin = copy.deepcopy((opt.model, opt))
    assert twin.model is model
    return twin


def pickled(opt: NGD) -> NGD:
    model, twin = pickle.loads(pickle.dumps((opt.model, opt)))
    assert twin.model is model
    return twin


@pytest.mark.what_if(
    "checkpoints", "model and optimizer are copied or pickled together", "the copy trains as the original"
)
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("twin_of", [copy.deepcopy, with_model, pickled])
def test_copies_go_on_like_the_original(preset: Callable[..., NGD], twin_of: Callable[[NGD], NGD]) -> None:
    opt = preset(normed(), Gaussian(), fallback=ADAM)
    train(opt, range(5))
    twin = twin_of(opt)
    assert twin.model is not opt.model and twin.fallback is not opt.fallback
    expected = train(opt, range(5, 9))
    assert train(twin, range(5, 9)).equal(expected)


def test_what_is_kept_of_a_layer_is_in_the_state_of_its_weight() -> None:
    opt = NGD.fast(normed(), Gaussian(), fallback=ADAM)
    train(opt, range(3))
    assert set(opt.state) == {layer.weight for layer in opt.layers}
    for layer in opt.layers:
        assert {"Lambda", "Lambda_tilde", "velocity"} <= opt.state[layer.weight].keys()
        assert opt.state[layer.weight]["velocity"].shape == layer.matrix(*layer.parameters).shape


@pytest.mark.what_if(
    "checkpoints", "a state of float32 is loaded for weights of float64", "it is cast, as by torch's optimizers"
)
def test_a_state_is_cast_to_the_weights() -> None:
    opt = NGD.fast(normed(), Gaussian(), fallback=ADAM)
    train(opt, range(3))
    single = NGD.fast(normed().float(), Gaussian(), fallback=ADAM)
    single.load_state_dict(opt.state_dict())
    kept = [t for entry in single.state.values() for t in entry.values() if isinstance(t, Tensor)]
    assert kept and all(t.dtype == torch.float32 for t in kept)
    assert train(single, range(3, 6)).isfinite().all()


class Ordered(nn.Module):
    """The same network, its layers in another order."""

    def __init__(self, order: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = {"a": nn.Linear(4, 5), "b": nn.Linear(5, 6), "c": nn.Linear(6, 3)}
        for name in order:
            self.add_module(name, layers[name])
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x).tanh()).tanh())


def test_a_state_finds_its_layers_by_name() -> None:
    opt, other = (NGD.fast(Ordered(order), Gaussian()) for order in ("abc", "cab"))
    train(opt, range(4))
    other.load_state_dict(opt.state_dict())
    for layer in opt.layers:
        kept = other.state[other.model.get_submodule(layer.name).weight]
        assert kept["velocity"].equal(opt.state[layer.weight]["velocity"])


@pytest.mark.what_if("checkpoints", "a state lacks an entry", "ValueError: “lacks active”, and nothing is changed")
@pytest.mark.what_if(
    "checkpoints",
    "momentum in a state is NaN",
    "ValueError: “velocity of layer '0' … not finite”, and nothing is changed",
)
@pytest.mark.what_if(
    "checkpoints",
    "the number of steps in a state is no number",
    "ValueError: “the number of steps is 'five'”, and nothing is changed",
)
@pytest.mark.what_if(
    "checkpoints",
    "a state was made with another fallback optimizer",
    "ValueError: “fallback SGD, not AdamW”, and nothing is changed",
)
@pytest.mark.what_if(
    "checkpoints", "a state is of a later version", "ValueError: “has version 3, and this NGD reads versions 1 and 2”"
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("ngd"), "not made by NGD"),
        (lambda s: s["ngd"].update(version=3), "has version 3, and this NGD reads versions 1 and 2"),
        (lambda s: s["ngd"].pop("active"), "lacks active"),
        (lambda s: s["state"][0].pop("velocity"), "of layer '0', not"),
        (lambda s: s["state"][0].update(velocity=torch.zeros(2, 2)), "velocity of layer '0' has shape"),
        (lambda s: s["state"][0]["velocity"].fill_(torch.nan), "velocity of layer '0' .* not finite"),
        (lambda s: s["ngd"].update(steps="five"), "the number of steps is 'five'"),
        (lambda s: s["ngd"].update(generator=torch.zeros(3)), "generator"),
        (lambda s: s["ngd"].update(generator=torch.zeros(5056, dtype=torch.uint8)), "generator"),
        (lambda s: s["ngd"]["parts"].update(rule="kfac"), "rule kfac, not fisher_shampoo"),
        (lambda s: s["ngd"]["parts"].update(fallback="SGD"), "fallback SGD, not AdamW"),
        (lambda s: s["ngd"].update(fallback=None), "fallback optimizer is missing"),
        (lambda s: s["param_groups"][0].update(damping=-1.0), r"damping in param_groups.0. .* it is -1.0"),
        (lambda s: s["param_groups"][0]["param_names"].__setitem__(0, "zero"), "it lacks 0.weight; the model lacks z"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(change: Callable, message: str) -> None:
    opt, twin = (NGD.fast(normed(), Gaussian(), fallback=ADAM) for _ in range(2))
    train(opt, range(3))
    saved = copy.deepcopy(opt.state_dict())
    change(saved)
    train(twin, range(2))
    before = copy.deepcopy(twin.state_dict())
    with pytest.raises(ValueError, match=message):
        twin.load_state_dict(saved)
    assert same(twin.state_dict(), before)


@pytest.mark.what_if(
    "checkpoints", "the state of another preset is loaded", "ValueError: “rule fisher_shampoo, not pi_damped”"
)
@pytest.mark.what_if(
    "checkpoints", "the state of a wider network is loaded", "ValueError: “'0.weight' has shape .5, 4., not .6, 4.”"
)
def test_the_state_of_another_preset_or_width_is_refused() -> None:
    saved = NGD.fast(normed(), Gaussian(), fallback=ADAM).state_dict()
    with pytest.raises(ValueError, match="rule fisher_shampoo, not pi_damped"):
        NGD.sample_efficient(normed(), Gaussian(), fallback=ADAM).load_state_dict(saved)
    opt, wide = (NGD.fast(normed(width=width), Gaussian(), fallback=ADAM) for width in (5, 6))
    train(opt, range(2))
    with pytest.raises(ValueError, match="'0.weight' has shape .5, 4., not .6, 4."):
        wide.load_state_dict(opt.state_dict())


def same(first: object, second: object) -> bool:
    """Whether two trees of tensors and other values are equal."""
    if isinstance(first, Tensor):
        return first.equal(second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (tuple, list)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


class Half(torch.optim.AdamW):
    """Raises after its parameters have changed."""

    def step(self, closure: None = None) -> None:
        super().step()
        raise RuntimeError("half a step")


def test_a_fallback_that_raises_after_its_step_is_undone() -> None:
    opt = NGD.fast(normed(), Gaussian(), fallback=ADAM)
    train(opt, range(2))
    before, state = train(opt, range(0)), copy.deepcopy(opt.state_dict())
    opt.fallback.__class__ = Half
    with pytest.raises(RuntimeError, match="half a step"):
        train(opt, range(2, 3))
    opt.fallback.__class__ = torch.optim.AdamW
    assert train(opt, range(0)).equal(before)
    state["ngd"].pop("generator")  # the failed step has drawn targets
    after = opt.state_dict()
    after["ngd"].pop("generator")
    assert same(after, state)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_closures_as_other_optimizers_have_them(preset: Callable[..., NGD]) -> None:
    """One that calls zero_grad and backward itself."""
    opt, twin = (preset(normed(), Gaussian(), fallback=ADAM) for _ in range(2))
    for k in range(4):
        x, y = batch(30, 4, k), batch(30, 3, 1000 + k)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            opt.zero_grad()
            loss = Gaussian()(opt.model(x), y)
            loss.backward()
            return loss

        assert opt.step(closure) is not None
    assert train(opt, range(0)).equal(train(twin, range(4)))


@pytest.mark.parametrize("control", [None, ConjugateGradient()])
def test_layers_called_by_keyword(control: ConjugateGradient | None) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)
            self.double()
            self.keyword = True

        def forward(self, x: Tensor) -> Tensor:
            return self.b(input=self.a(input=x).sin()) if self.keyword else self.b(self.a(x).sin())

    results = []
    for keyword in (True, False):
        opt = NGD.fast(Named(), Gaussian(), **({"control": control} if control else {}))
        opt.model.keyword = keyword
        results.append(train(opt, range(3)))
    assert results[0].equal(results[1])


class Mix(nn.Module):
    """Its inputs are scaled by the sum of a vector that belongs to no example."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        x = x * weights.sum()
        return self.b(x + self.a(x).tanh())


def test_a_vector_as_long_as_the_batch_by_chance_stays_whole() -> None:
    moved = []
    x, y = torch.ones(30, 4), torch.ones(30, 3)  # the first 16 examples are as good as all
    for length in (30, 31):
        control = OutputNormalised(rows=16, second_order_bound=math.inf)
        opt = NGD.fast(Mix(), Gaussian(), samples=None, control=control)
        start = opt.model.b.weight.detach().clone()
        Gaussian()(opt.model(x, torch.ones(length) / length), y).backward()
        opt.step()
        moved.append(float((opt.model.b.weight.detach() - start).norm()))
    assert moved[0] == pytest.approx(moved[1], rel=1e-4)


def test_a_matrix_of_examples_by_examples() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            return self.b(adjacency @ self.a(x).tanh() + self.a(x))

    opt = NGD.fast(Graph(), Gaussian())
    Gaussian()(opt.model(batch(30, 4).float(), torch.eye(30)), batch(30, 3).float()).backward()
    opt.step()
    assert opt.steps == 1


def test_an_error_leaves_blocks_as_they_were() -> None:
    options = {"factors": Factors(every=1, decay=0.9), "inverse": Inverse(every=2)}
    opt, twin = (NGD.fast(normed(), Gaussian(), fallback=ADAM, **options) for _ in range(2))
    for o in (opt, twin):
        train(o, range(4))
    state = opt.generator.get_state()
    opt.fallback.__class__ = Half  # raises when everything else is done
    with pytest.raises(RuntimeError, match="half a step"):
        train(opt, range(90, 91))
    opt.fallback.__class__ = torch.optim.AdamW
    opt.generator.set_state(state)
    assert train(opt, range(4, 7)).equal(train(twin, range(4, 7)))
