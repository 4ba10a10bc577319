"""What nbval does not look at: whether there is a stored output to compare with, and how figures are described."""

from __future__ import annotations

import ast
import copy
import re

import nbformat
import pytest

from support.paths import BOOK

NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
FIGURE = re.compile(r"<\w+ size \d+x\d+ with \d+ Axes>")  # how matplotlib prints one
RAW = re.compile(r"^[\[(]?\{[^}]*: |\bTable\(", re.MULTILINE)  # how a dict is printed, and a table without a repr
UNCOMPARED_SHARE = 0.2  # of a notebook's cells
WIDTH = 76  # letters of code that the box of a cell is wide
OPEN = 20  # lines of code that are shown unasked
PROGRAMS = {"choosing", "coming_from", "distributed", "using", "your_rule"}  # pages about the code itself
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def draws(cell):
    return any(FIGURE.search(output.get("data", {}).get("text/plain", "")) for output in cell.outputs)


def prints_raw(cell):
    printed = [output.get("text", output.get("data", {}).get("text/plain", "")) for output in cell.outputs]
    return any(map(RAW.search, printed))


def complaints(notebook) -> list[str]:
    """Return what keeps the notebook from being a page whose every result is compared."""
    cells, found = code_cells(notebook), []
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("not run from top to bottom in one go")
    if not any(cell.outputs for cell in cells):
        found.append("no stored output")
    if sum("nbval-ignore-output" in tags(cell) for cell in cells) > max(1, UNCOMPARED_SHARE * len(cells)):
        found.append("too many cells whose output is not compared")
    for cell in cells:
        head = cell.source.splitlines()[0] if cell.source else "(empty cell)"
        if "nbval-skip" in tags(cell) or "NBVAL_" in cell.source:
            found.append(f"hidden from nbval: {head}")
        if defines(cell.source):
            found.append(f"defines code that belongs in a package: {head}")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"a stored error: {head}")
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            found.append(f"a stored picture: {head}")
        if prints_raw(cell):
            found.append(f"a dict or a repr where a table reads better: {head}")
        if shows_a_value(cell.source) and not cell.outputs and "nbval-ignore-output" not in tags(cell):
            found.append(f"output was stripped: {head}")
        if max(map(len, cell.source.splitlines()), default=0) > WIDTH:
            found.append(f"a line longer than its box, {WIDTH} letters: {head}")
        if draws(cell):
            page = cell.metadata.get("mystnb", {})
            for part, key in (("image", "alt"), ("figure", "caption"), ("figure", "name")):
                if not page.get(part, {}).get(key):
                    found.append(f"figure without {key}: {head}")
    return found


def shows_a_value(source: str) -> bool:
    """The last statement is an expression whose value Jupyter displays."""
    body = ast.parse(source).body
    return bool(body) and isinstance(body[-1], ast.Expr) and not source.rstrip().endswith(";")


def defines(source: str) -> bool:
    """Functions and classes; a `lambda:` without arguments is only the closure that a step is given."""
    return any(
        isinstance(node, DEFINITIONS) and not (isinstance(node, ast.Lambda) and not node.args.args)
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_as_agreed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert complaints(notebook) == []


def unfolded(notebook) -> list[str]:
    """Cells that push the text off the screen."""
    long = (cell for cell in code_cells(notebook) if len(cell.source.splitlines()) > OPEN)
    return [cell.source.splitlines()[0] for cell in long if "hide-input" not in tags(cell)]


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem not in PROGRAMS], ids=lambda path: path.stem)
def test_long_code_is_folded(path):
    assert unfolded(nbformat.read(path, as_version=4)) == []


def test_an_open_screen_of_code_is_noticed():
    cell = nbformat.v4.new_code_cell("x = 1\n" * 21)
    folded = nbformat.v4.new_code_cell("x = 1\n" * 21, metadata={"tags": ["hide-input"]})
    assert unfolded(nbformat.v4.new_notebook(cells=[folded])) == []
    assert unfolded(nbformat.v4.new_notebook(cells=[cell])) == ["x = 1"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def strip_outputs(cell):
    cell.outputs = []


def forget_count(cell):
    cell.execution_count = None


def hide(cell):
    cell.metadata["tags"] = ["nbval-skip"]


def define(cell):
    cell.source = "f = lambda W: W\n" + cell.source


def drop_alt(cell):
    cell.metadata["mystnb"] = {"figure": {"caption": "c", "name": "n"}}


def widen(cell):
    cell.source = "_ = " + 40 * "1 + " + "1\n" + cell.source


def print_a_dict(cell):
    cell.outputs.append(nbformat.v4.new_output("stream", text="rates\n{'SGD': 0.1}\n"))


def show_a_repr(cell):
    cell.outputs.append(nbformat.v4.new_output("execute_result", {"text/plain": "Table(header=['rule'], rows=[])"}))


@pytest.mark.parametrize(
    "spoil",
    [strip_outputs, forget_count, hide, define, drop_alt, widen, print_a_dict, show_a_repr],
    ids=lambda f: f.__name__,
)
def test_a_spoilt_notebook_is_noticed(spoil):
    figure = nbformat.v4.new_output("display_data", {"text/plain": "<Figure size 640x480 with 1 Axes>"})
    described = {"image": {"alt": "a"}, "figure": {"caption": "c", "name": "n"}}
    cell = nbformat.v4.new_code_cell("draw()", execution_count=1, outputs=[figure], metadata={"mystnb": described})
    good = nbformat.v4.new_notebook(cells=[cell])
    bad = copy.deepcopy(good)
    spoil(bad.cells[0])
    assert complaints(good) == []
    assert complaints(bad) != []
