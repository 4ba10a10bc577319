"""The bibliography can be read, and has what the pages cite."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

BOOK = Path(__file__).parents[2] / "book"
BIB = (BOOK / "references.bib").read_text(encoding="utf-8")
ENTRY = re.compile(r"@(\w+)\{(\w+),\n((?:  .*\n)+)\}\n")


def entries() -> dict[str, str]:
    return {key: body for _, key, body in ENTRY.findall(BIB)}


def texts() -> dict[str, str]:
    notebooks = {
        page.name: "".join(
            "".join(cell["source"]) + "\n"
            for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "markdown"
        )
        for page in BOOK.glob("*.ipynb")
    }
    return notebooks | {page.name: page.read_text(encoding="utf-8") for page in BOOK.glob("*.md")}


def test_every_entry_is_whole() -> None:
    """Nothing but entries, each with one author, title and year, brackets closed."""
    assert ENTRY.sub("", BIB).strip() == ""
    for key, body in entries().items():
        fields = Counter(re.findall(r"^  (\w+) = ", body, re.MULTILINE))
        assert set(fields.values()) == {1} and {"author", "title", "year"} <= set(fields), key
        assert body.count("{") == body.count("}"), key


def test_keys_are_unique() -> None:
    keys = Counter(key for _, key, _ in ENTRY.findall(BIB))
    assert [key for key, times in keys.items() if times > 1] == []


def test_every_work_that_is_cited_is_there() -> None:
    for name, text in texts().items():
        cited = {key.strip() for keys in re.findall(r"\{cite(?::\w)?\}`([^`]+)`", text) for key in keys.split(",")}
        assert cited - set(entries()) == set(), name
