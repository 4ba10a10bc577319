"""Recorded runs come with every installation: their numbers have the digits that somebody reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ngdnum.recorded import FOLDER
from support.paths import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from shorten import shortened  # noqa: E402


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.json")), ids=lambda file: file.stem)
def test_recorded_numbers_are_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text == shortened(text), "run python book/_ext/shorten.py"


def test_only_numbers_that_were_measured_are_shortened() -> None:
    text = '{\n "error": 0.12345678,\n "seed": 12345678,\n "settings": {"lr": 0.016}\n}\n'
    assert shortened(text) == text.replace("0.12345678", "0.1234568")
