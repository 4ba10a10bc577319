"""What a reader finds where: from the front page, in each chapter of theory, and in a page alone in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ngdnum.rules.registry import RULES
from support.paths import BOOK, ROOT

NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
FRONT = (BOOK / "index.md").read_text(encoding="utf-8")
LINK = re.compile(r"\{doc\}`(?:[^`<]*<)?(\w+)>?`")
SOUGHT = {  # what many come for, the page with it, and what they look for there
    "the proof of Eq. 10": ("flow", ":label: eq-10", "is_generalized_inverse(inverse, proof=True)"),
    "Figure 1C with the exact rule": ("fig1c", "fig1c", "NGD.exact"),
    "training a model of one's own": ("using", "nn.Sequential(", "optimizer.step()"),
    "what the paper's code does differently": ("readings", "| point | the text | the code |"),
}
OF_A_CHECKOUT = re.compile(r"""["'](?:\.\./|results/|book/|tests/|_ext|_static)|__file__|\bopen\(|(?<!\w)Path\(""")


def chapters(caption: str | None = None) -> list[str]:
    """Pages of the table of contents, or those of one part."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    parts = contents.split("- caption: ")[1:]
    chosen = [part for part in parts if caption is None or part.startswith(caption + "\n")]
    return [name for part in chosen for name in re.findall(r"file: book/(\w+)", part)]


def cells(page: str) -> list[nbformat.NotebookNode]:
    return nbformat.read(BOOK / f"{page}.ipynb", as_version=4).cells


def test_every_page_is_one_click_from_the_front_page() -> None:
    assert len(chapters()) > 40
    assert set(chapters()) - set(LINK.findall(FRONT)) - {"references"} == set()


@pytest.mark.parametrize("sought", SOUGHT)
def test_what_many_come_for_is_two_clicks_from_the_front_page(sought: str) -> None:
    page, *marks = SOUGHT[sought]
    quick = FRONT.split("## What many come for")[1].split("\n## ")[0]
    assert page in LINK.findall(quick)
    text = "\n".join(cell.source for cell in cells(page))
    assert [mark for mark in marks if mark not in text] == []


@pytest.mark.parametrize("page", chapters("Theory"))
def test_theory_chapters_have_exercises_with_folded_executed_solutions(page: str) -> None:
    text = "\n".join(f"⟨{cell.cell_type}⟩\n{cell.source}" for cell in cells(page))
    asked = set(re.findall(r":label: (ex-[\w-]+)", text))
    solved = re.findall(
        r"\{solution-start\} (ex-[\w-]+)\n:class: dropdown\n(?:(?!solution-end).)*⟨code⟩.*?\{solution-end\}", text, re.S
    )
    assert solved and set(solved) <= asked
    assert asked == set(re.findall(r"\{solution(?:-start)?\} (ex-[\w-]+)\n:class: dropdown", text))


def test_there_are_four_interactive_figures() -> None:
    assert sum("Slider(" in cell.source for page in NOTEBOOKS for cell in cells(page.stem)) >= 4


def test_the_emitted_lines_of_every_rule_are_shown() -> None:
    text = "\n".join(cell.source for cell in cells("zoo"))
    assert set(RULES) - set(re.findall(r"\{dropdown\} (\w+)\n```\{literalinclude\}", text)) == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_read_no_files_of_a_checkout(path: Path) -> None:
    code = [cell.source for cell in cells(path.stem) if cell.cell_type == "code"]
    assert [found for source in code for found in OF_A_CHECKOUT.findall(source)] == []


def test_a_downloaded_page_runs_in_an_empty_folder() -> None:
    """One that computes, draws, and reads several records."""
    command = [sys.executable, BOOK / "_ext" / "bench_book.py", "--alone", BOOK / "flow_experiment.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
