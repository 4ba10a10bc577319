"""Statements in words, for pages: letters with indices and powers as people write them."""
from __future__ import annotations

import re

MARKUP = re.compile(r"([\\*_\[\]$<])")
SHIFTED = re.compile(
    r"(?P<code>`[^`]*`)|(?P<name>[^\W\d]{3,}_\w*)|(?P<kind>[_^])(?:\{(?P<braced>[^}]*)\}|(?P<bare>[−-]?[\d½]+|[A-Za-zα-ω]+))"
)
TAGS = {"_": "sub", "^": "sup"}


def markdown(text: str) -> str:
    """Text as Markdown that shows it as it is, but for indices, powers and `code`.

    Examples
    --------
    >>> print(markdown("A_{i-1}^b W* = x_L of fisher_shampoo, see `some_code`"))
    A<sub>i-1</sub><sup>b</sup> W\\* = x<sub>L</sub> of fisher\\_shampoo, see `some_code`
    """
    shown, end = "", 0
    for found in SHIFTED.finditer(text):
        shown += _escaped(text[end : found.start()])
        if found["kind"]:
            tag = TAGS[found["kind"]]
            shown += f"<{tag}>{found['braced'] or found['bare']}</{tag}>"
        else:
            shown += found["code"] or _escaped(found["name"])
        end = found.end()
    return shown + _escaped(text[end:])


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)
