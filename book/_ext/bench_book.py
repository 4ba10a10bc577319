"""Processor seconds of the book's pages, for one checkout or for several side by side.

    python book/_ext/bench_book.py [--tree CHECKOUT]... [PAGE...]

Every page is run as it is, with one thread, in each checkout in turn. With ``--alone`` there is no checkout: the page
is copied into an empty folder and run there with the packages that are installed, as by somebody who downloaded it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
RUN = """
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=3600, kernel_name="python3").execute()
"""


def processor_seconds(page: Path, path: Path | None) -> float:
    """Run `page` in its folder, with the packages in `path` or those installed; seconds of it and its children."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(path)} if path else {})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", RUN, page.name]
    done = subprocess.run(command, cwd=page.parent, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{page.name} fails:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_alone(page: Path) -> float:
    """`processor_seconds` of a copy in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return processor_seconds(Path(shutil.copy(page, folder)), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="notebooks (default: all of this checkout)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tree", action="append", type=Path, metavar="CHECKOUT", help="default: this one")
    where.add_argument("--alone", action="store_true", help="copies, with what is installed")
    chosen = parser.parse_args()
    trees = [tree.resolve() for tree in chosen.tree or [BOOK.parent]]
    totals, failed = [0.0] * (1 if chosen.alone else len(trees)), False
    for page in chosen.pages or sorted(BOOK.glob("*.ipynb")):
        try:
            found = (
                [seconds_alone(page)]
                if chosen.alone
                else [processor_seconds(tree / "book" / page.name, tree) for tree in trees]
            )
        except RuntimeError as error:
            failed = True
            print(error, flush=True)
            continue
        totals = [total + seconds for total, seconds in zip(totals, found)]
        print(f"{page.stem:20}", *(f"{seconds:8.1f}" for seconds in found), flush=True)
    print(f"{'all':20}", *(f"{total:8.1f}" for total in totals))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
