"""Keep on one line: a formula in the text with the punctuation after it and the bracket before it, 6 %, 2e-08, (6–8).

A table's cells end their lines at hyphens and dashes, those within numbers too.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

AFTER = re.compile(r"[.,;:?!)’”]+")
BEFORE = re.compile(r"[(‘“]$")
PERCENT = re.compile(r"(?<=\d) (?=%)")

NUMBER = re.compile(r"\b\d[\d.]*e-\d+\b|\(\d+–\d+\)")


def keep_numbers(table: str) -> str:
    """HTML in which no line ends within a number, nor within a range in parentheses."""
    return NUMBER.sub(r'<span class="kept-together">\g<0></span>', table)


def keep_together(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for text in [text for text in doctree.findall(nodes.Text) if PERCENT.search(text)]:
        if not isinstance(text.parent, (nodes.literal, nodes.literal_block)):
            text.parent.replace(text, nodes.Text(PERCENT.sub("\u00a0", text)))
    for output in doctree.findall(nodes.raw):
        if output.get("format") == "html" and output.astext().startswith("<table>"):
            output[:] = [nodes.Text(keep_numbers(output.astext()))]
    for formula in list(doctree.findall(nodes.math)):
        parent = formula.parent
        place = parent.index(formula)
        before, after = parent[place - 1] if place else None, parent[place + 1] if place + 1 < len(parent) else None
        opened = BEFORE.search(before) if isinstance(before, nodes.Text) else None
        closed = AFTER.match(after) if isinstance(after, nodes.Text) else None
        if not (opened or closed):
            continue
        kept = nodes.inline("", "", formula.deepcopy(), classes=["kept-together"])
        if closed:
            kept += nodes.Text(closed[0])
            parent[place + 1] = nodes.Text(after[closed.end() :])
        if opened:
            kept.insert(0, nodes.Text(opened[0]))
            parent[place - 1] = nodes.Text(before[: opened.start()])
        parent[place] = kept


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", keep_together, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
