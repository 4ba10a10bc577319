"""States with one thing wrong are refused, or serve; those of every step, and of version 1, go on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ngdnum import NGD, Decay, ExactLineSearch, Gaussian, Inverse
from support.damage import DAMAGE, changed, places

ADAM = partial(torch.optim.AdamW, lr=0.02)
ABSOLUTE = partial(NGD.fast, damping=Decay(0.1, steps=30.0, floor=0.01))
MAKE: dict[str, Callable[..., NGD]] = {
    "paper": NGD.paper,
    "fast": NGD.fast,
    "sample_efficient": NGD.sample_efficient,
    "low_rank": partial(NGD.fast, rule="pi_damped", inverse=Inverse(every=3, solver="low_rank")),
    "running": partial(NGD, rule="running", control=ExactLineSearch()),
}


def made(make: Callable[..., NGD]) -> NGD:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)]
    return make(nn.Sequential(*layers).double(), Gaussian(), fallback=ADAM)


def train(opt: NGD, steps: range) -> list[Tensor]:
    """The parameters after these steps."""
    for k in steps:
        generator = torch.Generator().manual_seed(k)
        x = torch.randn(8, 3, dtype=torch.float64, generator=generator)
        y = torch.randn(8, 2, dtype=torch.float64, generator=generator)
        opt.zero_grad()
        loss = Gaussian()(opt.model(x), y)
        loss.backward()
        opt.step(partial(lambda x, y: Gaussian()(opt.model(x), y), x, y), loss=loss)
    return [p.detach().clone() for p in opt.model.parameters()]


def state(opt: NGD) -> dict[str, Any]:
    return copy.deepcopy(opt.state_dict())


STATES = {name: (lambda opt: (train(opt, range(5)), state(opt))[1])(made(make)) for name, make in MAKE.items()}


@pytest.mark.what_if(
    "checkpoints",
    "any one entry of a state is missing, cut, empty, negative, NaN, whole, complex or text",
    "ValueError that names the “state_dict”, and nothing is changed; or the state serves",
)
@pytest.mark.parametrize("name", MAKE)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_one_thing_wrong_anywhere_changes_nothing_or_serves(name: str, data: st.DataObject) -> None:
    saved = STATES[name]
    path = data.draw(st.sampled_from(list(places(saved))), "place")
    damaged = changed(saved, path, DAMAGE[data.draw(st.sampled_from(list(DAMAGE)), "damage")])
    opt = made(MAKE[name])
    train(opt, range(2))
    before, generator = state(opt), opt.generator.get_state()
    try:
        opt.load_state_dict(damaged)
    except ValueError as error:
        assert "state_dict" in str(error)
        assert same(state(opt), before) and opt.generator.get_state().equal(generator)
        train(opt, range(2, 4))
    else:
        assert all(p.isfinite().all() for p in train(opt, range(5, 8)))


def same(first: object, second: object) -> bool:
    """Whether two trees of tensors and other values are equal."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.equal(second)
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and list(first) == list(second) and all(same(first[k], second[k]) for k in first)
        )
    if isinstance(first, (tuple, list)):
        return isinstance(second, (tuple, list)) and len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.what_if(
    "checkpoints", "a run is killed after any step, and resumed", "its weights are the same to the bit"
)
@pytest.mark.parametrize("name", MAKE)
def test_a_run_that_is_killed_after_any_step_goes_on_to_the_same_bits(name: str) -> None:
    opt, saved = made(MAKE[name]), []
    for k in range(9):
        saved.append(copy.deepcopy((opt.model.state_dict(), opt.state_dict())))
        end = train(opt, range(k, k + 1))
    for k, (weights, kept) in enumerate(saved):
        resumed = made(MAKE[name])
        resumed.model.load_state_dict(weights)
        resumed.load_state_dict(kept)
        assert all(p.equal(q) for p, q in zip(train(resumed, range(k, 9)), end, strict=True)), k


def as_version_1(opt: NGD) -> dict[str, Any]:
    """The state of `opt` as version 1 laid it out: by the numbers of layers, and all that was kept under "past"."""
    now = state(opt)
    index = {layer.name: k for k, layer in enumerate(opt.layers)}
    entries = {k: now["state"].get(2 * k, {}) for k in index.values()}
    factors: dict[str, dict[int, Any]] = {}
    for k, entry in entries.items():
        for name in entry.keys() & {"Lambda", "Lambda_tilde", "K", "K_tilde"}:
            factors.setdefault(name, {})[k] = entry[name]
    states = {}
    for (stack,) in now["ngd"]["blocks"]:
        members = [index[name] for name in stack]
        made = entries[members[0]].get("factorisation")
        if made:
            kept = made["parts"], made["lam"], 0, made["step"], made["origin"], made["memory"]
            states[(False, *members)] = kept
    first, *rest = now["param_groups"]
    options = {name: first[name] for name in ("lr", "damping", "params")}
    past = {
        "measured": now["ngd"]["measured"],
        "factors": factors,
        "states": states,
        "memory": {k: entry["velocity"] for k, entry in entries.items() if "velocity" in entry},
    }
    own = {"steps": opt.steps, "generator": opt.generator.get_state(), "past": past, "others": now["ngd"]["fallback"]}
    return {"state": {}, "param_groups": [options, *rest], "ngd": own}


