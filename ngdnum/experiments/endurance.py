"""A hundred thousand steps of a small network: what they leave in memory, and how near the loss comes to its floor."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..likelihood import Gaussian
from ..optimizer import NGD
from .entry import TrialFailed
from .measurements import Measurements, Row, measure_rows

STEPS, WARM = 100_000, 1_000
M, NOISE = 32, 0.1
PRESETS: dict[str, Callable[..., NGD]] = {
    "paper": NGD.paper,
    "fast": NGD.fast,
    "sample_efficient": NGD.sample_efficient,
}

ALONE = """
import json, os, sys, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
import torch
from ngdnum.experiments.endurance import endure
torch.set_num_threads(1)
print(json.dumps(endure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
"""


def resident() -> int:
    """Bytes of this process in memory, as Linux counts them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def endure(preset: str, dtype: str, steps: int, warm: int = WARM) -> Row:
    r"""Train a network to follow another one of its kind, with noise of deviation σ in each of two outputs.

    The floor of the loss is that of the other network on the same targets; its expectation is σ².

    Returns
    -------
    dict : how the `damping` was set; `growth` of the process after the first `warm` steps, in bytes; by how many
        `blocks` more memory is held by Python's objects; the mean `loss` over the last tenth of steps, as a multiple
        of the floor.
    """
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    number = getattr(torch, dtype)
    teacher = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(number)
    model = nn.Sequential(nn.Linear(3, 4, dtype=number), nn.Tanh(), nn.Linear(4, 2, dtype=number))
    opt, likelihood = PRESETS[preset](model, Gaussian()), Gaussian()
    decay = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, steps)
    loss_sum = floor_sum = 0.0
    before = 0, 0
    for k in range(1, steps + 1):
        x = torch.randn(M, 3, dtype=number, generator=generator)
        with torch.no_grad():
            exact = teacher(x)
            y = exact + NOISE * torch.randn(M, 2, dtype=number, generator=generator)
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step(lambda: likelihood(model(x), y), loss=loss)
        decay.step()
        if k == warm:
            gc.collect()
            before = resident(), sys.getallocatedblocks()
        if k > steps - steps // 10:
            loss_sum += float(loss.detach())
            floor_sum += float(likelihood(exact, y))
    gc.collect()
    after = resident(), sys.getallocatedblocks()
    return {
        "damping": str(opt.damping),
        "growth": after[0] - before[0],
        "blocks": after[1] - before[1],
        "loss": loss_sum / floor_sum,
    }


def endure_alone(preset: str, dtype: str, steps: int) -> Row:
    """`endure` in a process of its own, which ends with this one, however that ends.

    Raises
    ------
    TrialFailed : it has failed; the message is the last line of what it wrote on standard error.
    """
    command = [sys.executable, "-c", ALONE, preset, dtype, str(steps)]
    reading, writing = os.pipe()  # nothing is ever written: that it is closed tells that nobody waits any more
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, text=True)
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode:
        *_, reason = ["it was killed", *done.stderr.splitlines()]
        raise TrialFailed(f"{preset} in {dtype}: {reason}")
    found: Row = json.loads(done.stdout)
    return found


def measure_endurance(
    *,
    presets: tuple[str, ...] = tuple(PRESETS),
    steps: int = STEPS,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """What `endure` tells of each of `presets`, in single and in double precision, each in a process of its own."""

    def measure(case: Row) -> Row:
        return endure_alone(str(case["preset"]), str(case["dtype"]), steps)

    cases: list[Row] = [
        {"preset": preset, "dtype": dtype, "steps": steps} for preset in presets for dtype in ("float32", "float64")
    ]
    return measure_rows(
        "endurance", "Memory over many steps", cases, measure, progress=progress, output=output, resume=resume
    )
