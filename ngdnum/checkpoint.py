"""Saved optimizers: what is written next to torch's own entries, and what is checked before any of it is taken over."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .control import Control
from .curvature.block import INVERSES, MEANS, each
from .curvature.curvature import Curvature
from .layers import Layer
from .rule import Preconditioner

VERSION = 3
"""Of the entry "ngd"; raised when its meaning changes."""


class Saved:
    """The entry "ngd" of the state of an optimizer with these parts, and what it must agree on with torch's own."""

    def __init__(
        self,
        layers: list[Layer],
        rule: Preconditioner,
        control: Control,
        fallback: Optimizer | None,
        state: Mapping[Any, dict[str, Any]],
    ) -> None:
        self._layers, self._fallback, self._state = layers, fallback, state
        self._parts = {"rule": rule.name, "control": type(control).__name__, "fallback": type(fallback).__name__}

    def entry(self, curvature: Curvature, steps: int, generator: torch.Generator) -> dict[str, Any]:
        """What it says of a run; layers by their names."""
        kept = {layer.name: sorted(self._state[layer.weight]) for layer in self._layers if layer.weight in self._state}
        name = [layer.name for layer in self._layers]
        groups = [[list(stack.members) for stack in block.stacks] for block in curvature.blocks.blocks]
        return {
            "version": VERSION,
            "parts": self._parts,
            "steps": steps,
            "measured": curvature.measured,
            "kept": kept,
            "active": curvature.blocks.layers,
            "blocks": [[[name[k] for k in stack] for stack in group] for group in groups],
            "generator": generator.get_state(),
            "fallback": self._fallback.state_dict() if self._fallback else None,
        }

    def groups(self, blocks: list[list[list[str]]]) -> list[list[list[int]]]:
        """The layers of each stack of each block, from their names."""
        index = {layer.name: k for k, layer in enumerate(self._layers)}
        return [[[index[name] for name in stack] for stack in block] for block in blocks]

    def load_fallback(self, state: dict[str, Any] | None) -> None:
        """Load the state of the fallback optimizer, or leave it as it is if that fails."""
        if self._fallback is None:
            return
        before = copy.deepcopy(self._fallback.state_dict())
        try:
            self._fallback.load_state_dict(copy.deepcopy(state or {}))
        except BaseException as error:
            self._fallback.load_state_dict(before)
            if isinstance(error, KeyError):
                raise ValueError("the state of the fallback optimizer is not complete in this state_dict") from error
            raise

    def checked(
        self, state_dict: dict[str, Any], groups: list[dict[str, Any]]
    ) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
        """The saved entries of `opt.state` by layer, and the groups; a ValueError says what does not fit."""
        own = state_dict.get("ngd")
        if not isinstance(own, dict):
            raise ValueError("this state_dict was not made by NGD: it has no entry 'ngd'")
        if own.get("version") != VERSION:
            raise ValueError(
                f"this state_dict has version {own.get('version')}, this NGD reads version {VERSION}: begin anew "
                "from the weights"
            )
        missing = {"parts", "kept", "active", "blocks", "generator", "fallback"} - own.keys()
        if missing:
            raise ValueError(f"this state_dict lacks {', '.join(sorted(missing))}")
        names = [name for layer in self._layers for name in layer.names]
        saved = state_dict["param_groups"]
        _same_names(names, saved[0].get("param_names", []))
        if [len(group["params"]) for group in saved] != [len(group["params"]) for group in groups]:
            raise ValueError("the parameters of the fallback optimizer are in other groups than in this state_dict")
        for part, name in self._parts.items():
            if own["parts"].get(part) != name:
                raise ValueError(f"this state_dict is of an NGD with {part} {own['parts'].get(part)}, not {name}")
        for count in ("steps", "measured"):
            if isinstance(own.get(count), bool) or not isinstance(own.get(count), int) or own[count] < 0:
                raise ValueError(f"the number of {count} in this state_dict is {own.get(count)!r}")
        for name in ("lr", "damping"):
            value = saved[0].get(name)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name} in this state_dict is {value!r}")
        _check_generator(own.get("generator"))
        number = dict(zip(saved[0]["param_names"], saved[0]["params"]))
        entries = {}
        for layer in self._layers:
            entry = state_dict["state"].get(number[layer.names[0]], {})
            if sorted(entry) != own["kept"].get(layer.name, []):
                raise ValueError(
                    f"this state_dict has {sorted(entry)} of layer {layer.name!r}, not {own['kept'].get(layer.name)}"
                )
            _check_entry(layer, entry)
            entries[layer.name] = each(entry, _like(layer.weight))
        if not all(name in entries for block in own["blocks"] for stack in block for name in stack):
            raise ValueError("the blocks of this state_dict have other layers than the model")
        saved = copy.deepcopy(saved)
        saved[0]["param_names"] = names
        return entries, saved


def _same_names(own: list[str], saved: list[str]) -> None:
    """Refuse a state of other parameters."""
    if set(own) != set(saved):
        missing, strange = sorted(set(own) - set(saved)), sorted(set(saved) - set(own))
        raise ValueError(
            "this state_dict is of another model: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("it lacks", missing), ("the model lacks", strange))
                if names
            )
        )


def _check_generator(state: object) -> None:
    if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.ndim != 1:
        raise ValueError("the state of the generator in this state_dict is none")
    if state.numel() > 16:  # one of the processor
        try:
            torch.Generator().set_state(state.cpu())
        except RuntimeError as error:
            raise ValueError(f"the state of the generator in this state_dict is none: {error}") from error


def _check_entry(layer: Layer, entry: dict[str, Any]) -> None:
    """Refuse tensors of other shapes, and numbers that are not finite."""
    shape = layer.matrix(*layer.parameters).shape
    n, m = shape[-2:]
    sizes = dict(zip(MEANS + INVERSES, (n, m, n, m)))
    for name, value in entry.items():
        if name == "factorisation":
            continue
        packed = isinstance(value, tuple)
        tensor = value[0] if packed else value
        size = sizes.get(name)
        expected = shape if size is None else (*shape[:-2], *((-(-size // 2), size + 1) if packed else (size, size)))
        if name not in (*sizes, "velocity") or tensor.shape != expected:
            raise ValueError(f"{name} of layer {layer.name!r} has shape {tuple(tensor.shape)}, not {tuple(expected)}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} of layer {layer.name!r} in this state_dict is not finite")


def _like(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """To the device of `weight`, and to its dtype where that makes sense."""
    return lambda t: t.to(weight.device, weight.dtype if t.is_floating_point() else t.dtype)


def rebuilt(
    kind: type[Optimizer],
    model: nn.Module,
    options: dict[str, Any],
    fallback: Optimizer | None,
    state: dict[str, Any],
) -> Optimizer:
    """An optimizer of this `kind` with these options and this state: the inverse of `NGD.__reduce__`."""
    made: dict[str, Any] = {} if fallback is None else {"fallback": lambda _: fallback}
    optimizer = kind(model, **options, **made)  # type: ignore[arg-type]
    optimizer.load_state_dict(state)
    return optimizer
