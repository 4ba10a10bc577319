"""Two models trained at once, in two threads: as one after the other."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Gaussian
from support.interrupts import NGDNUM, bytecodes, interrupted
from support.networks import batch, network
from support.training import parameters

torch.set_num_threads(1)


class Skip(nn.Module):
    """What the step controls run again, since it is no chain."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net, self.last = network([4, 4, 4], seed=seed), network([4, 3], seed=seed)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.net(x))


def train(model: Skip, opt: NGD, errors: list[BaseException]) -> None:
    try:
        for k in range(25):
            x, y = batch(30, 4, seed=k), batch(30, 3, seed=100 + k)
            opt.zero_grad()
            Gaussian()(model(x)[:20], y[:20]).backward()
            opt.step()
    except BaseException as error:
        errors.append(error)


@pytest.mark.what_if(
    "training loops", "two models are trained in two threads", "both come out as when trained one after the other"
)
@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast, NGD.sample_efficient])
def test_two_threads(preset: Callable[..., NGD]) -> None:
    errors: list[BaseException] = []
    models = [Skip(seed) for seed in (0, 1, 0, 1)]
    runs = [(model, preset(model, Gaussian(), samples=None), errors) for model in models]
    for run in runs[:2]:
        train(*run)
    threads = [threading.Thread(target=train, args=run) for run in runs[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    torch.testing.assert_close(parameters(models[2]), parameters(models[0]))
    torch.testing.assert_close(parameters(models[3]), parameters(models[1]))


@pytest.mark.what_if(
    "training loops",
    "an interrupt comes while a step runs the model again",
    "other threads can train, and so can this one",
)
def test_an_interrupt_in_a_probe_leaves_no_thread_waiting() -> None:
    probe = str(NGDNUM / "fisher" / "primal.py"), str(NGDNUM / "record" / "replay.py")
    model, other = Skip(0), Skip(1)
    opt = NGD.fast(model, Gaussian(), samples=None)
    saved = copy.deepcopy(opt.state_dict())

    def ready() -> None:
        opt.load_state_dict(saved)
        Gaussian()(model(batch(30, 4)), batch(30, 3, seed=1)).backward()

    ready()
    weights = copy.deepcopy(model.state_dict())
    points = range(1, bytecodes(opt.step, probe), 3)
    assert len(points) > 40
    for k in points:
        model.load_state_dict(weights)
        ready()
        assert interrupted(opt.step, k, probe)[0]
    errors: list[BaseException] = []
    thread = threading.Thread(target=train, args=(other, NGD.fast(other, Gaussian()), errors), daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive() and not errors
    train(model, opt, errors)
    assert not errors
