"""NGD among the tools around torch optimizers: compilation, mixed precision, loss scaling; memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Factors, Gaussian, kronecker_factors
from support.networks import batch, network
from support.training import expect, measured

torch.set_num_threads(1)
SIZES = [4, 5, 5, 3]
PRESETS = {"plain": NGD, "fast": NGD.fast}


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def train(call: Callable, opt: NGD, steps: int = 3, dtype: torch.dtype = torch.float64) -> None:
    for k in range(steps):
        opt.zero_grad()
        x, y = batch(30, 4, seed=k).to(dtype), batch(30, 3, seed=1000 + k).to(dtype)
        Gaussian()(call(x), y).backward()
        opt.step()


def outside(model: nn.Module, preset: Callable, backend: str) -> tuple[NGD, Callable]:
    opt = preset(model, Gaussian())
    return opt, torch.compile(model, backend=backend)


def within(model: nn.Module, preset: Callable, backend: str) -> tuple[NGD, Callable]:
    opt = preset(model, Gaussian())
    model.compile(backend=backend)
    return opt, model


def before(model: nn.Module, preset: Callable, backend: str) -> tuple[NGD, Callable]:
    compiled = torch.compile(model, backend=backend)
    return preset(compiled, Gaussian()), compiled


COMPILER = [path for path in [shutil.which("g++")] if path]


@pytest.mark.parametrize(
    ("compiled", "backend", "preset"),
    [
        *((compiled, "eager", NGD.fast) for compiled in (outside, within, before)),
        (outside, "eager", NGD),
        *((before, "inductor", NGD.fast) for _ in COMPILER),
    ],
)
def test_compiled_models_train_like_others(compiled: Callable, preset: Callable, backend: str) -> None:
    torch.compiler.reset()
    model, twin = network(SIZES), network(SIZES)
    torch.manual_seed(0)
    opt, call = compiled(model, preset, backend)
    torch.manual_seed(0)
    train(twin, preset(twin, Gaussian()))
    train(call, opt)
    assert [layer.name for layer in opt.layers] == ["0", "2", "4"]
    torch.testing.assert_close(weights(model), weights(twin), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("other", [True, False])
def test_a_model_that_ran_compiled_before_is_refused_until_a_reset(other: bool) -> None:
    """Or another one of its kind, whose compiled code knows no hooks."""
    torch.compiler.reset()
    model, x, y = network(SIZES), batch(30, 4), batch(30, 3, seed=2)
    call = torch.compile(model, backend="eager")
    (torch.compile(network(SIZES), backend="eager") if other else call)(x)
    opt = NGD(model, Gaussian())
    Gaussian()(call(x), y).backward()
    expect(RuntimeError, "nothing to step from: .* torch.compiler.reset", model, opt.step)
    torch.compiler.reset()
    opt.zero_grad()
    Gaussian()(call(x), y).backward()
    opt.step()
    assert opt.steps == 1


def test_factors_of_a_compiled_model() -> None:
    torch.compiler.reset()
    model, x = network(SIZES), batch(6, 4)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    for name, pair in kronecker_factors(compiled, Gaussian(), x).items():
        torch.testing.assert_close(pair, kronecker_factors(model, Gaussian(), x)[name])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("everywhere", [False, True], ids=["forward", "everywhere"])
def test_autocast_keeps_factors_and_steps_in_the_precision_of_the_weights(everywhere: bool, preset: Callable) -> None:
    """With bfloat16 activations (8 bits), factors are float32 and off by about 1 %, no more."""
    cast = partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    steps, factors = [], []
    for enabled in (False, True):
        model = network(SIZES).float()
        opt = preset(model, Gaussian(), samples=None, lr=0.1, factors=Factors(decay=0.5))
        x, y = batch(300, 4).float(), batch(300, 3, seed=2).float()
        with cast(enabled=enabled):
            output = model(x)
            assert output.dtype == (torch.bfloat16 if enabled else torch.float32)
        start = weights(model)
        with cast(enabled=enabled and everywhere):
            Gaussian()(output.float(), y).backward()
            opt.step()
        factors.append([A for pair in measured(opt) for A in pair])
        steps.append([p - q for p, q in zip(weights(model), start)])
    for exact, half in zip(*factors):
        assert half.dtype == torch.float32
        assert (exact - half).norm() < 0.02 * exact.norm()
    assert any(not exact.equal(half) for exact, half in zip(*factors))
    for exact, half in zip(*steps):
        assert (exact - half).norm() < 0.1 * exact.norm()


def test_steps_under_autocast_are_those_without() -> None:
    results = []
    for enabled in (False, True):
        model, x, y = network(SIZES).float(), batch(30, 4).float(), batch(30, 3, seed=2).float()
        opt = NGD.fast(model, Gaussian(), samples=None)
        Gaussian()(model(x), y).backward()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            opt.step()
        results.append(weights(model))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_scaled_loss_gives_the_same_steps(preset: Callable) -> None:
    """Scales are powers of two: to the bit. Parameters outside the layers included."""
    results = []
    for scale in (None, 2.0**10):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).double()
        opt = preset(model, Gaussian(), fallback=partial(torch.optim.SGD, lr=0.1))
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        for k in range(3):
            opt.zero_grad()
            loss = Gaussian()(model(batch(30, 4, seed=k)), batch(30, 3, seed=1000 + k))
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()
        results.append(weights(model))
        assert opt.steps == 3
    assert all(p.equal(q) for p, q in zip(*results, strict=True))


def scaled(model: nn.Module, opt: NGD, factor: float = 1.0) -> torch.amp.GradScaler:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaler.scale(factor * Gaussian()(model(batch(30, 4)), batch(30, 3))).backward()
    return scaler


@pytest.mark.what_if(
    "training loops", "gradients overflow under `GradScaler`", "the step is left out, and the scale is lowered"
)
def test_gradients_that_overflow_make_no_step() -> None:
    model = network(SIZES)
    opt, start = NGD(model, Gaussian()), weights(model)
    scaler = scaled(model, opt, torch.inf)
    scaler.step(opt)
    scaler.update()
    assert not opt.steps and scaler.get_scale() == 2.0**9
    assert all(p.equal(q) for p, q in zip(weights(model), start))
    expect(RuntimeError, "nothing to step from", model, opt.step)


def test_gradients_may_be_clipped_where_no_residual_is_measured() -> None:
    results = []
    for scale in (False, True):
        model = network(SIZES)
        opt = NGD(model, Gaussian(), samples=None)
        if scale:
            scaler = scaled(model, opt)
            scaler.unscale_(opt)
        else:
            Gaussian()(model(batch(30, 4)), batch(30, 3)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(opt) if scale else opt.step()
        results.append(weights(model))
    torch.testing.assert_close(*results)
    model = network(SIZES)
    opt = NGD.fast(model, Gaussian())
    scaler = scaled(model, opt)
    scaler.unscale_(opt)
    expect(RuntimeError, "leave the unscaling to scaler.step", model, lambda: scaler.step(opt))


def test_an_error_leaves_nothing_of_the_scaler_behind() -> None:
    model = network(SIZES)
    opt = NGD(model, Gaussian())
    scaler = scaled(model, opt)
    expect(StopIteration, "", model, lambda: scaler.step(opt, lambda: next(iter(()))))
    assert not hasattr(opt, "grad_scale") and not hasattr(opt, "found_inf")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_everything_kept_has_the_precision_of_the_weights(preset: Callable, dtype: torch.dtype) -> None:
    model = network(SIZES).to(dtype)
    opt = preset(model, Gaussian())
    train(model, opt, dtype=dtype)
    kept = list(tensors(dict(opt.state)))
    assert all(t.dtype == dtype and t.device == model[0].weight.device for t in kept)
    assert bool(kept) == (preset is not NGD)


def test_layers_of_different_precision_train_together() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).double())

    model, x = Mixed(), batch(50, 4).float()
    opt = NGD.fast(model, Gaussian())
    for _ in range(60):
        opt.zero_grad()
        loss = Gaussian()(model(x), x.double())
        loss.backward()
        opt.step()
    assert loss < 1e-3


def tensors(tree: object) -> list[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else ()
    return [t for part in parts for t in tensors(part)]


@pytest.mark.parametrize("width", [64, 256])
def test_what_the_fast_preset_keeps_is_at_most_five_times_the_parameters(width: int) -> None:
    """Factors, what was factorised of them, and momentum, for square layers with a bias."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(width, width) for _ in range(3)])
    opt = NGD.fast(model, Gaussian())
    x = torch.randn(20, width)
    for _ in range(3):
        opt.zero_grad()
        Gaussian()(model(x), x).backward()
        opt.step()
    storages = {s.data_ptr(): s for s in (t.untyped_storage() for t in tensors(dict(opt.state)))}
    kept = sum(s.nbytes() for s in storages.values())
    numbers = sum(p.numel() for p in model.parameters())
    assert 3 * numbers < kept / 4 <= 5 * numbers
