"""Run the pages that have no stored execution side by side, one a core, before Sphinx reads them.

MyST-NB runs a page when Sphinx comes to it, so that one core works while the others wait. Here the same executions go
to the same cache beforehand, each made by ``python side_by_side.py PAGE SECONDS``. A page that fails is not stored:
MyST-NB runs it again, and reports the failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbclient import NotebookClient
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.display import status_iterator

AT_MOST = 8
"""Pages at once: each imports torch."""


def run_pages(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    paths = [Path(env.doc2path(name)) for name in docnames]
    pages = [path for path in paths if path.suffix == ".ipynb" and not known(cache, path)]
    if not pages:
        return
    pool = ThreadPoolExecutor(min(AT_MOST, os.cpu_count() or 1))
    futures = {pool.submit(run, page, app.config.nb_execution_timeout): page for page in pages}
    done = as_completed(futures)
    try:
        for future in status_iterator(
            done, "running pages... ", "brown", len(pages), app.verbosity, lambda future: futures[future].stem
        ):
            if executed := future.result():
                cache.cache_notebook_bundle(executed, check_validity=False, overwrite=True)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C ends those that run


def known(cache: JupyterCacheAbstract, page: Path) -> bool:
    try:
        cache.match_cache_notebook(nbformat.read(page, as_version=4))
    except KeyError:
        return False
    return True


def run(page: Path, timeout: int) -> CacheBundleIn | None:
    """What `page` gives, or None if it fails."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, __file__, page, str(timeout)], capture_output=True, text=True)
    if done.returncode:
        return None
    data = {"execution_seconds": time.monotonic() - start}
    return CacheBundleIn(nbformat.reads(done.stdout, as_version=4), str(page), data=data)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-before-read-docs", run_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    notebook = nbformat.read(sys.argv[1], as_version=4)
    resources = {"metadata": {"path": Path(sys.argv[1]).parent}}
    NotebookClient(notebook, timeout=int(sys.argv[2]), resources=resources, record_timing=False).execute()
    print(nbformat.writes(notebook))
