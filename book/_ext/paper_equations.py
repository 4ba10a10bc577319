"""Number equations as the paper does, and turn every mention "Eq. 22" into a link to that equation.

An equation labelled ``eq-22`` is shown as (22), whatever page it is on; ``eq-a1`` as (a1). Other labels
are refused. Mentions are linked in prose and in docstrings alike, so the API pages point back to the book.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

MENTION = re.compile(r"\bEqs?\. (\d+|a\d+)\b")
UNLINKED = (nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.title)
logger = logging.getLogger(__name__)


def number_by_label(app: Sphinx, doctree: nodes.document) -> None:
    equations = app.env.get_domain("math").equations
    for node in doctree.findall(nodes.math_block):
        if not (label := node.get("label")):
            continue
        found = re.fullmatch(r"eq-(a?\d+)", label)
        if not found:
            logger.warning(
                "equation label %r: use eq-N for Eq. N of the paper, eq-aN for our own", label, location=node
            )
            continue
        node["number"] = found[1]
        equations[label] = (app.env.docname, found[1])


def link_mentions(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    equations = app.env.get_domain("math").equations
    for text in list(doctree.findall(nodes.Text)):
        ancestor = text.parent
        while ancestor is not None and not isinstance(ancestor, UNLINKED):
            ancestor = ancestor.parent
        if ancestor is not None:
            continue
        pieces, end = [], 0
        for found in MENTION.finditer(text):
            target = equations.get(f"eq-{found[1]}")
            if target is None:
                continue
            pieces.append(nodes.Text(text[end : found.start()]))
            pieces.append(
                make_refnode(app.builder, docname, target[0], f"equation-eq-{found[1]}", nodes.Text(found[0]))
            )
            end = found.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[end:])])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", number_by_label)
    app.connect("doctree-resolved", link_mentions)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
