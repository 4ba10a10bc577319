"""Several processes with parts of a batch take the steps of one process with all of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ngdnum import NGD, Factors, Gaussian, Inverse, Likelihood
from ngdnum.control import ConjugateGradient, DualConjugateGradient, ExactLineSearch, TrustRegion
from ngdnum.curvature import shares
from ngdnum.schedule import due
from support.networks import network
from support.ranks import on_ranks, trained
from support.training import parameters

M = 32


class SameSamples(Gaussian):
    """Targets that depend smoothly on the output of their example, and on nothing else."""

    def sampled_score(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (3 * output).sin() * 2**0.5


MAKERS: dict[str, Callable[..., NGD]] = {
    "paper": lambda model: NGD.paper(model, Gaussian(), samples=None),
    "fast": lambda model: NGD.fast(model, Gaussian(), samples=None),
    "sample_efficient": lambda model: NGD.sample_efficient(model, Gaussian(), samples=None),
    "exact": lambda model: NGD(model, Gaussian(), rule="exact", damping=0.0, samples=None, lr=0.1),
}
OTHERS: dict[str, Callable[..., NGD]] = {
    "sampled": lambda model: NGD.fast(model, SameSamples(), samples=1),
    "running": lambda model: NGD(model, Gaussian(), rule="running", samples=None, factors=Factors(decay=0.9)),
    "conjugate gradient": lambda model: NGD(model, Gaussian(), samples=None, control=ConjugateGradient()),
    "line search": lambda model: NGD(model, Gaussian(), samples=None, control=ExactLineSearch(rows=8)),
    "trust region": lambda model: NGD(model, Gaussian(), samples=None, control=TrustRegion(1e-3)),
    "clipped": lambda model: NGD(
        model, Gaussian(), rule="pi_damped", samples=None, control=DualConjugateGradient(), inverse=Inverse()
    ),
    "fallback": lambda model: NGD.fast(
        model, Gaussian(), samples=None, fallback=lambda p: torch.optim.AdamW(p, lr=1e-2)
    ),
}


def made(name: str) -> nn.Module:
    model: nn.Module = network([5, 6, 4], activation=nn.Identity if name == "exact" else nn.Tanh)
    return nn.Sequential(nn.LayerNorm(5), model).double() if name == "fallback" else model


def batches(steps: int, size: int = M) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    target = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    xs = torch.randn(steps, size, 5, dtype=torch.float64, generator=generator)
    noise = torch.randn(steps, size, 4, dtype=torch.float64, generator=generator)
    return [(x, x @ target + 0.1 * e) for x, e in zip(xs, noise)]


def train(opt: NGD, model: nn.Module, steps: int, rank: int, ranks: int, clip: bool = False) -> list[float]:
    """Losses of `steps` steps in which each rank has every so manieth row."""
    losses = []
    for x, y in batches(steps):
        x, y = x[rank::ranks], y[rank::ranks]
        opt.zero_grad()
        loss = Gaussian()(model(x), y)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        losses.append(float(opt.step(lambda: Gaussian()(model(x), y), loss=loss)))
    return losses


def on_rank(rank: int, makers: str, steps: int) -> dict[str, Any]:
    return trained(rank, dist.get_world_size(), made, train, globals()[makers], lambda name: steps)


@pytest.mark.parametrize(
    "ranks, makers, steps", [(2, "MAKERS", 50), (4, "MAKERS", 50), (2, "OTHERS", 10)], ids=["2", "4", "parts of a step"]
)
def test_ranks_take_the_steps_of_one_process_with_the_whole_batch(
    ranks: int, makers: str, steps: int, tmp_path: Path
) -> None:
    found = on_ranks(on_rank, ranks, tmp_path, makers, steps)
    alone = trained(0, 1, made, train, globals()[makers], lambda name: steps)
    for name, (weights, losses, damping) in alone.items():
        for rank in found:
            assert torch.equal(rank[name][0], found[0][name][0]), f"{name}: ranks differ"
            assert rank[name][1:] == found[0][name][1:], f"{name}: ranks decide by different numbers"
        torch.testing.assert_close(found[0][name][0], weights, rtol=0, atol=1e-10, msg=lambda text: f"{name}: {text}")
        torch.testing.assert_close(found[0][name][1], losses, rtol=1e-8, atol=1e-12, msg=lambda text: f"{name}: {text}")
        assert found[0][name][2] == pytest.approx(damping, rel=1e-9)  # a relative floor follows sums, in another order


def loops(rank: int) -> dict[str, Tensor]:
    """Weights after loops of other kinds; each rank has rows of all."""
    found, lik = {}, Gaussian()

    model = network([5, 6, 4])
    opt = NGD.fast(model, lik, samples=None)
    wrapped = DistributedDataParallel(model)
    train(opt, wrapped, 10, rank, 2)
    found["wrapped after NGD is built"] = parameters(model)
    found["state"] = copy.deepcopy((model.state_dict(), opt.state_dict()))

    model = network([5, 6, 4])
    wrapped = DistributedDataParallel(model)
    opt = NGD.fast(wrapped, lik, samples=None)
    for x, y in batches(10):
        x, y = x[rank::2], y[rank::2]
        opt.zero_grad()
        with wrapped.no_sync():
            (lik(wrapped(x[:8]), y[:8]) / 2).backward()
        (lik(wrapped(x[8:]), y[8:]) / 2).backward()
        opt.step()
    found["accumulated under no_sync"] = parameters(model)

    for name, scale in ("mean of means", 1.0), ("mean of rows", 2 * (M - 10, 10)[rank] / M):
        model = network([5, 6, 4])
        wrapped = DistributedDataParallel(model)
        opt = NGD.sample_efficient(wrapped, lik, samples=None)
        for x, y in batches(10):
            x, y = (x[:-10], y[:-10]) if rank == 0 else (x[-10:], y[-10:])
            opt.zero_grad()
            (scale * lik(wrapped(x), y)).backward()
            opt.step()
        found[name] = parameters(model)
    return found


@pytest.mark.what_if(
    "several processes",
    "the last batch is ragged, gradients are accumulated, or the model is wrapped after `NGD` was built",
    "weights are those of one process with the whole batch",
)
@pytest.mark.what_if(
    "several processes", "a state saved on two processes is loaded on one", "training goes on as on one"
)
def test_wrapping_late_accumulation_ragged_batches_and_going_on_alone(tmp_path: Path) -> None:
    first, second = on_ranks(loops, 2, tmp_path)
    alone = {}
    model = network([5, 6, 4])
    opt = NGD.fast(model, Gaussian(), samples=None)
    train(opt, model, 10, 0, 1)
    alone["wrapped after NGD is built"] = alone["accumulated under no_sync"] = parameters(model)
    train(opt, model, 5, 0, 1)
    further = network([5, 6, 4])
    opt = NGD.fast(further, Gaussian(), samples=None)
    further.load_state_dict(first["state"][0])
    opt.load_state_dict(first["state"][1])
    train(opt, further, 5, 0, 1)
    torch.testing.assert_close(parameters(further), parameters(model), rtol=0, atol=1e-10)
    weights = torch.tensor([1 / (M - 10)] * (M - 10) + [1 / 10] * 10, dtype=torch.float64)
    for name, weight in ("mean of means", weights), ("mean of rows", None):
        model = network([5, 6, 4])
        opt = NGD.sample_efficient(model, Gaussian(), samples=None)
        for x, y in batches(10):
            opt.zero_grad()
            Gaussian()(model(x), y, weight=weight).backward()
            opt.step()
        alone[name] = parameters(model)
    for name, expected in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, rtol=0, atol=1e-10, msg=lambda text: f"{name}: {text}")


def checkpoints(rank: int, folder: Path) -> dict[str, Any]:
    """States after 5 steps, and the weights after 5 more, of the same and of resumed runs."""
    torch.manual_seed(7)
    lik: Likelihood = Gaussian()

    def run() -> tuple[nn.Module, nn.Module, NGD]:
        model = network([5, 6, 4])
        wrapped = DistributedDataParallel(model)
        torch.manual_seed(7)
        return model, wrapped, NGD.fast(wrapped, lik, factors=Factors(decay=0.8))

    model, wrapped, opt = run()
    draws = torch.rand(4, generator=torch.Generator().set_state(opt.generator.get_state()))
    train(opt, wrapped, 5, rank, 2)
    saved = {"model": model.state_dict(), "opt": opt.state_dict()}
    torch.save(saved, folder / f"own{rank}.pt")
    train(opt, wrapped, 5, rank, 2)
    found = {"draws": draws, "uninterrupted": parameters(model)}
    for name in f"own{rank}", "own0":
        dist.barrier()
        state = torch.load(folder / f"{name}.pt")
        model, wrapped, opt = run()
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        found["draws of " + name[:3] + "0" * (name == "own0" and rank > 0)] = torch.rand(
            4, generator=torch.Generator().set_state(opt.generator.get_state())
        )
        train(opt, wrapped, 5, rank, 2)
        found["resumed from " + ("own" if name == f"own{rank}" else "first")] = parameters(model)
    return found


def test_samples_are_independent_and_reproducible_and_states_are_those_of_any_rank(tmp_path: Path) -> None:
    first, second = on_ranks(checkpoints, 2, tmp_path / "once", tmp_path)
    again, _ = on_ranks(checkpoints, 2, tmp_path / "again", tmp_path)
    assert not torch.equal(first["draws"], second["draws"])
    assert torch.equal(first["draws"], again["draws"])
    assert torch.equal(first["uninterrupted"], second["uninterrupted"])
    assert torch.equal(first["uninterrupted"], again["uninterrupted"])
    assert not torch.equal(second["draws of own0"], first["draws of own"])
    assert torch.equal(second["resumed from own"], second["uninterrupted"])
    model = network([5, 6, 4])
    opt = NGD.fast(model, Gaussian(), factors=Factors(decay=0.8))
    opt.load_state_dict(torch.load(tmp_path / "own1.pt")["opt"])  # in a world of one
    assert opt.steps == 5
    train(opt, model, 1, 0, 1)


def resumed(rank: int, folder: Path) -> dict[str, Tensor]:
    """Weights after 3 steps more than those that one process has taken."""
    found = {}
    for name, make in MAKERS.items():
        state = torch.load(folder / f"{name}.pt")
        model = made(name)
        wrapped = DistributedDataParallel(model)
        opt = make(wrapped)
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        train(opt, wrapped, 3, rank, dist.get_world_size())
        found[name] = parameters(model)
        found[f"draws of {name}"] = torch.rand(4, generator=opt.generator)
    return found


@pytest.mark.what_if(
    "several processes", "a state saved on one process is loaded on two or four", "training goes on as on one"
)
@pytest.mark.parametrize("ranks", [2, 4])
def test_what_one_process_has_saved_goes_on_with_several(ranks: int, tmp_path: Path) -> None:
    alone = {}
    for name, make in MAKERS.items():
        model = made(name)
        opt = make(model)
        train(opt, model, 5, 0, 1)
        torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, tmp_path / f"{name}.pt")
        train(opt, model, 3, 0, 1)
        alone[name] = parameters(model)
    found = on_ranks(resumed, ranks, tmp_path / "ranks", tmp_path)
    for name, expected in alone.items():
        torch.testing.assert_close(found[0][name], expected, rtol=0, atol=1e-10, msg=lambda text: f"{name}: {text}")
        for other in found[1:]:
            assert torch.equal(other[name], found[0][name])
            assert not torch.equal(other[f"draws of {name}"], found[0][f"draws of {name}"])


def sent(rank: int, widths: list[int]) -> dict[str, float]:
    """Bytes of gradients, and what NGD adds in a step that measures and factorises, that measures, and in others."""
    shares.SMALL = 5e6
    model = network(widths).float()
    wrapped = DistributedDataParallel(model)
    opt = NGD.fast(wrapped, Gaussian())
    bytes_ = 0
    for name in "all_reduce", "all_gather", "broadcast":
        original = getattr(dist, name)

        def counted(*arguments: Any, original: Any = original, **keywords: Any) -> Any:
            nonlocal bytes_
            tensor = arguments[1] if isinstance(arguments[0], list) else arguments[0]
            bytes_ += tensor.numel() * tensor.element_size()
            return original(*arguments, **keywords)

        setattr(dist, name, counted)
    found = {"gradients": 4.0 * sum(p.numel() for p in model.parameters())}
    for step in range(65):
        x = torch.randn(8, widths[0])
        opt.zero_grad()
        Gaussian()(wrapped(x), x[:, : widths[-1]]).backward()
        bytes_ = 0
        opt.step()
        found["factorising" if due(step, 128) else "measuring" if due(step, 64) else "plain"] = float(bytes_)
    return found


def test_fast_sends_hardly_more_than_the_gradients(tmp_path: Path) -> None:
    widths = [200, 100, 50, 100, 200]
    found = on_ranks(sent, 2, tmp_path, widths)[0]
    steps = 10_000
    factorisations, measurements = (sum(due(step, every) for step in range(steps)) for every in (128, 64))
    mean = (
        factorisations * found["factorising"]
        + (measurements - factorisations) * found["measuring"]
        + (steps - measurements) * found["plain"]
    ) / steps
    sizes = [size for n, m in zip(widths[1:], widths) for size in (n, m + 1)]
    row = 16 * 8
    assert found["plain"] == 3 * row
    assert found["measuring"] == found["plain"] + row + 4 * sum((size + 1) // 2 * (size + 1) for size in sizes)
    large = [(100, 201), (200, 101)]  # n³ + m³ is more than 5e6
    inverses = sum(n**2 + m**2 + (m + 1) // 2 * (m + 1) + (m + 1) + 2 for n, m in large)
    assert found["factorising"] == found["measuring"] + row + 4 * inverses
    assert 1 + mean / found["gradients"] <= 1.1
