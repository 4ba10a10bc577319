"""The names that users import: all of them exist, and the book and the README use no other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import ngdsym
from support.paths import ROOT

PUBLIC = ("ngdsym", "ngdsym.symbols", "ngdsym.zoo", "ngdsym.dense")
# A section of the theorems has its letters; the pages on the compiler and on identities look inside theirs.
SHOWN = re.compile(
    r"ngdsym\.theorems(\.(gradient_descent_flow|block_diagonal))?|ngdsym\.compiler\.\w+|ngdsym\.bench\.identities"
)
PAGES = [*sorted((ROOT / "book").glob("*.ipynb")), ROOT / "README.md"]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_exists(module: str) -> None:
    there = import_module(module)
    assert len(set(there.__all__)) == len(there.__all__)
    assert all(getattr(there, name) is not None for name in there.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Prove'"):
        getattr(ngdsym, "Prove")  # noqa: B009


def test_the_lazy_homes_are_the_public_names() -> None:
    assert sorted(name for names in ngdsym.HOMES.values() for name in names) == sorted(ngdsym.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import ngdsym, sys; print([m for m in ('sympy', 'flint', 'numpy', 'rich') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()
        == "[]"
    )


def _code(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_import_public_names_only(page: Path) -> None:
    for module, names in re.findall(r"from (ngdsym[\w.]*) import \(?([\w, ]+)", _code(page)):
        if SHOWN.fullmatch(module):
            continue
        assert module in PUBLIC, f"{module} is internal"
        assert {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()} <= set(
            import_module(module).__all__
        )
