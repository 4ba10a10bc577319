"""The page "What happens if" says what its tests ask for."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from support.paths import ROOT

PAGE = (ROOT / "book" / "what_if.md").read_text(encoding="utf-8")


def extension() -> ModuleType:
    specification = importlib.util.spec_from_file_location("what_if", ROOT / "book" / "_ext" / "what_if.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


WHAT_IF = extension()
ROWS = WHAT_IF.rows()


def test_there_are_many_rows_and_no_fault_twice() -> None:
    assert len(ROWS) >= 80
    assert [fault for fault, times in Counter((row.area, row.fault) for row in ROWS).items() if times > 1] == []


def test_every_exception_and_message_is_one_that_the_test_asks_for() -> None:
    assert {row.test: found for row in ROWS if (found := WHAT_IF.unfounded(row))} == {}


def test_every_area_is_on_the_page() -> None:
    assert set(re.findall(r"\{what-if\} (.*)", PAGE)) == {row.area for row in ROWS}


SOURCE = """
import pytest
MESSAGES = ["the loss is .* nan"]

@pytest.mark.what_if("loops", "a NaN", "{}")
@pytest.mark.parametrize("message", MESSAGES)
def test_nan(message):
    "Said of another test: something else"
    with pytest.raises(ValueError, match=message):
        raise ValueError("the loss is now nan")
"""


@pytest.mark.parametrize(
    ("outcome", "unfounded"),
    [
        ("ValueError: “the loss is … nan”", []),
        ("it is refused: “the loss”", []),
        ("TypeError: “the loss”", ["TypeError"]),
        ("ValueError: “the loss is inf”", ["the loss is inf"]),
        ("“something else”", ["something else"]),
    ],
)
def test_a_row_that_its_test_does_not_support_is_found(tmp_path: Path, outcome: str, unfounded: list[str]) -> None:
    (tmp_path / "test_loss.py").write_text(SOURCE.replace("{}", outcome), encoding="utf-8")
    (row,) = WHAT_IF.rows(tmp_path)
    assert row[:4] == ("loops", "a NaN", outcome, f"{tmp_path.name}/test_loss.py::test_nan")
    assert WHAT_IF.unfounded(row) == unfounded
