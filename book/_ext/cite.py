"""A line at the foot of each page that says how to cite it, from CITATION.cff."""

from __future__ import annotations

import html
import re
from pathlib import Path

import yaml
from sphinx.application import Sphinx

CITATION = Path(__file__).parents[2] / "CITATION.cff"


def add_line(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if doctree is None:
        return
    work = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    authors = " and ".join(author["name"] for author in work["authors"])
    title = re.sub(r"^[\d.]+\s*", "", re.sub(r"<[^>]*>", "", context["title"]))
    book = html.escape(app.config.html_title)
    context["theme_extra_footer"] = (
        f'<p class="cite">Cite this page: {html.escape(authors)}, “{title}”, in <em>{book}</em>, '
        f"version {work['version']}, {work['date-released']}.</p>"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
