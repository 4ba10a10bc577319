"""Thousands of steps: memory stays flat, and the loss at its floor."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from torch import nn

from ngdnum import NGD, Gaussian

STATM = Path("/proc/self/statm")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(STATM.read_text().split()[1]) * 4096


@pytest.mark.what_if(
    "training loops",
    "training goes on for thousands of steps",
    "memory grows by less than 1 MB, and the loss stays near its floor",
)
@pytest.mark.skipif(not STATM.exists(), reason="reads the memory of a process from Linux")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_is_flat_and_the_loss_stays_at_its_floor(dtype: torch.dtype) -> None:
    """A linear teacher with noise of variance 0.01 in each of two outputs: no mean loss is below 0.01."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    teacher = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).to(dtype).requires_grad_(False)
    opt = NGD.fast(model, Gaussian())
    decay = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, 1200)
    start, losses = 0, []
    for k in range(1800):
        x = torch.randn(32, 3, dtype=dtype)
        y = teacher(x) + 0.1 * torch.randn(32, 2, dtype=dtype)
        opt.zero_grad()
        loss = Gaussian()(model(x), y)
        loss.backward()
        opt.step()
        decay.step()
        losses.append(float(loss.detach()))
        if k == 600:
            gc.collect()
            start = resident()
    gc.collect()
    assert resident() - start < 2**20
    assert sum(losses[-600:]) / 600 < 0.0115
