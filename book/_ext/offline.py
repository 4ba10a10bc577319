"""Keep the built pages from asking the network for anything.

MathJax comes from the installed package ``django-static-mathjax``; none of it is kept in the repository.
Thebe, which Jupyter Book adds to run cells on a remote server, is left out.
"""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from sphinx.application import Sphinx

SCRIPT = "tex-chtml.js"
FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir, "_static", "mathjax")
    with as_file(files("mathjax") / "static" / "mathjax" / "es5") as source:
        shutil.copytree(source / FONTS, target / FONTS, dirs_exist_ok=True)
        shutil.copyfile(source / SCRIPT, target / SCRIPT)


def drop_thebe(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if not mentions_thebe(asset)]


def mentions_thebe(asset) -> bool:
    return "thebe" in (str(asset.filename) + str(asset.attributes.get("body", ""))).lower()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
