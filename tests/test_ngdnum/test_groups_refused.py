"""Groups, and values in them, with which no step can be taken are refused by name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ngdnum import (
    NGD,
    Gaussian,
)
from support.grouped import ADAM, data, network, normed, step, values

torch.set_num_threads(1)


Case = tuple[Callable[[nn.Sequential], list[Any]], type[Exception], str]


REFUSED: dict[str, Case] = {
    "no dict": (lambda m: [m[0]], TypeError, r"groups\[0\] must be a dict with an entry 'params'"),
    "no parameters": (lambda m: [{"lr": 0.1}], TypeError, "an entry 'params'"),
    "names": (lambda m: [{"params": ["0.weight"]}], TypeError, "parameters of the model.*it has str"),
    "unknown options": (lambda m: [{"params": m[0].parameters(), "betas": 1}], ValueError, r"groups\[0\] has betas"),
    "negative rate": (lambda m: [{"params": m[0].parameters(), "lr": -1}], ValueError, r"lr of groups\[0\] .* is -1"),
    "no number": (
        lambda m: [{"params": m[0].parameters(), "weight_decay": "x"}],
        ValueError,
        r"weight_decay of groups\[0\] .* is 'x'",
    ),
    "twice": (
        lambda m: [{"params": m[0].parameters()}, {"params": m[0].weight}],
        ValueError,
        r"'0.weight' is in groups\[0\] and groups\[1\]",
    ),
    "weight without bias": (
        lambda m: [{"params": m[0].weight}],
        ValueError,
        "weight and bias of layer '0' are in different groups",
    ),
    "of the fallback": (
        lambda m: [{"params": m.parameters()}],
        ValueError,
        r"groups\[0\] has '1.weight', which the fallback optimizer updates",
    ),
    "of another model": (lambda m: [{"params": network().parameters()}], ValueError, "that the model has not"),
    "more than all": (
        lambda m: [{"params": m[0].parameters(), "weight_decay": 2.0}],
        ValueError,
        r"lr · weight_decay in param_groups\[1\] is 2",
    ),
}


@pytest.mark.what_if("models", "a parameter is in two groups", "ValueError: “'0.weight' is in groups[0] and groups[1]”")
@pytest.mark.what_if(
    "models",
    "weight and bias of a layer are in different groups",
    "ValueError: “weight and bias of layer '0' are in different groups”",
)
@pytest.mark.parametrize(("groups", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_groups_that_make_no_sense_are_refused(groups: Callable, error: type[Exception], message: str) -> None:
    model = normed()
    with pytest.raises(error, match=message):
        NGD(model, Gaussian(), groups=groups(model), fallback=ADAM)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.what_if(
    "gradients and steps",
    "lr, damping, quotient or weight decay in `param_groups` is negative, NaN, infinite or no number",
    "ValueError: “ in param_groups[0] must be a finite number ≥ 0; it is”, and nothing changes",
)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, None, "fast", True, 1j])
@pytest.mark.parametrize("name", ["lr", "damping", "quotient", "weight_decay"])
@pytest.mark.parametrize("make", [NGD, NGD.fast, NGD.sample_efficient], ids=["plain", "fast", "sample_efficient"])
def test_values_set_by_hand_are_named_before_anything_changes(
    make: Callable[..., NGD], name: str, value: object
) -> None:
    opt = make(normed(), Gaussian(), fallback=ADAM)
    step(opt)
    opt.param_groups[0][name] = value
    before, state = values(opt.model), copy.deepcopy(opt.state_dict()["state"])
    with pytest.raises(ValueError, match=rf"{name} in param_groups\[0\] must be a finite number ≥ 0; it is"):
        step(opt)
    assert all(p.equal(q) for p, q in zip(values(opt.model), before, strict=True))
    assert str(opt.state_dict()["state"]) == str(state)


@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_so_are_those_of_other_groups_and_of_the_fallback_optimizer(value: float) -> None:
    for k in (1, 2):
        model = normed()
        opt = NGD.fast(model, Gaussian(), groups=[{"params": model[3].parameters()}], fallback=ADAM)
        opt.param_groups[k]["lr"] = value
        with pytest.raises(ValueError, match=rf"lr in param_groups\[{k}\]"):
            step(opt)


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf, True, "a"])
def test_a_weight_decay_that_is_none_is_refused(decay: object) -> None:
    with pytest.raises(ValueError, match="weight_decay must be a finite number"):
        NGD(network(), Gaussian(), weight_decay=decay)


def test_numbers_of_other_kinds_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    opt = NGD(network(), Gaussian())
    opt.param_groups[0]["lr"] = numpy.float32(0.5)
    opt.param_groups[0]["damping"] = 1
    step(opt)
    assert opt.steps == 1


@pytest.mark.what_if(
    "gradients and steps",
    "a gradient is finite and 1e20 or 1e30",
    "ValueError: “has norm … outliers”; weights and state stay as they are",
)
@pytest.mark.parametrize("make", [NGD, NGD.fast, NGD.sample_efficient], ids=["plain", "fast", "sample_efficient"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e20, 1e30])
def test_a_huge_gradient_moves_nothing(make: Callable[..., NGD], dtype: torch.dtype, size: float) -> None:
    """Finite, in a layer's gradient by hand, by a target, or in a parameter of the fallback optimizer."""
    for where in ("layer", "target", "other"):
        opt = make(normed().to(dtype), Gaussian(), fallback=ADAM)
        x, y = (t.to(dtype) for t in data())
        for _ in range(2):
            opt.zero_grad()
            Gaussian()(opt.model(x), y).backward()
            opt.step()
        before, state = values(opt.model), copy.deepcopy(opt.state_dict())
        opt.zero_grad()
        Gaussian()(opt.model(x), size * 10 * y if where == "target" else y).backward()
        if where != "target":
            opt.model[0 if where == "layer" else 1].weight.grad.view(-1)[0] = size
        with pytest.raises(ValueError, match="has norm .* outliers"):
            opt.step()
        assert all(p.equal(q) for p, q in zip(values(opt.model), before, strict=True))
        assert str(opt.state_dict()["state"]) == str(state["state"])


@pytest.mark.what_if(
    "gradients and steps",
    "a step is so long that it leaves no digit of the weights",
    "ValueError: “the step of layer '2' has length … no digit of its weights”",
)
def test_a_step_that_leaves_nothing_of_the_weights_is_refused() -> None:
    opt = NGD(network().float(), Gaussian(), rule="sgd")
    x, y = (t.float() for t in data())
    Gaussian()(opt.model(x), y).backward()
    opt.model[2].weight.grad.mul_(1e12)
    with pytest.raises(ValueError, match="the step of layer '2' has length .* no digit of its weights"):
        opt.step()
    assert not opt.steps
