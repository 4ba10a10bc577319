"""Processor seconds of the book's pages, for one checkout or for several side by side.

    python book/_ext/bench_book.py [--tree CHECKOUT]... [PAGE...]

Every page is run as it is, with one thread, in each checkout in turn; all processes that it starts count, those too
that outlive it. The first page also pays for the imports that later ones find in memory (`warm_kernels`). With
``--alone`` there is no checkout: the page is copied into an empty folder and run there with the packages that are
installed, as by somebody who downloaded it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
RUN = """
import ctypes, json, os, sys, traceback
from pathlib import Path
import nbformat, psutil
from nbclient import NotebookClient

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become children of this process
me, origins = psutil.Process(), []
if Path("_ext/warm_kernels.py").exists():
    sys.path.insert(0, "_ext")
    import warm_kernels
    warm_kernels.use()
    origins = [psutil.Process(warm_kernels.origin().pid)]

def spent():
    for child in me.children():
        if child not in origins:
            os.waitpid(child.pid, 0)
    return sum(sum(process.cpu_times()[:4]) for process in (me, *origins))

before = spent()
for name in sys.stdin:
    error = None
    try:
        notebook = nbformat.read(name.strip(), as_version=4)
        NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
    except Exception:
        error = traceback.format_exc()
    before, last = spent(), before
    print(json.dumps([before - last, error]), flush=True)
"""


class Runner:
    """Runs pages in a folder, with the packages in `path` or those installed."""

    def __init__(self, folder: Path, path: Path | None) -> None:
        self.folder = folder
        variables = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(path)} if path else {})
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, page: Path) -> float:
        """Processor seconds of `page` and all that it starts."""
        assert self.process.stdin and self.process.stdout
        print(page.name, file=self.process.stdin, flush=True)
        seconds, error = json.loads(self.process.stdout.readline())
        if error:
            raise RuntimeError(f"{page.name} fails:\n{error[-3000:]}")
        return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="notebooks (default: all of this checkout)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tree", action="append", type=Path, metavar="CHECKOUT", help="default: this one")
    where.add_argument("--alone", action="store_true", help="copies, with what is installed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        if chosen.alone:
            runners = [Runner(Path(empty), None)]
        else:
            runners = [Runner(tree / "book", tree) for tree in map(Path.resolve, chosen.tree or [BOOK.parent])]
        return side_by_side(runners, chosen.pages or sorted(BOOK.glob("*.ipynb")), chosen.alone)


def side_by_side(runners: list[Runner], pages: list[Path], alone: bool) -> int:
    """Print the seconds of each page with each of the runners, then their sums; 1 if a page fails."""
    totals, failed = [0.0] * len(runners), 0
    for page in pages:
        if alone:
            shutil.copy(page, runners[0].folder)
        try:
            found = [runner.seconds(page) for runner in runners]
        except RuntimeError as error:
            failed = 1
            print(error, flush=True)
            continue
        totals = [total + seconds for total, seconds in zip(totals, found)]
        print(f"{page.stem:20}", *(f"{seconds:8.1f}" for seconds in found), flush=True)
    for runner in runners:
        runner.process.communicate()
    print(f"{'all':20}", *(f"{total:8.1f}" for total in totals))
    return failed


if __name__ == "__main__":
    sys.exit(main())
