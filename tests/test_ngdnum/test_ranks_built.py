"""Optimizers that cannot serve several processes are refused where they are built, or at the first step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.distributed as dist

from ngdnum import NGD, Gaussian
from support.networks import batch, network
from support.ranks import on_ranks


def sharded(rank: int) -> list[str]:
    """What NGD says to models whose weights are in pieces, and to ranks that met too late."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    told = []
    mesh = init_device_mesh("cpu", (2,))
    for model in (
        fully_shard(network([4, 4]), mesh=mesh),
        parallelize_module(network([4, 4]), mesh, {"0": ColwiseParallel()}),
    ):
        try:
            NGD.fast(model, Gaussian())
        except ValueError as error:
            told.append(str(error))
    return told


@pytest.mark.what_if(
    "several processes",
    "weights are split over ranks (FSDP2, tensor parallelism)",
    "ValueError at construction: “is a DTensor”, and what to use: “DistributedDataParallel in the place of”",
)
def test_sharded_weights_are_refused_with_what_to_use(tmp_path: Path) -> None:
    for told in on_ranks(sharded, 2, tmp_path):
        assert len(told) == 2
        assert all("is a DTensor" in text and "DistributedDataParallel in the place of" in text for text in told)


@pytest.mark.what_if(
    "several processes",
    "the process group is made after `NGD`",
    "RuntimeError: “built before they were: call …init_process_group first”",
)
def test_ranks_that_met_after_their_optimizers_were_built_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network([4, 3])
    opt = NGD.fast(model, Gaussian())
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="built before they were: call .*init_process_group first"):
        Gaussian()(model(batch(8, 4)), batch(8, 3)).backward()
    assert opt.steps == 0
