"""Two models trained at once, in two threads: as one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Gaussian
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


def train(preset: Callable[..., NGD], seed: int, found: dict[int, Tensor | BaseException]) -> None:
    try:
        model = Skip(seed)
        opt = preset(model, Gaussian(), samples=None)
        for k in range(25):
            x, y = batch(30, 4, seed=k), batch(30, 3, seed=100 + k)
            opt.zero_grad()
            Gaussian()(model(x)[:20], y[:20]).backward()
            opt.step()
        found[seed] = parameters(model)
    except BaseException as error:
        found[seed] = error


@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast, NGD.sample_efficient])
def test_two_threads(preset: Callable[..., NGD]) -> None:
    expected: dict[int, Tensor | BaseException] = {}
    found: dict[int, Tensor | BaseException] = {}
    for seed in (0, 1):
        train(preset, seed, expected)
    threads = [threading.Thread(target=train, args=(preset, seed, found)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
