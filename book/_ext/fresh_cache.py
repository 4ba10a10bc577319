"""Re-run the pages when the packages change, not only when the pages do.

jupyter-cache recognises a notebook by its own code. Here the name of the cache folder carries a digest of
``ngdsym`` and ``ngdnum``, with the recorded runs in them, and Sphinx reads every page anew when that name changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[2]


def cache_folder(base: Path) -> Path:
    """Return the folder below `base` that holds executions of the present sources."""
    digest = hashlib.sha256()
    for package in ("ngdsym", "ngdnum"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".json"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return base / digest.hexdigest()[:16]


def use_fresh_cache(app: Sphinx, config: Config) -> None:
    config.nb_execution_cache_path = str(cache_folder(Path(app.outdir).parent / ".jupyter_cache"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", use_fresh_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
