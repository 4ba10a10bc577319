"""Saved optimizers: what is written next to torch's own entries, and what is checked before any of it is taken over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .curvature.block import INVERSES, MEANS, Block, each
from .layers import Layer
from .stack import Stack

VERSION = 2
"""Of the entry "ngd"; raised when its meaning changes."""


class Contents:
    """The entry "ngd" of an optimizer with these parts.

    Parameters
    ----------
    layers : list of Layer
    parts : dict
        Names of what a saved run must agree on.
    state : mapping
        `opt.state`.
    """

    def __init__(self, layers: list[Layer], parts: dict[str, str], state: Mapping[nn.Parameter, dict]) -> None:
        self._layers, self._parts, self._state = layers, parts, state

    def saved(self, active: list[int], blocks: list[Block], steps: int, measured: int, generator: torch.Generator) -> dict[str, Any]:
        """What it says of a run."""
        kept = {layer.name: sorted(self._state[layer.weight]) for layer in self._layers if layer.weight in self._state}
        return {
            "version": VERSION, "parts": self._parts, "steps": steps, "measured": measured, "kept": kept, "active": active,
            "blocks": [[[layer.name for layer in stack.members.values()] for stack in block.stacks] for block in blocks],
            "generator": generator.get_state(),
        }

    def check(self, state_dict: dict[str, Any], groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The saved entries of `opt.state` by layer; a ValueError says what does not fit."""
        own = state_dict.get("ngd")
        if not isinstance(own, dict):
            raise ValueError("this state_dict was not made by NGD: it has no entry 'ngd'")
        if own.get("version") != VERSION:
            raise ValueError(
                f"this state_dict has version {own.get('version')}, this NGD reads version {VERSION}: begin anew "
                "from the weights"
            )
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
        return entries

    def blocks(self, own: dict[str, Any], state: Any) -> list[Block]:
        """The blocks as they were."""
        index = {layer.name: k for k, layer in enumerate(self._layers)}
        return [
            Block([Stack({index[name]: self._layers[index[name]] for name in stack}) for stack in block], state)
            for block in own["blocks"]
        ]


def _same_names(own: list[str], saved: list[str]) -> None:
    """Refuse a state of other parameters."""
    if set(own) != set(saved):
        missing, strange = sorted(set(own) - set(saved)), sorted(set(saved) - set(own))
        raise ValueError(
            "this state_dict is of another model: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("it lacks", missing), ("the model lacks", strange)) if names
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
