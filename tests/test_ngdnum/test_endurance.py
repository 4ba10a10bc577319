"""Hundreds of steps of each preset: memory stays flat, and the loss comes near its floor."""

from __future__ import annotations

from pathlib import Path

import pytest

from ngdnum.experiments.endurance import PRESETS, endure


@pytest.mark.what_if(
    "training loops",
    "training goes on for hundreds of steps",
    "memory grows by less than 1 MB, and the loss stays near its floor",
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from Linux")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", PRESETS)
def test_memory_is_flat_and_the_loss_stays_at_its_floor(preset: str, dtype: str) -> None:
    row = endure(preset, dtype, steps=600, warm=200)
    assert row["growth"] < 2**20
    assert row["blocks"] < 250  # one object a step would be 400
    assert 0.97 < row["loss"] < 1.35
