"""Parameters that NGD does not precondition have an optimizer of their own within the same step."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Categorical, Gaussian, LevenbergMarquardt, kronecker_factors
from support.networks import batch
from support.training import expect, expect_nothing_collected

torch.set_num_threads(1)
ADAM = partial(torch.optim.AdamW, lr=0.02)


class Language(nn.Module):
    """Predicts the next token; embedding and output layer share their weights, which makes these Adam's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 4)
        self.norm, self.hidden = nn.LayerNorm(4), nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.idle = nn.Linear(4, 4)
        self.partly = nn.Linear(4, 4)
        self.partly.weight.requires_grad_(False)
        self.output = nn.Linear(4, 5)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=x.dtype)
        x = x + self.attention(self.norm(x), self.norm(x), self.norm(x), attn_mask=mask, is_causal=True)[0]
        x = x + self.scale * self.hidden(x).tanh()
        return self.output(self.partly(self.frozen(x)))


def tokens(count: int = 40) -> tuple[Tensor, Tensor]:
    start = torch.arange(count).unsqueeze(1) % 5
    sequence = (start + 2 * torch.arange(7)) % 5
    return sequence[:, :-1], sequence[:, 1:]


def normed(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def train(model: nn.Module, opt: NGD, steps: int, first: int = 0) -> None:
    for k in range(first, first + steps):
        opt.zero_grad()
        Gaussian()(model(batch(30, 4, seed=k)), batch(30, 3, seed=1000 + k)).backward()
        opt.step()


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_everything_trainable_is_updated_by_the_one_or_the_other() -> None:
    model = Language()
    opt = NGD.fast(model, Categorical(), fallback=ADAM, lr=0.3)
    assert [layer.name for layer in opt.layers] == ["hidden", "idle"]
    found = {p: name for name, p in model.named_parameters()}
    assert {found[p] for group in opt.fallback.param_groups for p in group["params"]} == {
        "embedding.weight",
        "norm.weight",
        "norm.bias",
        "attention.in_proj_weight",
        "attention.in_proj_bias",
        "attention.out_proj.weight",
        "attention.out_proj.bias",
        "scale",
        "partly.bias",
        "output.bias",
    }
    names = "idle.weight", "idle.bias", "frozen.weight", "frozen.bias", "partly.weight"
    still = {name: model.get_parameter(name).clone() for name in names}
    x, y = tokens()
    before = values(model)
    for _ in range(200):
        opt.zero_grad()
        loss = Categorical()(model(x), y)
        loss.backward()
        opt.step()
    assert loss < 0.1
    for name, value in still.items():
        assert model.get_parameter(name).equal(value)
    for (name, p), old in zip(model.named_parameters(), before, strict=True):
        assert name in still or not p.equal(old)


def test_the_others_take_the_steps_of_their_optimizer() -> None:
    """Adam on gradients that are at hand: once within NGD, once by itself."""
    model, twin = normed(), normed()
    opt = NGD(model, Gaussian(), fallback=ADAM)
    adam = ADAM(twin[1].parameters())
    for _ in range(3):
        opt.zero_grad()
        Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
        for p, q in zip(twin[1].parameters(), model[1].parameters()):
            p.grad = q.grad.clone()
        opt.step()
        adam.step()
    torch.testing.assert_close(values(model[1]), values(twin[1]))


def test_factors_are_those_of_the_layers_alone() -> None:
    assert list(kronecker_factors(normed(), Gaussian(), batch(6, 4))) == ["0", "3"]


def test_without_other_parameters_nothing_is_made() -> None:
    opt = NGD(nn.Linear(4, 3), Gaussian(), fallback=ADAM)
    assert opt.fallback is None and len(opt.param_groups) == 1


def test_schedulers_and_zero_grad_reach_the_others() -> None:
    model = normed()
    opt = NGD(model, Gaussian(), lr=0.5, fallback=ADAM)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 1, gamma=0.1)
    train(model, opt, 1)
    scheduler.step()
    assert [group["lr"] for group in opt.param_groups] == pytest.approx([0.05, 0.002])
    assert opt.fallback.param_groups[0]["lr"] == pytest.approx(0.002)
    opt.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_saved_state_of_both_continues_to_the_bit() -> None:
    model = normed()
    opt = NGD.fast(model, Gaussian(), fallback=ADAM)
    train(model, opt, 3)
    opt.param_groups[1]["lr"] = 0.03
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, 3, first=3)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    other = normed()
    resumed = NGD.fast(other, Gaussian(), fallback=ADAM)
    train(other, resumed, 1)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    assert resumed.param_groups[1] is resumed.fallback.param_groups[0]
    assert resumed.param_groups[1]["lr"] == 0.03
    train(other, resumed, 3, first=3)
    assert all(p.equal(q) for p, q in zip(values(model), values(other), strict=True))


