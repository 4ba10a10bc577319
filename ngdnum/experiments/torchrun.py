"""Scripts on several processes of this machine."""

from __future__ import annotations

import importlib
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing import start_processes

SCRIPT = "script.py"


def torchrun(*runs: tuple[int, str]) -> list[list[Any]]:
    """What each rank of each run saves: rank r by `torch.save(…, f"{sys.argv[1]}/{r}.pt")`.

    A run is a number of ranks and a Python script. The ranks see what PyTorch's own `torchrun` would show them. Runs
    follow one another, and all ranks are forked from one process that has imported all that is slow to import, so that
    this is paid once.

    Raises
    ------
    RuntimeError : a script has failed; the message is what it wrote on standard error.
    """
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(i) for i in range(len(runs))]
        for folder, (_, script) in zip(folders, runs):
            folder.mkdir()
            (folder / SCRIPT).write_text(script, encoding="utf-8")
        command = [sys.executable, "-m", __name__, name, *(str(ranks) for ranks, _ in runs)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [
            [torch.load(folder / f"{rank}.pt") for rank in range(ranks)] for folder, (ranks, _) in zip(folders, runs)
        ]


def _rank(rank: int, ranks: int, port: int, folder: str) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    sys.argv = [f"{folder}/{SCRIPT}", folder]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _main(folder: str, *runs: str) -> None:
    importlib.import_module("torch._dynamo")  # as DistributedDataParallel would
    for i, ranks in enumerate(map(int, runs)):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        start_processes(_rank, (ranks, port, f"{folder}/{i}"), ranks, start_method="fork")


if __name__ == "__main__":
    _main(*sys.argv[1:])
