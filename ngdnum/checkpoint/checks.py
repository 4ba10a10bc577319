"""What a saved state must agree on with the optimizer that is to take it over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..curvature.block import INVERSES, MEANS
from ..curvature.factorisation import each
from ..groups import Group, check_groups
from ..layers import Layer

VERSION = 2
"""Of the entry "ngd"; raised when its meaning changes."""
KEYS = ("parts", "shapes", "others", "steps", "measured", "kept", "active", "blocks", "generator", "fallback")
FACTORISATION = {"parts", "lam", "step", "origin", "memory", "units"}


class Damaged(ValueError):
    """A state that cannot be taken over."""


@contextmanager
def reading() -> Iterator[None]:
    """Within, whatever is not where it should be makes a sentence."""
    try:
        yield
    except Damaged as error:
        raise ValueError(f"this state_dict does not fit, so nothing was changed: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"this state_dict is damaged, so nothing was changed ({type(error).__name__}: {error})"
        ) from error


def check_keys(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The entry "ngd", which has all its keys."""
    for key in ("state", "param_groups", "ngd"):
        if key not in state_dict:
            raise Damaged(f"it was not made by NGD, for it has no entry {key!r}")
    ngd = state_dict["ngd"]
    if ngd.get("version") != VERSION:
        raise Damaged(
            f"it has version {ngd.get('version')!r}, and this NGD reads versions 1 and {VERSION}: begin anew from the "
            "weights"
        )
    missing = [key for key in KEYS if key not in ngd]
    if missing:
        raise Damaged(f"it lacks {', '.join(missing)}")
    return ngd


def check_parts_of(saved: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Refuse the state of an optimizer of other parts."""
    for part, name in own.items():
        if saved.get(part) != name:
            raise Damaged(f"it is of an NGD with {part} {saved.get(part)}, not {name}")


def check_shapes(own: Mapping[str, list[int]], saved: Mapping[str, list[int]], what: str) -> None:
    """Refuse other parameters, or parameters of other shapes."""
    _same_names(own, saved, what)
    for name, shape in own.items():
        if list(saved[name]) != shape:
            raise Damaged(f"{name!r} has shape {tuple(saved[name])}, not {tuple(shape)}")


def check_fallback(state: Mapping[str, Any] | None, saved: list[str], own: list[str]) -> None:
    """Refuse a state of the fallback optimizer in another order, or with numbers that are not finite."""
    if own and state is None:
        raise Damaged("the state of the fallback optimizer is missing")
    if saved != own:
        raise Damaged("the parameters of the fallback optimizer are in another order")
    for k, entry in state["state"].items() if state else ():
        _check_finite(f"of parameter {own[k]!r}", entry)


def check_groups_of(saved: list[Group], own: list[Group], fallback: Optimizer | None) -> None:
    """Refuse other groups of parameters, and values in them with which no step can be taken."""
    others = fallback.param_groups if fallback else []
    count = len(saved) - len(others)
    if count != len(own):
        raise Damaged(f"it has {count} groups of layers, not {len(own)}")
    for k, (mine, theirs) in enumerate(zip(own, saved)):
        _same_names(mine["param_names"], theirs["param_names"], f"param_groups[{k}] has other parameters")
        if len(theirs["params"]) != len(mine["params"]):
            raise Damaged(f"param_groups[{k}] has {len(theirs['params'])} parameters, not {len(mine['params'])}")
    if [len(group["params"]) for group in saved[count:]] != [len(group["params"]) for group in others]:
        raise Damaged("the parameters of the fallback optimizer are in other groups")
    try:
        check_groups(saved, count)
    except ValueError as error:
        raise Damaged(str(error)) from error


def check_count(name: str, value: object) -> None:
    """Refuse what is no number of steps."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Damaged(f"the number of {name} is {value!r}")


def check_blocks(active: list[str], blocks: list[list[list[str]]]) -> None:
    """Refuse blocks of other layers than those of the last step, where these are told."""
    members = [name for block in blocks for stack in block for name in stack]
    if active and sorted(members) != sorted(active):
        raise Damaged(f"its blocks have the layers {members}, and its last step had {active}")


def check_generator(state: Tensor, device: torch.device) -> None:
    """Refuse what is no state of a generator on `device`."""
    try:
        torch.Generator(device).set_state(state.cpu())
    except (RuntimeError, TypeError, AttributeError) as error:
        raise Damaged(
            f"the state of the generator is none on {device.type} ({error}); for new random numbers, put "
            "opt.generator.get_state() in its place"
        ) from error


def check_entry(layer: Layer, entry: dict[str, Any], kept: list[str], relative: bool) -> None:
    """Refuse tensors of other names or shapes, numbers that are not finite, and factors without units of λ."""
    if sorted(entry) != kept:
        raise Damaged(f"it has {sorted(entry)} of layer {layer.name!r}, not {kept}")
    if relative and "sizes" not in entry and not entry.keys().isdisjoint(MEANS + INVERSES):
        raise Damaged(f"it has factors of layer {layer.name!r}, but not the sizes that a relative damping is in")
    shape = layer.matrix(*layer.parameters).shape
    n, m = shape[-2:]
    widths = dict(zip(MEANS + INVERSES, (n, m, n, m)))
    for name, value in entry.items():
        if name == "factorisation":
            _check_factorisation(layer, value, [(m, m), (-(-m // 2), m + 1)])
            continue
        packed = isinstance(value, tuple)
        tensor = value[0] if packed else value
        size = widths.get(name)
        expected = shape if size is None else (*shape[:-2], *((-(-size // 2), size + 1) if packed else (size, size)))
        if name == "sizes":
            expected = torch.Size((4,))
        if name not in (*widths, "velocity", "sizes") or tensor.shape != expected:
            raise Damaged(f"{name} of layer {layer.name!r} has shape {tuple(tensor.shape)}, not {tuple(expected)}")
        if not tensor.is_floating_point():
            raise Damaged(f"{name} of layer {layer.name!r} is {tensor.dtype}, not of real numbers")
    _check_finite(f"of layer {layer.name!r}", entry)


def _check_factorisation(layer: Layer, value: dict[str, Any], shapes: list[tuple[int, int]]) -> None:
    """Refuse what is no factorisation; whether its parts serve the rule shows where they are tried."""
    if value.keys() != FACTORISATION:
        raise Damaged(f"the factorisation of layer {layer.name!r} has {sorted(value)}")
    check_count(f"the step of the factorisation of layer {layer.name!r}", value["step"])
    memory = value["memory"]
    (matrix,) = memory if isinstance(memory, tuple) else (memory,)
    if matrix is not None and matrix.shape[-2:] not in shapes:
        raise Damaged(f"what the rule remembers of layer {layer.name!r} has another shape")


def _check_finite(where: str, entry: dict[str, Any]) -> None:
    for name, value in entry.items():
        finite: list[bool] = []

        def look(t: Tensor) -> Tensor:
            finite.append(bool(t.isfinite().all()))
            return t

        each(value, look)
        if not all(finite):
            raise Damaged(f"{name} {where} is not finite")


def _same_names(own: Any, saved: Any, what: str) -> None:
    """Refuse a state of other parameters."""
    if set(own) != set(saved):
        missing, strange = sorted(set(own) - set(saved)), sorted(set(saved) - set(own))
        differences = ("it lacks", missing), ("the model lacks", strange)
        raise Damaged(f"{what}: " + "; ".join(f"{verb} {', '.join(names)}" for verb, names in differences if names))
