"""Each of several processes factorises its share, and all go on with the same results."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ngdnum import NGD, Decay, Factors, Fixed, Gaussian, Inverse
from ngdnum.curvature import block, shares
from ngdnum.curvature.block import Block
from ngdnum.curvature.shares import dealt
from ngdnum.experiments import EXPERIMENTS
from ngdnum.rule import resolve
from ngdnum.rules import Rule
from ngdnum.stack import stacks
from support.networks import network
from support.ranks import on_ranks, trained
from support.training import parameters

WIDTHS = [9, 12, 7, 12, 9]
FACTORS = Factors(every=2, decay=0.8)
MAKERS = {
    "drift": lambda model: NGD.fast(
        model, Gaussian(), samples=None, factors=FACTORS, inverse=Inverse(every=9, drift=0.2)
    ),
    "in double precision": lambda model: NGD.fast(
        model, Gaussian(), samples=None, inverse=Inverse(every=3, dtype=torch.float64)
    ),
    "raised damping": lambda model: NGD(
        model, Gaussian(), rule=SINGULAR, damping=Fixed(0.01), samples=None, lr=1e-3, inverse=Inverse(every=2)
    ),
    "whitening": lambda model: NGD(
        model, Gaussian(), rule="whitening", damping=Fixed(0.1), samples=None, lr=0.01, inverse=Inverse(every=2)
    ),
    "inverses": lambda model: NGD(
        model, Gaussian(), rule="pi_damped", damping=Fixed(0.1), samples=None, inverse=Inverse(solver="inverse")
    ),
    "rests": lambda model: NGD(model, Gaussian(), rule="fisher_shampoo", damping=Decay(0.1, 30.0), samples=None),
}
SINGULAR = """
def factorise(Lambda, lam):
    if Lambda.shape[-1] == 8 and lam < 0.05:
        raise torch.linalg.LinAlgError("singular")
    return (torch.linalg.inv(Lambda + lam * torch.eye(Lambda.shape[-1])).mT, [{"none": None, "count": 3}])
def apply(G, state):
    return G @ state[0]
