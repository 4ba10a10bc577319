"""Kernels that are forked where torch is in memory: they are as others, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import warm_kernels
from jupyter_client.provisioning import KernelProvisionerFactory
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from support.paths import BOOK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels start as ever elsewhere")

PAGE = """
import sys
sys.path.insert(0, sys.argv[1])
import warm_kernels, nbformat
from nbclient import NotebookClient
warm_kernels.use()
cell = nbformat.v4.new_code_cell("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(100)")
NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()
"""


@pytest.fixture(autouse=True)
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", "local-provisioner")
    warm_kernels.use()


def output(source: str, folder: Path, **options: object) -> str:
    cell = nbformat.v4.new_code_cell(source)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3", resources=resources).execute(
        **options
    )
    return cell.outputs[0].text.strip()


def test_a_kernel_differs_from_others_by_what_is_in_memory_alone(tmp_path: Path) -> None:
    source = "import os, sys; print([os.getcwd(), os.environ['HERE'], os.getpid() == os.getsid(0), sorted(globals()),"
    source += " [p for p in sys.path if 'setuptools' not in p]], 'torch' in sys.modules, os.getpid(), sep=';')"
    found = []
    for way in ("warm", "local-provisioner"):
        KernelProvisionerFactory.instance().default_provisioner_name = way
        seen, imported, pid = output(source, tmp_path, env=os.environ | {"HERE": "yes"}).split(";")
        assert imported == str(way == "warm")
        assert not Path(f"/proc/{pid}").exists()
        found.append(seen)
    assert found[0] == found[1]


def test_errors_and_dead_kernels_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        output("1 / 0", tmp_path)
    with pytest.raises(DeadKernelError):
        output("import os; os._exit(3)", tmp_path)


def test_a_kernel_ends_with_the_process_that_launched_it(tmp_path: Path) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", PAGE, BOOK / "_ext"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    written = tmp_path / "pid"
    wait(lambda: written.exists() and written.read_text())
    launcher.kill()
    launcher.wait()
    wait(lambda: not Path(f"/proc/{written.read_text()}").exists())


def wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
