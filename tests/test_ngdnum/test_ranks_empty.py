"""Ranks without an example of a batch take part in its step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ngdnum import NGD, Categorical, Factors, Gaussian, Inverse
from ngdnum.control import ConjugateGradient, DualConjugateGradient, ExactLineSearch, OutputNormalised, TrustRegion
from support.networks import network
from support.ranks import on_ranks, trained
from support.training import parameters

M = 32
ALL = OutputNormalised(momentum=0.8, rows=4 * M, every=16)
"""The control of `NGD.fast`, but it looks at all examples, wherever they are."""

PRESETS: dict[str, Callable[..., NGD]] = {
    "paper": lambda model: NGD.paper(model, Gaussian(), samples=None),
    "fast": lambda model: NGD.fast(model, Gaussian(), samples=None, control=ALL),
    "sample_efficient": lambda model: NGD.sample_efficient(model, Gaussian(), samples=None),
    "exact": lambda model: NGD(model, Gaussian(), rule="exact", damping=0.0, samples=None, lr=0.1),
}
"""Each takes its steps with closures."""
PARTS: dict[str, Callable[..., NGD]] = {
    "running": lambda model: NGD(model, Gaussian(), rule="running", samples=None, factors=Factors(decay=0.9)),
    "conjugate gradient": lambda model: NGD(model, Gaussian(), samples=None, control=ConjugateGradient()),
    "line search": lambda model: NGD(model, Gaussian(), samples=None, control=ExactLineSearch(rows=2 * M)),
    "trust region": lambda model: NGD(model, Gaussian(), samples=None, control=TrustRegion(1e-3)),
    "clipped": lambda model: NGD(
        model, Gaussian(), rule="pi_damped", samples=None, control=DualConjugateGradient(), inverse=Inverse()
    ),
    "fallback": lambda model: NGD.fast(
        model, Gaussian(), samples=None, control=ALL, fallback=lambda p: torch.optim.AdamW(p, lr=1e-2)
    ),
}


def steps(name: str) -> int:
    """Whole turns of who has no example: of `NGD.fast` until it has looked at the outputs again, of others two."""
    return 18 if name in ("fast", "fallback") else 6


def made(name: str) -> nn.Module:
    model: nn.Module = network([5, 6, 4], activation=nn.Identity if name == "exact" else nn.Tanh)
    return nn.Sequential(nn.LayerNorm(5), model).double() if name == "fallback" else model


def batches(steps: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    target = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    xs = torch.randn(steps, M, 5, dtype=torch.float64, generator=generator)
    return [(x, x @ target + 0.1 * torch.randn(M, 4, dtype=torch.float64, generator=generator)) for x in xs]


def train(opt: NGD, model: nn.Module, steps: int, rank: int, ranks: int, clip: bool) -> list[float]:
    """Losses of `steps` steps; in every third one the last rank has all rows, in the next one all but the last."""
    losses = []
    for step, (x, y) in enumerate(batches(steps)):
        shares = [len(x[r::ranks]) for r in range(ranks)]
        if ranks > 1 and step % 3 == 0:
            shares = [0] * (ranks - 1) + [M]
        elif ranks > 1 and step % 3 == 1:
            shares = [M - ranks + 2] + [1] * (ranks - 2) + [0]
        start = sum(shares[:rank])
        x, y = x[start : start + shares[rank]], y[start : start + shares[rank]]

        def loss_of_batch(x: Tensor = x, y: Tensor = y) -> Tensor:
            return Gaussian()(model(x), y) * (ranks * len(x) / M)

        opt.zero_grad()
        loss = loss_of_batch()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        losses.append(float(opt.step(loss_of_batch, loss=loss)))
    return losses


def presets(rank: int) -> dict[str, Any]:
    return trained(rank, dist.get_world_size(), made, train, PRESETS, steps)


def parts(rank: int) -> dict[str, Any]:
    return trained(rank, dist.get_world_size(), made, train, PARTS, steps)


@pytest.mark.what_if(
    "several processes",
    "some ranks have no example of a batch, such as of the last one of an epoch",
    "weights are those of one process with the whole batch, for every preset",
)
@pytest.mark.parametrize("ranks, work", [(2, presets), (4, presets), (2, parts)], ids=["2", "4", "parts of a step"])
def test_ranks_without_examples_take_the_steps_of_one_process_with_the_whole_batch(
    ranks: int, work: Callable[..., Any], tmp_path: Path
) -> None:
    found = on_ranks(work, ranks, tmp_path)
    alone = trained(0, 1, made, train, PRESETS if work is presets else PARTS, steps)
    for name, (weights, losses, damping) in alone.items():
        for rank in found:
            assert torch.equal(rank[name][0], found[0][name][0]), f"{name}: ranks differ"
            assert rank[name][1:] == found[0][name][1:], f"{name}: ranks decide by different numbers"
        torch.testing.assert_close(found[0][name][0], weights, rtol=0, atol=1e-10, msg=lambda text: f"{name}: {text}")
        torch.testing.assert_close(found[0][name][1], losses, rtol=1e-8, atol=1e-12, msg=lambda text: f"{name}: {text}")
        assert found[0][name][2] == pytest.approx(damping, rel=1e-9)


def convolutions() -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 9, 3)
    return nn.Sequential(*layers).double()


def accumulated(rank: int) -> list[Tensor]:
    """Weights after steps of two passes, of which the last rank has none, the second or both without an example."""
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    found = []
    for preset in NGD.sample_efficient, partial(NGD.fast, control=ALL):
        model = convolutions()
        wrapped = DistributedDataParallel(model) if ranks > 1 else model
        opt = preset(wrapped, Categorical(), samples=None)
        generator = torch.Generator().manual_seed(5)
        for step in range(6):
            x = torch.randn(8, 2, 3, 3, dtype=torch.float64, generator=generator)
            y = torch.randint(3, (8,), generator=generator)
            opt.zero_grad()
            for part, rows in enumerate((x[:4], x[4:])):
                targets = y[4 * part : 4 * part + 4]
                if ranks > 1:
                    kept = [4, 2, 0][(step + part) % 3]
                    own = slice(kept) if rank == 0 else slice(kept, 4)
                    rows, targets = rows[own], targets[own]
                (Categorical()(wrapped(rows), targets) * (ranks * len(rows) / 8)).backward()
            opt.step()
        found.append(parameters(model))
    return found


def test_passes_without_examples_may_be_accumulated_with_others(tmp_path: Path) -> None:
    first, second = on_ranks(accumulated, 2, tmp_path)
    for own, other, alone in zip(first, second, accumulated(0)):
        assert torch.equal(own, other)
        torch.testing.assert_close(own, alone, rtol=0, atol=1e-10)


def joined(rank: int) -> str:
    """What a rank is told that steps within `join()`; the second one has no batch."""
    model = network([5, 6, 4])
    wrapped, before = DistributedDataParallel(model), parameters(model)
    opt = NGD.fast(wrapped, Gaussian())
    told = ""
    with wrapped.join():
        for x, y in batches(1 - rank):
            Gaussian()(wrapped(x), y).backward()
            try:
                opt.step()
            except RuntimeError as error:
                told = f"{type(error).__name__}: {error}"
    assert torch.equal(parameters(model), before)
    return told


@pytest.mark.what_if(
    "several processes",
    "`step` is called within `join()` of DistributedDataParallel",
    "“Refusal: no weight was changed, since the model has been in join()”; nobody waits",
)
def test_a_step_within_join_is_refused_at_once(tmp_path: Path) -> None:
    first, second = on_ranks(joined, 2, tmp_path)
    assert first.startswith("Refusal: no weight was changed, since the model has been in join()")
    assert first.endswith("leave it out, and let them go on with empty ones")
    assert not second
