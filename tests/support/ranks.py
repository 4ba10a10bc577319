"""Work done by several processes of one group."""

from __future__ import annotations

import datetime
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ngdnum import NGD
from support.processes import PROCESSES
from support.training import parameters

SECONDS = 600
"""After which ranks that wait for each other are ended."""


def on_ranks(work: Callable[..., Any], ranks: int, folder: Path, *arguments: Any) -> list[Any]:
    """What `work(rank, *arguments)`, a function of a module, returns on each of the ranks."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = [PROCESSES.Process(target=_rank, args=(work, k, ranks, folder, arguments)) for k in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    hanging = [k for k, process in enumerate(processes) if process.is_alive()]
    for k in hanging:
        processes[k].kill()
    failures = [file.read_text() for file in sorted(folder.glob("failed*"))]
    assert not hanging and not failures, f"ranks {hanging} hang; " + "\n".join(failures)
    return [torch.load(folder / f"{k}.pt", weights_only=False) for k in range(ranks)]


def trained(
    rank: int,
    ranks: int,
    made: Callable[[str], nn.Module],
    train: Callable[..., list[float]],
    makers: dict[str, Callable[..., NGD]],
    steps: Callable[[str], int],
) -> dict[str, Any]:
    """For every optimizer the weights, the losses that `train` returns, and the damping, after `steps(name)` steps."""
    found = {}
    for name, make in makers.items():
        model = made(name)
        wrapped = DistributedDataParallel(model) if ranks > 1 else model
        opt = make(wrapped)
        losses = train(opt, wrapped, steps(name), rank, ranks, clip=name == "clipped")
        found[name] = parameters(model), losses, opt.param_groups[0]["damping"]
    return found


def _rank(work: Callable[..., Any], rank: int, ranks: int, folder: Path, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=SECONDS / 2),
    )
    try:
        torch.save(work(rank, *arguments), folder / f"{rank}.pt")
        dist.barrier()
    except BaseException:
        (folder / f"failed{rank}").write_text(f"rank {rank}: {traceback.format_exc()}")
    dist.destroy_process_group()
