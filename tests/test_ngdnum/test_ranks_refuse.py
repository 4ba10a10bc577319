"""A step that one of several processes cannot take is taken by none of them."""

from __future__ import annotations

import copy
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ngdnum import NGD, Factors, FixedStep, Gaussian
from ngdnum.control import Step
from support.networks import batch, network
from support.ranks import on_ranks
from support.training import parameters

FAILING = False
"""Whether the parts below fail on this rank."""


class Samples(Gaussian):
    def sampled_score(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if FAILING:
            raise MemoryError("no memory for samples")
        return super().sampled_score(output, generator)


@dataclass(frozen=True)
class Broken(FixedStep):
    def move(self, *arguments: Any) -> Step:
        if FAILING:
            raise ValueError("no step from here")
        return super().move(*arguments)


@dataclass(frozen=True)
class Scaled(FixedStep):
    scale: list[float]

    def move(self, *arguments: Any) -> Step:
        return super().move(*arguments)._replace(scale=self.scale[0])


class Adam(torch.optim.Adam):
    def step(self, closure: Any = None) -> Any:
        if FAILING:
            raise ArithmeticError("no step of the fallback")
        return super().step(closure)


@contextmanager
def failing() -> Iterator[None]:
    global FAILING
    FAILING = True
    try:
        yield
    finally:
        FAILING = False


Pair = tuple[nn.Module, NGD]
Scenario = Callable[[bool, nn.Module, NGD, Tensor, Tensor], None]
"""What rank 1 does differently, in a step that it must not survive."""


def backward(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    loss = Gaussian()(model(x), y)
    loss.backward()
    return loss


def infinite(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, torch.full_like(x, torch.nan) if odd else x, y)
    opt.step()


def loss_handed_over(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x, y)
    opt.step(lambda: 1.0, loss=torch.nan if odd else 1.0)


def in_the_backward_pass(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    if odd:
        with failing():
            backward(model, x, y)
    else:
        backward(model, x, y)
    opt.step()


def after_the_update(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    def closure() -> Tensor:
        if odd:
            raise RuntimeError("the loss cannot be computed")
        return Gaussian()(model(x), y)

    opt.step(closure, loss=backward(model, x, y))


def interrupted(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    def closure() -> Tensor:
        if odd:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return Gaussian()(model(x), y)

    opt.step(closure, loss=backward(model, x, y))


def in_a_part(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x, y)
    if odd:
        with failing():
            opt.step()
    opt.step()


def empty(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x[:0], y[:0])
    opt.step()


def other_rate(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x, y)
    opt.param_groups[0]["lr"] *= 1 + odd
    try:
        opt.step()
    finally:
        opt.param_groups[0]["lr"] /= 1 + odd


def loss_on_one(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    loss = backward(model, x, y)
    opt.step(**({"loss": loss} if odd else {}))


def not_wrapped(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model.module, x + odd, y)
    opt.step()


def by_itself(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x, y)
    opt.control.scale[0] += odd * 1e-15
    try:
        opt.step()
    finally:
        opt.control.scale[0] = 1.0


def nothing_to_step_from(odd: bool, model: nn.Module, opt: NGD, x: Tensor, y: Tensor) -> None:
    backward(model, x, y)
    if odd:
        opt.zero_grad()
    opt.step()


def paper(model: nn.Module, **options: Any) -> NGD:
    return NGD.paper(model, Samples(), factors=Factors(decay=0.5), **options)


def fast(model: nn.Module) -> NGD:
    return NGD.fast(model, Gaussian())


def sample_efficient(model: nn.Module) -> NGD:
    return NGD.sample_efficient(model, Gaussian())


SCENARIOS: dict[str, tuple[Scenario, Callable[..., NGD], str, str]] = {
    "NaN in a batch": (infinite, fast, "NotFinite: the gradient of layer", "NotFinite: the gradient of layer"),
    "the loss is NaN": (loss_handed_over, paper, "ValueError: the loss before the step is nan", "ValueError: the loss"),
    "while samples are drawn": (
        in_the_backward_pass,
        paper,
        "Refusal: no weight was changed.*rank 1: MemoryError: no memory for",
        "MemoryError: no",
    ),
    "the closure fails": (
        after_the_update,
        sample_efficient,
        "Refusal.*rank 1: RuntimeError: the loss cannot",
        "RuntimeError: the loss cannot",
    ),
    "an interrupt": (interrupted, paper, "Refusal.*rank 1: KeyboardInterrupt", "KeyboardInterrupt"),
    "a control fails": (
        in_a_part,
        lambda model: paper(model, control=Broken()),
        "Refusal.*rank 1: ValueError: no step from",
        "ValueError: no step",
    ),
    "the fallback fails": (
        in_a_part,
        lambda model: paper(model, fallback=Adam),
        "Refusal.*rank 1: ArithmeticError: no step of",
        "ArithmeticError: no step of",
    ),
    "empty batches": (empty, fast, "ValueError: empty batch: no rank has", "ValueError: empty batch: no rank has"),
    "another learning rate": (
        other_rate,
        fast,
        "Refusal.*different learning rates",
        "Refusal.*different learning rates",
    ),
    "a loss on one rank": (loss_on_one, paper, "Refusal.*only some of them have a loss", "Refusal.*only some"),
    "not wrapped": (not_wrapped, fast, "Refusal.*different gradients: wrap", "Refusal.*different gradients: wrap"),
    "a control of its own": (
        by_itself,
        lambda model: paper(model, control=Scaled([1.0])),
        "Refusal.*computed different steps",
        "Refusal.*computed different steps",
    ),
    "one without passes": (
        nothing_to_step_from,
        fast,
        "Refusal.*used different layers",
        "Refusal.*used different layers",
    ),
}


def scenarios(rank: int) -> dict[str, dict[str, Any]]:
    found = {}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, (scenario, make, _, _) in SCENARIOS.items():
        inner: nn.Module = network([4, 5, 2])
        if name == "the fallback fails":
            inner = nn.Sequential(nn.LayerNorm(4), inner).double()
        model = DistributedDataParallel(inner)
        opt = make(model)
        x, y = batch(8, 4, rank), batch(8, 2, 10 + rank)
        opt.zero_grad()
        opt.step(loss=backward(model, x, y))
        before, state = parameters(inner), copy.deepcopy(opt.state_dict())
        opt.zero_grad()
        error = "none"
        try:
            scenario(rank == 1, model, opt, x, y)
        except BaseException as raised:
            error = f"{type(raised).__name__}: {raised}"
        kept = torch.equal(parameters(inner), before)
        same = repr({**opt.state_dict()["ngd"], "generator": 0}) == repr({**state["ngd"], "generator": 0})
        opt.zero_grad()
        opt.step(loss=backward(model, x, y))
        found[name] = {"error": error, "kept": kept and same, "after": parameters(inner), "before": before}
    return found


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    return on_ranks(scenarios, 2, tmp_path_factory.mktemp("ranks"))


@pytest.mark.what_if(
    "several processes",
    "one rank has NaN in its batch",
    "all refuse: “NotFinite: the gradient of layer”; weights and state stay as they are, and the next step is taken",
)
@pytest.mark.what_if(
    "several processes",
    "one rank runs out of memory",
    "the others: “Refusal: no weight was changed…rank 1: MemoryError: no memory for”",
)
@pytest.mark.what_if(
    "several processes", "no rank has an example", "all refuse: “ValueError: empty batch: no rank has”"
)
@pytest.mark.what_if("several processes", "one rank is interrupted", "the others: “Refusal…rank 1: KeyboardInterrupt”")
@pytest.mark.what_if(
    "several processes", "ranks have different learning rates", "all refuse: “Refusal…different learning rates”"
)
@pytest.mark.what_if(
    "several processes",
    "the model is not wrapped in DistributedDataParallel",
    "all refuse: “Refusal…different gradients: wrap”",
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_rank_takes_a_step_that_one_cannot_take(refused: list[dict[str, dict[str, Any]]], name: str) -> None:
    for found, message in zip([rank[name] for rank in refused], SCENARIOS[name][2:]):
        assert re.match(message, found["error"]), found["error"]
        assert found["kept"], "weights or state have changed"
        assert torch.equal(found["after"], refused[0][name]["after"]), "ranks differ after the next step"
        assert not torch.equal(found["after"], found["before"])


def survivor(rank: int) -> str:
    """What a rank is told whose companion has died before the step."""
    model = DistributedDataParallel(network([4, 5, 2]))
    opt = NGD.fast(model, Gaussian())
    backward(model, batch(8, 4), batch(8, 2))
    if rank == 1:
        os._exit(0)
    before = parameters(model)
    try:
        opt.step()
    except RuntimeError as error:
        assert torch.equal(parameters(model), before)
        (Path(os.environ["NGD_TEST_FOLDER"]) / "told").write_text(str(error))
        os._exit(0)
    return "no error"


@pytest.mark.what_if(
    "several processes", "a rank dies", "the others: “another rank is gone, so no weight was changed”; nobody waits"
)
def test_a_rank_that_dies_ends_the_step_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):  # no rank has returned
        on_ranks(dying, 2, tmp_path, tmp_path)
    assert (tmp_path / "told").read_text().startswith("another rank is gone, so no weight was changed")


def dying(rank: int, folder: Path) -> None:
    os.environ["NGD_TEST_FOLDER"] = str(folder)
    survivor(rank)
