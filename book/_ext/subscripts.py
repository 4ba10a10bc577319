"""Set formulas in docstrings, marked as code there, as text with low indices, as the formulas of the book have them."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

INDEXED = re.compile(
    r"(?<![A-Za-z0-9_])(?P<letter>[^\W\d_]\u0303?)"
    r"_(?:\{(?P<braced>[^{}]+)\}|(?P<bare>[A-Za-z0-9α-ω]{1,2}(?![A-Za-z0-9_])))"
    r"(?:\^(?P<power>[a-z]\b))?"
)
SIGNS = re.compile(r"[×⟨⋯⊗∂√≤≥−½²⁺⁻ᵀΔΛΣα-ω]")
SHAPE = re.compile(r"[\[{]")
AS_IT_IS = (
    nodes.literal,
    nodes.literal_block,
    nodes.doctest_block,
    nodes.math,
    nodes.math_block,
    addnodes.literal_strong,
)


def lower(text: str) -> list[nodes.Node]:
    """The text in pieces, of which indices and powers are nodes of their own."""
    pieces, end = [], 0
    for found in INDEXED.finditer(text):
        index = found["braced"] or found["bare"]
        pieces += [nodes.Text(text[end : found.end("letter")]), nodes.subscript("", index)]
        pieces += [nodes.superscript("", found["power"])] if found["power"] else []
        end = found.end()
    return [*pieces, nodes.Text(text[end:])]


def set_formulas(content: nodes.Element) -> None:
    """Lower all indices in the text of a docstring; its formulas look like text, its shapes like code."""
    for code in list(content.findall(nodes.literal)):
        text = code.astext()
        if INDEXED.search(text) or SIGNS.search(text):
            code.replace_self(nodes.literal("", "", *lower(text)) if SHAPE.match(text) else nodes.inline("", text))
    for text in list(content.findall(nodes.Text)):
        if INDEXED.search(text) and not isinstance(text.parent, AS_IT_IS):
            text.parent.replace(text, lower(text))


def set_all_formulas(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for content in doctree.findall(addnodes.desc_content):
        set_formulas(content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", set_all_formulas, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