def closed(model: nn.Module, opt: NGD, losses: list[float]) -> Callable[[], float]:
    Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
    remaining = iter(losses)
    return lambda: next(remaining)


@pytest.mark.what_if(
    "training loops", "a step is rejected since it raises the loss", "the fallback optimizer's step is undone as well"
)
def test_a_rejected_step_is_none_of_the_others_either() -> None:
    for losses, damping in (([1.0, float("inf")], 0.1), ([1.0, 2.0], LevenbergMarquardt(0.1, reject=True))):
        model = normed()
        opt = NGD(model, Gaussian(), damping=damping, fallback=ADAM)
        before = values(model)
        opt.step(closed(model, opt, losses))
        assert all(p.equal(q) for p, q in zip(values(model), before, strict=True))
        assert not opt.fallback.state
    opt.step(closed(model, opt, [1.0, 0.5]))
    assert not any(p.equal(q) for p, q in zip(values(model), before, strict=True))


class Broken(torch.optim.SGD):
    def step(self, closure: None = None) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("losses", [None, [1.0, 0.5]])
def test_errors_of_one_keep_the_weights_of_both(losses: list[float] | None) -> None:
    model = normed()
    opt = NGD(model, Gaussian(), fallback=partial(Broken, lr=0.1))
    closure = closed(model, opt, losses or [])
    expect(RuntimeError, "broken", model, lambda: opt.step(losses and closure))

    model = normed()
    opt = NGD(model, Gaussian(), fallback=ADAM)
    closure = closed(model, opt, losses or [])
    model[1].bias.grad[1] = torch.nan
    expect(ValueError, "gradient of '1.bias' is not finite", model, lambda: opt.step(losses and closure))
    model[1].bias.grad[1] = 0.0
    model[3].bias.grad[1] = torch.nan
    expect(ValueError, "gradient of layer '3' is not finite", model, lambda: opt.step(losses and closure))


def test_sparse_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    opt = NGD(model, Gaussian(), fallback=partial(torch.optim.SparseAdam, lr=0.1))
    x, before = torch.tensor([[0, 1], [1, 3]]), model[0].weight.detach().clone()
    Gaussian()(model(x), torch.ones(2, 3)).backward()
    opt.step()
    assert [not a.equal(b) for a, b in zip(before, model[0].weight)] == [True, True, False, True, False]


@pytest.mark.what_if(
    "models", "the fallback is no optimizer", "TypeError: “must make a torch.optim.Optimizer; it made Identity”"
)
@pytest.mark.what_if(
    "models", "the fallback leaves parameters out", "ValueError: “update all parameters … no more: 1.weight, 1.bias”"
)
@pytest.mark.what_if("models", "the fallback needs a closure of its own", "ValueError: “LBFGS needs a closure”")
@pytest.mark.parametrize(
    ("others", "error", "message"),
    [
        ("adam", TypeError, "fallback must make an optimizer of a list"),
        (lambda p: nn.Identity(), TypeError, "must make a torch.optim.Optimizer; it made Identity"),
        (lambda p: ADAM(p[:1]), ValueError, "update all parameters .* no more: 1.weight, 1.bias"),
        (lambda p: ADAM([*p, nn.Parameter(torch.ones(1))]), ValueError, "given, no more"),
        (torch.optim.LBFGS, ValueError, "LBFGS needs a closure"),
    ],
)
def test_optimizers_that_cannot_serve_are_refused(others: object, error: type[Exception], message: str) -> None:
    model = normed()
    with pytest.raises(error, match=message):
        NGD(model, Gaussian(), fallback=others)
    assert not model._forward_hooks


def test_a_weight_that_is_used_without_its_layer_is_noticed() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(nn.functional.linear(x, self.hidden.weight, self.hidden.bias))

    model = Around().double()
    opt = NGD(model, Gaussian())
    with pytest.raises(ValueError, match="used by function, .* alone: hidden;"):
        Gaussian()(model(batch(6, 4)), batch(6, 3)).backward()
    opt.zero_grad(set_to_none=False)
    Gaussian()(model.last(batch(6, 5)), batch(6, 3)).backward()
    expect(RuntimeError, "call backward.. on a loss of the model's output", model, opt.step)


@pytest.mark.what_if(
    "models", "a lazy layer has no shape yet", "ValueError: “0.weight has no shape yet: call the model once”"
)
def test_lazy_layers_need_a_shape_first() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="0.weight has no shape yet: call the model once"):
        NGD(model, Gaussian())
    model(torch.zeros(2, 4))
    NGD(model, Gaussian())


def test_copies_of_the_optimizers_parameters_are_free_of_it() -> None:
    model = normed()
    opt = NGD(model, Gaussian(), fallback=ADAM)
    twin = copy.deepcopy(model)
    Gaussian()(twin(batch(6, 4)), batch(6, 3)).backward()
    assert all(p.grad is None for p in model.parameters())
    expect_nothing_collected(opt)
