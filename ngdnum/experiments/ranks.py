"""`torchrun --nproc-per-node N -m ngdnum run EXPERIMENT`: all ranks train the same runs, each with part of every batch.

They take the same steps and see the same errors, so all of them choose the same settings; the first one tells.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist


@contextmanager
def joined(resume: bool, jobs: int) -> Iterator[bool]:
    """Within, the processes that torchrun has started, if it has, are one group. Whether this one tells the result.

    Raises
    ------
    ValueError : several of them shall `resume` a run, of which only the first has the state, or share `jobs` out.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield True
        return
    if resume:
        raise ValueError("a run of several processes cannot be resumed: leave out --resume")
    if jobs != 1:
        raise ValueError("torchrun and --jobs are two ways to use several processes: leave out --jobs")
    dist.init_process_group("gloo")
    if rank():
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        yield rank() == 0
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process in its group, 0 if it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
