"""Round the recorded runs of the package to as many digits as anybody reads, in their files.

    python book/_ext/shorten.py

Settings, seeds and sizes have fewer. Runs that commands write elsewhere, and go on from, keep all digits.
"""

from __future__ import annotations

import json
from typing import Any

from ngdnum.recorded import FOLDER
from ngdnum.results import compact_json

DIGITS = 7


def short(content: Any) -> Any:
    """The content of a JSON file with its numbers rounded."""
    if isinstance(content, dict):
        return {name: short(value) for name, value in content.items()}
    if isinstance(content, list):
        return [short(value) for value in content]
    return float(f"{content:.{DIGITS}g}") if isinstance(content, float) else content


def shortened(text: str) -> str:
    """The text of a recorded run with its numbers rounded."""
    return compact_json(short(json.loads(text))) + "\n"


if __name__ == "__main__":
    for file in FOLDER.rglob("*.json"):
        file.write_text(shortened(file.read_text(encoding="utf-8")), encoding="utf-8")
