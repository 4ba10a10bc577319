"""Kernels that find in memory what takes seconds to import: they are forked from one process that has imported it.

Once `use()` has been called, jupyter_client launches such kernels from this process: for nbval, jupyter-cache and
nbclient. The process that they are forked from has one thread, and ends when its standard input does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

if TYPE_CHECKING:
    from sphinx.application import Sphinx

IMPORTED = (
    "ipykernel.ipkernel",
    "ngdnum.experiments",
    "ngdnum.figures",
    "ngdsym.zoo",
    "rich.table",
    "scipy.linalg",
    "torch._dynamo",  # as any optimizer of torch would
)


def setup(app: Sphinx) -> dict[str, bool]:
    use()
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def use() -> None:
    """Launch all further kernels of this process so; where a fork after such imports is not safe, as ever."""
    if sys.platform != "linux":
        return
    factory = KernelProvisionerFactory.instance()
    factory.provisioners["warm"] = EntryPoint("warm", f"{__name__}:WarmProvisioner", factory.GROUP_NAME)
    factory.default_provisioner_name = "warm"


class WarmProvisioner(LocalProvisioner):
    """Forks a kernel where LocalProvisioner would start it."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        folder, quiet = str(options.get("cwd") or Path.cwd()), options.get("stderr") is not None
        self.process = Forked(ask([arguments, options["env"], folder, quiet]))
        self.pid = self.pgid = self.process.pid
        self.cwd = options.get("cwd")
        return self.connection_info


class Forked:
    """What jupyter_client needs of a `Popen`."""

    stdin = stdout = stderr = returncode = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = ask(self.pid)
        return self.returncode

    wait = poll  # called of what has ended

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def ask(order: Any) -> Any:
    """What the process that forks kernels answers."""
    source = origin()
    assert source.stdin and source.stdout
    print(json.dumps(order), file=source.stdin, flush=True)
    return json.loads(source.stdout.readline())


@cache
def origin() -> subprocess.Popen[str]:
    """The process that forks kernels, started when it is first needed."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(lambda: (process.terminate(), process.wait()))
    return process


def answer_orders() -> None:
    """Fork a kernel as each order says, and tell its process id; for such an id, how it ended, if it has."""
    sys.path.pop(0)  # this folder
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # collections in the kernels pass over all this
    for line in sys.stdin:
        order = json.loads(line)
        answer = exit_code(order) if isinstance(order, int) else forked(*order)
        print(json.dumps(answer), flush=True)


def exit_code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def forked(arguments: list[str], environment: dict[str, str], folder: str, quiet: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    if quiet:
        os.dup2(nothing, 2)
    os.dup2(2, 1)  # standard output belongs to the answers
    os.environ.clear()
    os.environ.update(environment | {"JPY_PARENT_PID": str(os.getppid())})  # a kernel ends with its parent
    os.chdir(folder)
    from ipykernel.kernelapp import launch_new_instance

    sys.exit(launch_new_instance(arguments))


if __name__ == "__main__":
    answer_orders()