"""


def steps(name: str) -> int:
    """Until what is done now and then has been done again, also after an estimate has drifted."""
    return {"drift": 12, "in double precision": 8}.get(name, 6)


def made(name: str) -> nn.Module:
    return network(WIDTHS)


def train(opt: NGD, model: nn.Module, steps: int, rank: int, ranks: int, clip: bool = False) -> list[float]:
    losses = []
    generator = torch.Generator().manual_seed(3)
    for step in range(steps):
        x = torch.randn(36, WIDTHS[0], dtype=torch.float64, generator=generator)
        if step < opt.steps:
            continue
        own = x[rank::ranks]
        opt.zero_grad()
        loss = Gaussian()(model(own), own.sin())
        loss.backward()
        losses.append(float(opt.step(lambda own=own: Gaussian()(model(own), own.sin()), loss=loss)))
    return losses


@contextmanager
def sharing(cost: float = 0.0) -> Iterator[list[str]]:
    """Within, what costs more than `cost` is shared; the names of the layers that this rank factorises."""
    names: list[str] = []
    before, own = shares.SMALL, block.factorised

    def noted(*arguments: Any) -> Any:
        names.extend(layer.name for layer in arguments[5])
        return own(*arguments)

    shares.SMALL, block.factorised = cost, noted
    try:
        yield names
    finally:
        shares.SMALL, block.factorised = before, own


def shared_and_apart(rank: int) -> list[dict[str, Any]]:
    found = []
    for cost in 0.0, 1e9:
        with sharing(cost):
            found.append(trained(rank, dist.get_world_size(), made, train, MAKERS, steps))
    return found


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_that_share_factorisations_take_the_steps_of_one_process(ranks: int, tmp_path: Path) -> None:
    found, [apart, *_] = zip(*on_ranks(shared_and_apart, ranks, tmp_path))
    for name, (weights, losses, damping) in trained(0, 1, made, train, MAKERS, steps).items():
        for rank in found:
            assert torch.equal(rank[name][0], found[0][name][0]), f"{name}: ranks differ"
            assert rank[name][1:] == found[0][name][1:], f"{name}: ranks decide by different numbers"
        assert torch.equal(found[0][name][0], apart[name][0]), f"{name}: not what each rank finds by itself"
        torch.testing.assert_close(found[0][name][0], weights, rtol=0, atol=1e-10, msg=lambda text: f"{name}: {text}")
        torch.testing.assert_close(found[0][name][1], losses, rtol=1e-8, atol=1e-12, msg=lambda text: f"{name}: {text}")
        assert found[0][name][2] == pytest.approx(damping, rel=1e-9)


def counted(rank: int) -> dict[str, list[str]]:
    found = {}
    for name, cost, rule in [
        ("all", 0.0, "whitening"),
        ("wide", 2600.0, "whitening"),
        ("none", 1e9, "whitening"),
        ("Cholesky", 0.0, "kronecker"),
        ("nothing to factorise", 0.0, "running"),
    ]:
        with sharing(cost) as names:
            model = DistributedDataParallel(network(WIDTHS))
            train(NGD(model, Gaussian(), rule=rule, samples=None), model, 1, rank, 2)
        found[name] = list(names)
    return found


def test_each_rank_factorises_its_share_only(tmp_path: Path) -> None:
    first, second = on_ranks(counted, 2, tmp_path)
    assert (first["all"], second["all"]) == (["4", "6"], ["0", "2"])  # of costs 2240, 2926, 2728 and 2540
    assert (first["wide"], second["wide"]) == (["2", "4", "6"], ["0", "2", "4"])
    for name in "none", "Cholesky", "nothing to factorise":
        assert first[name] == second[name] == ["0", "2", "4", "6"], name


def bytes_of_inverses(rank: int) -> int:
    """What both ranks together send of explicit inverses."""
    own, sent = dist.broadcast, []

    def counted(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
        sent.append(tensor.numel() * tensor.element_size())
        return own(tensor, *arguments, **options)

    dist.broadcast = counted
    with sharing():
        model = DistributedDataParallel(network(WIDTHS))
        train(MAKERS["inverses"](model), model, 1, rank, 2)
    return sum(sent)


def test_symmetric_matrices_are_sent_by_one_triangle(tmp_path: Path) -> None:
    sizes = [size for n, m in zip(WIDTHS[1:], WIDTHS) for size in (n, m + 1)]
    triangles = 8 * sum((size + 1) // 2 * (size + 1) for size in sizes)
    assert on_ranks(bytes_of_inverses, 2, tmp_path) == [triangles, triangles]


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_shares_of_the_autoencoder_balance(ranks: int) -> None:
    opt = NGD.fast(EXPERIMENTS["fig1d"].problem(0, None).model, Gaussian())
    blocks = [Block([stack], opt.state) for stack in stacks(dict(enumerate(opt.layers)))]
    costs = [block.cost(opt.rule) for block in blocks]
    assert sum(costs) == sum(float(n**3 + m**3) for n, m in (layer.shape for layer in opt.layers))
    load = [0.0] * ranks
    for cost, owner in zip(costs, dealt(costs, ranks)):
        load[owner] += cost
    assert max(load) <= max(1.01 * sum(costs) / ranks, max(costs))  # of four ranks, two have one wide layer each
    assert max(costs) > shares.SMALL > min(costs)
    assert not blocks[0].cost(resolve("running"))


ERRORS = {"LinAlgError": torch.linalg.LinAlgError("singular"), "MemoryError": MemoryError("no room")}


def breaking(error: Exception) -> tuple[Rule, list[int]]:
    """A rule, and the sizes of the factors at which it fails, none at first."""
    broken: list[int] = []

    def factorise(Lambda: Tensor, lam: float) -> tuple[Tensor]:
        if Lambda.shape[-1] in broken:
            raise error
        return (torch.linalg.inv(Lambda + lam * torch.eye(Lambda.shape[-1])),)

    def apply(G: Tensor, state: tuple[Tensor]) -> Tensor:
        return G @ state[0]

    return Rule("breaking", factorise, apply), broken


def refused(rank: int) -> dict[str, Any]:
    found = {}
    for name, error in ERRORS.items():
        inner = network(WIDTHS)
        model = DistributedDataParallel(inner)
        rule, broken = breaking(error)
        opt = NGD(model, Gaussian(), rule=rule, samples=None, lr=1e-2, inverse=Inverse(every=3))
        with sharing() as names:
            train(opt, model, 3, rank, 2)
            before, state, told = parameters(inner), copy.deepcopy(opt.state_dict()), "none"
            broken.append(8)
            names.clear()
            try:
                train(opt, model, 4, rank, 2)
            except Exception as raised:
                told = f"{type(raised).__name__}: {raised}"
            broken.clear()
            kept = torch.equal(parameters(inner), before) and repr(opt.state_dict()["ngd"]) == repr(state["ngd"])
            tried = list(names)
            train(opt, model, 6, rank, 2)
        found[name] = told, kept, tried, parameters(inner)
    return found


@pytest.mark.what_if(
    "several processes",
    "a factor cannot be factorised on the rank whose share it is",
    "the others: “Refusal: no weight was changed…rank 1”, with its “a factor of layers 4 could not be factorised”",
)
def test_a_factor_that_one_rank_cannot_factorise_is_told_to_all(tmp_path: Path) -> None:
    first, second = on_ranks(refused, 2, tmp_path)
    for name, ((told, kept, tried, after), (other, also, others, same)) in {
        name: (first[name], second[name]) for name in ERRORS
    }.items():
        assert "4" in others and "4" not in tried
        sentence = "a factor of layers 4 could not be factorised" if name == "LinAlgError" else "no room"
        assert re.match(f"Refusal: no weight was changed.*rank 1: _?{name}: {sentence}", told), told
        assert re.match(f"_?{name}: {sentence}", other), other
        assert kept and also, "weights or state have changed"
        assert torch.equal(after, same), "ranks differ after the next steps"


def resumed(rank: int, folder: Path) -> dict[str, dict[str, Tensor]]:
    """Weights of runs that were not interrupted, and of runs that go on from step k, each from the rank's own state."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, make in MAKERS.items():
        found[name] = {}
        with sharing():
            for stop in (None, 1, 5) if name == "drift" else (None, 2):
                inner = made(name)
                model = DistributedDataParallel(inner)
                opt = make(model)
                if stop is not None:
                    train(opt, model, stop, rank, 2)
                    file = folder / f"{rank}-{name}-{stop}.state"
                    torch.save({"model": inner.state_dict(), "opt": opt.state_dict()}, file)
                    state = torch.load(file)
                    inner = made(name)
                    model = DistributedDataParallel(inner)
                    opt = make(model)
                    inner.load_state_dict(state["model"])
                    opt.load_state_dict(state["opt"])
                train(opt, model, steps(name), rank, 2)
                found[name][str(stop)] = parameters(inner)
    return found


def test_runs_that_share_go_on_to_the_bit(tmp_path: Path) -> None:
    first, second = on_ranks(resumed, 2, tmp_path, tmp_path)
    for name, runs in first.items():
        for stop, weights in runs.items():
            assert torch.equal(weights, runs["None"]), f"{name}: other weights after a stop at {stop}"
            assert torch.equal(weights, second[name][stop]), f"{name}: ranks differ"
