"""The directive `{what-if} AREA`: a table of faults, what happens, and the test that shows it.

The tests say so themselves, in decorators that this module reads without running anything:

    @pytest.mark.what_if("batches", "a batch without examples", "ValueError: “empty batch”")

Exceptions that an outcome names, and messages between “ and ”, must be those that the test asks for: see `unfounded`.
In a message, … stands for what the test leaves open.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
MARK = "pytest.mark.what_if"


class Row(NamedTuple):
    """A fault, what happens, the test, and the words of that test."""

    area: str
    fault: str
    outcome: str
    test: str
    words: frozenset[str]


def rows(folder: Path = ROOT / "tests") -> list[Row]:
    """Every row, in the order of files and lines."""
    return [row for path in sorted(folder.rglob("test_*.py")) for row in _rows_of(path, folder.parent)]


def unfounded(row: Row) -> list[str]:
    """What a row claims and its test does not ask for: names of exceptions, and messages."""
    texts = [re.sub(r"\\(.)", r"\1", word).replace(".*", "…") for word in row.words]
    quoted = re.findall("“(.*?)”", row.outcome)
    named = re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", re.sub("“.*?”|`.*?`", "", row.outcome))
    return [q for q in quoted if not any(q in text for text in texts)] + [n for n in named if n not in row.words]


def _rows_of(path: Path, root: Path) -> list[Row]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known: dict[str, ast.AST] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            known[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            known |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return [
        Row(*(ast.literal_eval(argument) for argument in mark.args), f"{path.relative_to(root)}::{test.name}", words)
        for test in tree.body
        if isinstance(test, ast.FunctionDef)
        for marks in [[d for d in test.decorator_list if isinstance(d, ast.Call) and ast.unparse(d.func) == MARK]]
        if marks
        for words in [_words([d for d in test.decorator_list if d not in marks] + test.body, known)]
        for mark in marks
    ]


def _words(parts: list[ast.AST], known: dict[str, ast.AST]) -> frozenset[str]:
    """Texts and names in `parts` of a file, and in what of the file these names mean; no docstrings."""
    found: set[str] = set()
    while parts:
        nodes_of_part = list(ast.walk(parts.pop()))
        comments = {id(node.value) for node in nodes_of_part if isinstance(node, ast.Expr)}
        for node in nodes_of_part:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
                found.add(node.value)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and node.id not in found:
                found.add(node.id)
                parts += [known[node.id]] if node.id in known else []
    return frozenset(found)


def _as_code(outcome: str) -> str:
    """Messages letter by letter, so that no quotation mark in them is set as a curly one."""
    return re.sub("“ *(.*?) *”", r"`\1`", outcome)


class WhatIf(SphinxDirective):
    """A table of the rows of one area."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        for path in (ROOT / "tests").rglob("test_*.py"):
            self.env.note_dependency(str(path))
        found = [row for row in rows() if row.area == self.arguments[0]]
        if not found:
            raise self.error(f"no test is marked with the area {self.arguments[0]!r}")
        lines = [["If", "then", "Test"], *([row.fault, _as_code(row.outcome), f"`{row.test}`"] for row in found)]
        return self._table(lines)

    def _table(self, lines: list[list[str]]) -> list[nodes.Node]:
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (30, 40, 30)), cols=3)
        head, body = nodes.thead(), nodes.tbody()
        for line in lines:
            cells = []
            for text in line:
                inline, messages = self.parse_inline(text)
                cells.append(nodes.entry("", nodes.paragraph("", "", *inline, *messages)))
            (body if len(head) else head).append(nodes.row("", *cells))
        group += [head, body]
        return [nodes.table("", group, classes=["what-if", "stacked"])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("what-if", WhatIf)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
