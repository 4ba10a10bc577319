"""States of version 1, in which layers go by their number, in the layout of version 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..curvature.inverse import RAISE
from ..layers import Layer


def is_version_1(state_dict: Mapping[str, Any]) -> bool:
    """Whether the layout is that of version 1, which did not say its number."""
    ngd = state_dict.get("ngd")
    return isinstance(ngd, Mapping) and "past" in ngd and "version" not in ngd


def upgraded(
    state_dict: Mapping[str, Any],
    layers: list[Layer],
    network: bool,
    parts: Mapping[str, str],
    shapes: Mapping[str, list[int]],
    others: Mapping[str, list[int]],
) -> dict[str, Any]:
    """The same run in version 2, for an optimizer of these `parts` and `shapes`, which version 1 did not tell.

    Version 1 had one group of layers, in the order of the model.
    """
    ngd = state_dict["ngd"]
    past, name = ngd["past"], [layer.name for layer in layers]
    count = sum(len(layer.parameters) for layer in layers)
    entries: dict[int, dict[str, Any]] = {k: {} for k in range(len(layers))}
    for quantity, matrices in past["factors"].items():
        for k, matrix in matrices.items():
            entries[k][quantity] = matrix
    for k, velocity in past["memory"].items():
        entries[k]["velocity"] = velocity
    blocks = []
    first, *rest = state_dict["param_groups"]
    for (undamped, *members), (made, lam, raised, step, origin, memory) in past["states"].items():
        if undamped != (first["damping"] == 0.0):
            continue
        kept = {"parts": made, "lam": lam * RAISE**raised, "step": step, "origin": origin, "memory": memory}
        kept["units"] = None
        entries[members[0]]["factorisation"] = kept
        named = [name[k] for k in members]
        blocks.append([[n] for n in named] if network else [named])
    start, numbers = 0, {}
    for k, layer in enumerate(layers):
        numbers[k], start = start, start + len(layer.parameters)
    if len(first["params"]) != count:
        raise ValueError(f"it has {len(first['params'])} parameters of layers, not {count}")
    group = {**first, "param_names": [n for layer in layers for n in layer.names], "weight_decay": 0.0}
    return {
        "state": {numbers[k]: entry for k, entry in entries.items() if entry},
        "param_groups": [group, *rest],
        "ngd": {
            "version": 2,
            "parts": {**parts, "damping": "absolute"},
            "shapes": shapes,
            "others": others,
            "steps": ngd["steps"],
            "measured": past["measured"],
            "kept": {name[k]: sorted(entry) for k, entry in entries.items()},
            "active": [],
            "blocks": blocks,
            "generator": ngd["generator"],
            "fallback": ngd["others"],
        },
    }
