"""One execution serves the test and the page: what nbval ran and accepted goes to the book's jupyter-cache.

Active only when the environment variable ``NGD_BOOK_CACHE`` names the base folder (``_build/.jupyter_cache``).
A notebook with a failed or skipped cell is not stored; the book then runs it itself and reports the failure.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import nbformat
import pytest
import warm_kernels
from fresh_cache import cache_folder

warm_kernels.use()
BASE = os.environ.get("NGD_BOOK_CACHE")
RUNS = pytest.StashKey[dict]()


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("image/svg+xml",)  # pictures are not stored


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and hasattr(item, "test_outputs"):
        accepted = item.parent.stash.setdefault(RUNS, {})
        accepted[item.cell_num] = (report.passed, item.test_outputs, call.duration)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    yield
    if BASE and hasattr(item, "test_outputs") and (nextitem is None or nextitem.parent is not item.parent):
        store(item.parent)


def store(notebook: pytest.Collector) -> None:
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    runs = notebook.stash.get(RUNS, {})
    executed = copy.deepcopy(notebook.nb)
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    if len(runs) != len(cells) or not all(passed for passed, _, _ in runs.values()):
        return
    for number, cell in enumerate(cells):
        cell.execution_count = number + 1
        cell.outputs = [nbformat.from_dict(output) for output in runs[number][1]]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number + 1
    seconds = sum(duration for _, _, duration in runs.values())
    bundle = CacheBundleIn(executed, str(notebook.path), data={"execution_seconds": seconds})
    get_cache(cache_folder(Path(BASE).resolve())).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
