"""What a step of `NGD.fast` does besides the two passes of the loss, counted: calls, and examples of the probe."""

from __future__ import annotations

import os
import sys
from functools import partial
from operator import ne
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ngdnum
from ngdnum import NGD, Categorical, Gaussian

ROOT = os.path.dirname(ngdnum.__file__)


def test_a_plain_step_on_three_layers_makes_few_python_calls_and_fewer_jumps() -> None:
    """At most 140 within ngdnum, 70 of them into another file than the one before; no factors, no inverses are due.

    From the first line of `zero_grad` to the last of `step`.
    """
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    likelihood = Gaussian()
    opt = NGD.fast(model, likelihood)
    x, y, calls = torch.randn(64, 6), torch.randn(64, 4), []

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOT):
            calls.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    for k in range(10):
        sys.setprofile(count if k == 9 else None)
        opt.zero_grad()
        likelihood(model(x), y).backward()
        opt.step()
        sys.setprofile(None)
    files, names = zip(*calls)
    assert not {"measure", "factorised"} & set(names)
    assert 50 < len(calls) <= 140, calls
    assert 30 < sum(map(ne, files, files[1:])) <= 70, calls


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_the_probe_of_a_norm_does_not_work_out_shapes_in_python(norm: type[nn.Module]) -> None:
    """As torch does where the scale and the shift of a norm have no tangents: it costs more than all the rest."""
    model, calls = nn.Sequential(nn.Linear(4, 5), norm(5), nn.Tanh(), nn.Linear(5, 3)), []
    opt = NGD.fast(model, Gaussian(), fallback=partial(torch.optim.SGD, lr=0.1))
    Gaussian()(model(torch.randn(30, 4)), torch.randn(30, 3)).backward()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and "_refs" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_qualname)

    sys.setprofile(count)
    opt.step()
    sys.setprofile(None)
    assert not calls


class Sequences(nn.Module):
    """Outputs `[M, T, 3]`; layers that are no chain. `seen` are the numbers of examples it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return self.last(torch.tanh(self.first(x)).cumsum(1))


@pytest.mark.parametrize(("positions", "examples"), [(1, 16), (4, 8), (64, 4), (300, 4)])
def test_the_probe_takes_fewer_sequences_the_longer_they_are(positions: int, examples: int) -> None:
    """But four at least."""
    model, likelihood = Sequences(), Categorical()
    opt = NGD.fast(model, likelihood)
    x, y = torch.randn(30, positions, 4), torch.randint(3, (30, positions))
    for _ in range(2):
        model.seen.clear()
        opt.zero_grad()
        likelihood(model(x), y).backward()
        opt.step()
    assert model.seen == [30, examples]


def test_the_probe_runs_the_model_in_few_steps_after_the_first() -> None:
    model, likelihood, x = Sequences(), Gaussian(), torch.randn(30, 4, 4)
    opt, probes = NGD.fast(model, likelihood), []
    for k in range(50):
        model.seen.clear()
        opt.zero_grad()
        likelihood(model(x), torch.zeros(30, 4, 3)).backward()
        opt.step()
        probes += [k] * (len(model.seen) > 1)
    assert probes == [0, 1, 3, 7, 15, 16, 32, 48]


class Reads(TorchDispatchMode):
    """Counts the numbers that are read from the device one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: tuple = (), keywords: dict | None = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(keywords or {}))


def test_reads_from_the_device_do_not_grow_with_the_parameters_of_the_fallback() -> None:
    counts = []
    for norms in (1, 48):
        model = nn.Sequential(nn.Linear(4, 4), *[nn.LayerNorm(4) for _ in range(norms)])
        opt = NGD(model, Gaussian(), fallback=partial(torch.optim.SGD, lr=0.1, foreach=True))
        Gaussian()(model(torch.randn(9, 4)), torch.randn(9, 4)).backward()
        with Reads() as reads:
            opt.step()
        counts.append(reads.count)
    assert counts[0] == counts[1]
