"""Files of others are read with care: whatever is wrong in one is told with its name and the place."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NoReturn


class Node:
    """A value in a JSON file, which knows where it stands.

    Examples
    --------
    >>> errors = Node([1, "2"], "r.json", "errors", "a result").elements()
    >>> errors[0].number()
    1
    >>> errors[1].number()
    Traceback (most recent call last):
    ValueError: 'r.json' is not a result: errors[1] must be a number, not '2'
    """

    def __init__(self, value: Any, file: str, place: str, kind: str) -> None:
        self.value, self.file, self.place, self.kind = value, file, place, kind

    def error(self, problem: str) -> ValueError:
        """What to raise when there is a `problem` here."""
        return ValueError(f"{self.file!r} is not {self.kind}: {self.place or 'it'} {problem}")

    def _must(self, condition: bool, kind: str) -> None:
        if not condition:
            text = repr(self.value)
            raise self.error(f"must be {kind}, not {text if len(text) < 40 else text[:36] + ' …'}")

    def _child(self, value: Any, place: str) -> Node:
        return Node(value, self.file, place, self.kind)

    def fields(self, names: str, optional: str = "") -> dict[str, Node]:
        """The values of an object with exactly these fields, those among `optional` if they are there."""
        found = self.entries()
        if missing := [name for name in names.split() if name not in found]:
            raise self.error(f"has no {missing[0]!r}")
        if unknown := [name for name in found if name not in names.split() + optional.split()]:
            raise self.error(f"has an unknown entry {unknown[0]!r}")
        return found

    def entries(self) -> dict[str, Node]:
        """The values of an object by name."""
        self._must(isinstance(self.value, dict), "an object")
        return {name: self._child(value, f"{self.place}.{name}".lstrip(".")) for name, value in self.value.items()}

    def elements(self) -> list[Node]:
        """The entries of a list."""
        self._must(isinstance(self.value, list), "a list")
        return [self._child(value, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def mapping(self) -> dict[str, Any]:
        """An object as it is."""
        self._must(isinstance(self.value, dict), "an object")
        return dict(self.value)

    def number(self) -> Any:
        """A finite number."""
        self._must(isinstance(self.value, int | float) and not isinstance(self.value, bool), "a number")
        self._must(math.isfinite(self.value), "finite")
        return self.value

    def count(self) -> int:
        """A whole number that is not negative."""
        self._must(
            isinstance(self.value, int) and not isinstance(self.value, bool) and self.value >= 0,
            "a whole number, 0 or more",
        )
        return int(self.value)

    def text(self) -> str:
        """Text."""
        self._must(isinstance(self.value, str), "text")
        return str(self.value)

    def flag(self) -> bool:
        """True or false."""
        self._must(isinstance(self.value, bool), "true or false")
        return bool(self.value)


def read_json(path: str | os.PathLike[str], kind: str) -> Node:
    """The content of a JSON file that should be `kind`.

    Raises
    ------
    ValueError : it is no JSON, or has NaN or infinity in it, which JSON does not know; or it cannot be read.
    FileNotFoundError : it does not exist.
    """
    file = os.fspath(path)
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{file!r} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file!r} is not {kind}: {error}") from None
    return Node(value, str(file), "", kind)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
