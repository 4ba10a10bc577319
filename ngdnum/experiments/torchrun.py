"""Scripts on several processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch


def torchrun(ranks: int, script: str) -> list[Any]:
    """What each rank of a Python `script` saves: rank r by `torch.save(…, f"{sys.argv[1]}/{r}.pt")`.

    Raises
    ------
    RuntimeError : the script has failed; the message is what it wrote on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.py"
        file.write_text(script, encoding="utf-8")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
        command += ["--nproc-per-node", str(ranks), str(file), folder]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(ranks)]