@pytest.mark.what_if("checkpoints", "a state was saved by version 1", "it is read, and goes on to the same bits")
@pytest.mark.parametrize("name", MAKE)
def test_states_of_version_1_go_on(name: str) -> None:
    make = partial(MAKE[name], damping=0.1)  # absolute, as all were
    opt, other = made(make), made(make)
    train(opt, range(6))
    other.model.load_state_dict(opt.model.state_dict())
    other.load_state_dict(as_version_1(opt))
    assert other.steps == 6
    opt.param_groups[0]["quotient"] = 0.0  # version 1 did not keep it
    for p, q in zip(train(other, range(6, 10)), train(opt, range(6, 10)), strict=True):
        assert p.equal(q)


def test_a_state_with_an_absolute_damping_is_refused_where_it_is_relative_and_the_other_way_round() -> None:
    absolute, other = made(ABSOLUTE), made(NGD.fast)
    train(absolute, range(2))
    train(other, range(2))
    for state in (as_version_1(absolute), absolute.state_dict()):
        with pytest.raises(ValueError, match="with damping absolute, not relative"):
            made(NGD.fast).load_state_dict(state)
    with pytest.raises(ValueError, match="with damping relative, not absolute"):
        made(ABSOLUTE).load_state_dict(other.state_dict())
    made(NGD.fast).load_state_dict(other.state_dict())


def test_a_state_without_what_a_relative_damping_is_in_is_refused() -> None:
    opt = made(NGD.fast)
    train(opt, range(2))
    damaged = state(opt)
    del damaged["state"][0]["sizes"]
    damaged["ngd"]["kept"]["0"].remove("sizes")
    with pytest.raises(ValueError, match="not the sizes that a relative damping is in"):
        made(NGD.fast).load_state_dict(damaged)


def test_a_state_of_version_1_of_another_model_is_refused() -> None:
    opt = made(NGD.fast)
    train(opt, range(2))
    old = as_version_1(opt)
    for model in (nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), *(nn.Linear(5, 5),) * 1)):
        with pytest.raises(ValueError, match="state_dict"):
            NGD.fast(model.double(), Gaussian(), fallback=ADAM).load_state_dict(old)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "x", None])
def test_a_quotient_that_is_no_number_is_refused_and_one_that_lacks_begins_anew(value: object) -> None:
    opt = made(NGD.fast)
    train(opt, range(2))
    saved = copy.deepcopy(opt.state_dict())
    saved["param_groups"][0]["quotient"] = value
    with pytest.raises(ValueError, match=r"nothing was changed: quotient in param_groups\[0\]"):
        opt.load_state_dict(saved)
    del saved["param_groups"][0]["quotient"]
    opt.load_state_dict(saved)
    assert opt.param_groups[0]["quotient"] == 0.0


@pytest.mark.what_if(
    "checkpoints",
    "a momentum or a factor in a state has whole or complex numbers",
    "ValueError: “not of real numbers”, and nothing is changed",
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
@pytest.mark.parametrize("name", ["velocity", "Lambda"])
def test_numbers_that_are_not_real_are_refused(name: str, dtype: torch.dtype) -> None:
    opt, damaged = made(NGD.fast), copy.deepcopy(STATES["fast"])
    kept = damaged["state"][0][name]
    damaged["state"][0][name] = (kept[0].to(dtype), *kept[1:]) if isinstance(kept, tuple) else kept.to(dtype)
    with pytest.raises(ValueError, match="nothing was changed: .* not of real numbers"):
        opt.load_state_dict(damaged)


@pytest.mark.what_if("checkpoints", "a state has lost its blocks of layers", "ValueError: “its blocks have the layers”")
@pytest.mark.parametrize("name", MAKE)
def test_blocks_of_other_layers_are_refused(name: str) -> None:
    opt, damaged = made(MAKE[name]), copy.deepcopy(STATES[name])
    damaged["ngd"]["blocks"] = []
    with pytest.raises(ValueError, match="nothing was changed: its blocks have the layers"):
        opt.load_state_dict(damaged)
