"""Training loops that do more than `zero_grad`, `backward`, `step`: each against the same training done plainly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Fixed, Gaussian, OutputNormalised
from support.networks import batch, network
from support.training import expect, parameters

torch.set_num_threads(1)
PRESETS = [NGD.paper, partial(NGD.fast, control=OutputNormalised(rows=None)), NGD.sample_efficient]
Loop = Callable[[nn.Module, NGD, Tensor, Tensor], None]


def plain(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    opt.zero_grad()
    Gaussian()(model(x), y).backward()


def trained(preset: Callable[..., NGD], loop: Loop, steps: int = 3) -> Tensor:
    """The weights after `steps` batches."""
    model = network([4, 6, 2])
    opt = preset(model, Gaussian(), samples=None)
    for k in range(steps):
        loop(model, opt, batch(30, 4, 10 + k), batch(30, 2, 20 + k))
        opt.step()
    return parameters(model)


def saliency(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    """A gradient in the inputs through the pass of the loss, before its backward pass."""
    opt.zero_grad()
    x = x.clone().requires_grad_()
    output = model(x)
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    (Gaussian()(output, y) + 0.0 * slope.square().mean()).backward()


def gradients_in_the_weights(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    opt.zero_grad()
    output = model(x)
    torch.autograd.grad(output.square().sum(), list(model.parameters()), retain_graph=True)
    Gaussian()(output, y).backward()


def adversarial(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    """A pass of its own for the gradient in the inputs, by `backward`."""
    opt.zero_grad()
    other = x.clone().requires_grad_()
    Gaussian()(model(other), y).backward(inputs=[other])
    Gaussian()(model(x), y).backward()


def zero_grad_of_the_model(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    """A batch that is skipped, and one that leaves zeros."""
    model.zero_grad()
    Gaussian()(model(2 * x), y).backward()
    model.zero_grad(set_to_none=False)
    Gaussian()(model(x * torch.nan), y).backward()
    model.zero_grad()
    Gaussian()(model(x), y).backward()


def graph_freed(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    """A backward pass that stops halfway."""
    opt.zero_grad()

    def stop(gradient: Tensor) -> None:
        raise MemoryError

    output = model(x)
    handle = model[0].weight.register_hook(stop)
    with pytest.raises(MemoryError):
        Gaussian()(output, y).backward()
    handle.remove()
    model.zero_grad()
    Gaussian()(model(x), y).backward()


def in_one_backward_pass(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    opt.zero_grad()
    (0.5 * Gaussian()(model(x[:15]), y[:15]) + 0.5 * Gaussian()(model(x[15:]), y[15:])).backward()


def accumulated(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    model.zero_grad()
    for rows in (slice(15), slice(15, None)):
        (0.5 * Gaussian()(model(x[rows]), y[rows])).backward()


def accumulated_with_saliency(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    """A gradient in the inputs where there are gradients of the weights already."""
    model.zero_grad()
    for rows in (slice(15), slice(15, None)):
        part = x[rows].clone().requires_grad_()
        output = model(part)
        torch.autograd.grad(output.sum(), part, retain_graph=True)
        (0.5 * Gaussian()(output, y[rows])).backward()


def two_losses_of_one_pass(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    opt.zero_grad()
    output = model(x)
    Gaussian()(output[:, :1], y[:, :1]).backward(retain_graph=True)
    Gaussian()(output[:, 1:], y[:, 1:]).backward()


def twice_half_a_loss(model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    opt.zero_grad()
    loss = 0.5 * Gaussian()(model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()


LOOPS = [
    two_losses_of_one_pass,
    twice_half_a_loss,
    saliency,
    gradients_in_the_weights,
    adversarial,
    zero_grad_of_the_model,
    graph_freed,
    in_one_backward_pass,
    accumulated,
    accumulated_with_saliency,
]


@pytest.mark.what_if(
    "training loops",
    "saliency maps, adversarial examples, a skipped batch or a `backward` that fails half way come before the loss",
    "the step is that without them",
)
@pytest.mark.parametrize("preset", PRESETS, ids=["paper", "fast", "sample_efficient"])
@pytest.mark.parametrize("loop", LOOPS)
def test_what_comes_before_the_loss_changes_nothing(preset: Callable[..., NGD], loop: Loop) -> None:
    torch.testing.assert_close(trained(preset, loop), trained(preset, plain), rtol=1e-9, atol=1e-12)


@pytest.mark.what_if(
    "training loops", "gradients are those of `torch.func`", "RuntimeError: they tell nothing of the Fisher"
)
@pytest.mark.parametrize("preset", [NGD, NGD.fast, NGD.sample_efficient])
def test_gradients_by_function(preset: Callable[..., NGD]) -> None:
    model, x, y = nn.Sequential(nn.Linear(4, 3)), torch.randn(10, 4), torch.randn(10, 3)
    opt, parameters = preset(model, Gaussian()), dict(model.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return Gaussian()(torch.func.functional_call(model, values, (x,)), y)

    for name, gradient in torch.func.grad(loss)(parameters).items():
        parameters[name].grad = gradient
    expect(RuntimeError, "torch.func", model, opt.step)


@pytest.mark.what_if(
    "training loops", "gradients are set to None by hand before `step`", "RuntimeError: “nothing to step from”"
)
def test_passes_whose_gradients_are_gone_leave_nothing_to_step_from() -> None:
    model = network([4, 6, 2])
    opt = NGD.fast(model, Gaussian())
    Gaussian()(model(batch(30, 4)), batch(30, 2)).backward()
    model.zero_grad()
    with pytest.raises(RuntimeError, match="nothing to step from"):
        opt.step()


@pytest.mark.what_if(
    "models", "weights are float16, bfloat16 or complex", "ValueError: “'weight' is torch…float32 or float64…autocast”"
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_weights_of_another_precision_are_refused_by_name(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"'weight' is torch.*float32 or float64.*autocast"):
        NGD.fast(nn.Linear(4, 3).to(dtype), Gaussian())


@pytest.mark.what_if("models", "the model is scripted", "TypeError: “scripted model”")
def test_scripted_models_are_refused() -> None:
    with pytest.raises(TypeError, match="scripted model"):
        NGD.fast(torch.jit.script(nn.Sequential(nn.Linear(4, 3))), Gaussian())


def two_masks(model: nn.Module, opt: NGD, x: Tensor, y: Tensor, at_once: bool) -> None:
    """Losses of one pass that count other rows each."""
    opt.zero_grad()
    output, first = model(x), torch.arange(len(x)) < 10
    losses = [Gaussian()(output, y, weight=first), Gaussian()(output, y, weight=~first)]
    if at_once:
        sum(losses).backward()
    else:
        losses[0].backward(retain_graph=True)
        losses[1].backward()


def test_two_losses_that_count_other_rows() -> None:
    """The length of the step is as if both had come at once; so much damping that factors play no part."""
    found = []
    for at_once in (True, False):
        model = network([4, 6, 2])
        opt = NGD(
            model, Gaussian(), samples=None, damping=Fixed(1e18), control=OutputNormalised(rows=None, momentum=0.0)
        )
        two_masks(model, opt, batch(30, 4), batch(30, 2), at_once)
        before = parameters(model)
        opt.step()
        found.append(parameters(model) - before)
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)


@pytest.mark.what_if(
    "gradients and steps",
    "the gradient is clipped before a step of `NGD.fast`",
    "the first step is as long as without: outputs set its length, not the gradient",
)
def test_clipping_the_gradient_does_not_shorten_the_first_step_of_fast() -> None:
    """As its page says: the outputs set the length."""
    found = []
    for bound in (1e9, 1e-3):
        model = network([4, 6, 2])
        opt = NGD.fast(model, Gaussian(), samples=None)
        plain(model, opt, batch(30, 4), batch(30, 2))
        assert nn.utils.clip_grad_norm_(model.parameters(), bound) > 1e-2
        opt.step()
        found.append(parameters(model))
    torch.testing.assert_close(*found)
