"""Docstrings read as their authors meant: below "Parameters" or "Raises" stand names, and no sentences."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from support.paths import ROOT

LISTS = ("Parameters", "Attributes", "Raises")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def sentences_in_lists(docstring: str) -> Iterator[str]:
    """Lines that would be shown as the name of a parameter."""
    lines, section = docstring.splitlines(), ""
    for line, below in zip(lines, [*lines[1:], ""]):
        if below and set(below) == {"-"}:
            section = line
        elif section in LISTS and line[:1].strip() and " : " not in line and line.endswith((".", ":")):
            yield line


def test_a_sentence_below_a_list_is_found() -> None:
    text = "Step.\n\nRaises\n------\nValueError\n    If it cannot.\n\nNothing is changed.\n\nNotes\n-----\nTrue."
    assert list(sentences_in_lists(text)) == ["Nothing is changed."]


@pytest.mark.parametrize("package", ["ngdnum", "ngdsym"])
def test_lists_hold_names(package: str) -> None:
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, DOCUMENTED)]
        if lines := [line for text in texts for line in sentences_in_lists(text)]:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}
