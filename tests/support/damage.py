"""One thing wrong anywhere in nested dictionaries, lists and tuples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def places(tree: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path to every entry of nested dictionaries, lists and tuples."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(tree: Any, path: tuple, change: Callable[[Any], Any]) -> Any:
    """`tree` with what is at `path` changed, or left out if that gives None."""
    key, *rest = path
    value = changed(tree[key], tuple(rest), change) if rest else change(tree[key])
    if isinstance(tree, dict):
        return {k: value if k == key else v for k, v in tree.items() if k != key or value is not None}
    return type(tree)(value if k == key else v for k, v in enumerate(tree) if k != key or value is not None)


def poisoned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone().fill_(math.nan) if value.is_floating_point() else value[:-1]
    return math.nan if isinstance(value, (int, float)) else "x"


def cut(value: Any) -> Any:
    """One number fewer in a tensor's first axis."""
    return value[:-1] if isinstance(value, Tensor) and value.ndim else [value]


def whole(value: Any) -> Any:
    """Whole numbers in the place of real ones."""
    return value.long() if isinstance(value, Tensor) else 10**40


def complex_or_empty(value: Any) -> Any:
    return value.to(torch.complex64) if isinstance(value, Tensor) else []


DAMAGE: dict[str, Callable[[Any], Any]] = {
    "missing": lambda value: None,
    "text": lambda value: "x",
    "not finite": poisoned,
    "cut": cut,
    "whole": whole,
    "complex or empty": complex_or_empty,
    "negative": lambda value: -value - 1 if isinstance(value, (int, float)) else -1,
}
