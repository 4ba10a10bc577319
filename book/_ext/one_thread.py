"""Run pages with one thread each, unless the user has chosen: on small matrices, threads cost more than they save."""

from __future__ import annotations

import os

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
