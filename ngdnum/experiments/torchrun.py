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


def torchrun(ranks: int, script: str) -> list[Any]:
    """What each rank of a Python `script` saves: rank r by `torch.save(…, f"{sys.argv[1]}/{r}.pt")`.

    The ranks see what PyTorch's own `torchrun` would show them. They are forked from one process that has imported all
    that is slow to import, so that this is paid once.

    Raises
    ------
    RuntimeError : the script has failed; the message is what it wrote on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.py"
        file.write_text(script, encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(ranks), str(file), folder]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(ranks)]


def _rank(rank: int, ranks: int, port: int, file: str, folder: str) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    sys.argv = [file, folder]
    runpy.run_path(file, run_name="__main__")


def _main(ranks: int, file: str, folder: str) -> None:
    importlib.import_module("torch._dynamo")  # as DistributedDataParallel would
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    start_processes(_rank, (ranks, port, file, folder), ranks, start_method="fork")


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
