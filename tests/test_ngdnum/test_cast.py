"""Weights that are cast between steps, and losses that are no number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ngdnum import NGD, Gaussian
from support.networks import batch, network
from support.training import expect

PRESETS: list[Callable[..., NGD]] = [NGD.fast, NGD.sample_efficient]


def trained(preset: Callable[..., NGD], dtype: torch.dtype) -> tuple[nn.Module, NGD]:
    """A network that was cast to `dtype` after two steps, and has gradients there."""
    model = network([4, 5, 3])
    opt = preset(model, Gaussian())
    for k in range(2):
        opt.zero_grad()
        Gaussian()(model(batch(30, 4, k)), batch(30, 3, 9)).backward()
        opt.step()
    backward(model, opt, dtype)
    return model, opt


def backward(model: nn.Module, opt: NGD, dtype: torch.dtype) -> None:
    model.to(dtype)
    opt.zero_grad()
    Gaussian()(model(batch(30, 4).to(dtype)), batch(30, 3, 9).to(dtype)).backward()


@pytest.mark.what_if(
    "training loops",
    "weights are cast to another precision between two steps",
    "ValueError: “opt.load_state_dict(opt.state_dict()) casts it”, or, to half precision, “float32 or float64”",
)
@pytest.mark.parametrize("preset", PRESETS)
def test_cast_weights_are_noticed_and_training_goes_on_with_a_cast_state(preset: Callable[..., NGD]) -> None:
    model, opt = trained(preset, torch.float32)
    expect(ValueError, r"opt.load_state_dict\(opt.state_dict\(\)\) casts it", model, opt.step)
    opt.load_state_dict(opt.state_dict())
    backward(model, opt, torch.float32)
    opt.step()
    assert opt.steps == 3
    backward(model, opt, torch.bfloat16)
    expect(ValueError, "are torch.bfloat16 now.*float32 or float64", model, opt.step)


@pytest.mark.what_if(
    "training loops", "`step` is given a vector as its loss", "TypeError: “step must be given the loss, one number”"
)
def test_a_loss_that_is_no_number_is_refused() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian())
    backward(model, opt, torch.float64)
    message = r"step must be given the loss, one number, not a tensor of shape \(3,\)"
    expect(TypeError, message, model, lambda: opt.step(lambda: 1.0, loss=torch.ones(3)))
    expect(
        TypeError,
        "the closure must return the loss, one number, not str",
        model,
        lambda: opt.step(lambda: "1"),
    )
    opt.step()
    assert opt.steps == 1
