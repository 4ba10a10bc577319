"""Saved optimizers: what is written next to torch's own entries, and how it is taken over, all of it or nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..control import Control
from ..curvature.curvature import Curvature
from ..curvature.factorisation import each
from ..damping import Damping
from ..fallback import check_serves
from ..groups import Group, check_groups
from ..layers import Layer
from ..rule import Preconditioner
from .checks import (
    VERSION,
    check_blocks,
    check_count,
    check_entry,
    check_fallback,
    check_generator,
    check_groups_of,
    check_keys,
    check_parts_of,
    check_shapes,
    reading,
)
from .version_1 import is_version_1, upgraded


class Run(NamedTuple):
    """What a state says of a run, checked, with tensors like the weights."""

    groups: list[Group]
    entries: dict[Tensor, dict[str, Any]]
    active: list[int]
    blocks: list[list[list[int]]]
    measured: int
    steps: int
    generator: Tensor
    fallback: dict[str, Any] | None


class Saved:
    """The state of an optimizer with these parts: torch's entries, and "ngd", in which layers go by their names."""

    def __init__(
        self,
        layers: list[Layer],
        others: Mapping[str, nn.Parameter],
        rule: Preconditioner,
        damping: Damping,
        control: Control,
        fallback: Optimizer | None,
    ) -> None:
        self._layers, self._network, self._fallback = layers, rule.network, fallback
        self._parts = {"rule": rule.name, "control": type(control).__name__, "fallback": type(fallback).__name__}
        self._parts["damping"] = "relative" if damping.relative else "absolute"
        names = {parameter: name for name, parameter in others.items()}
        steered = [p for group in fallback.param_groups for p in group["params"]] if fallback else []
        self._shapes = {name: list(p.shape) for layer in layers for name, p in zip(layer.names, layer.parameters)}
        self._others = {names[p]: list(p.shape) for p in steered}

    def entry(self, curvature: Curvature, state: Mapping[Any, dict[str, Any]], steps: int, generator: Tensor) -> Group:
        """What "ngd" says of a run."""
        names = [layer.name for layer in self._layers]
        groups = [[list(stack.members) for stack in block.stacks] for block in curvature.blocks.blocks]
        return {
            "version": VERSION,
            "parts": self._parts,
            "shapes": self._shapes,
            "others": self._others,
            "steps": steps,
            "measured": curvature.measured,
            "kept": {layer.name: sorted(state[layer.weight]) for layer in self._layers if layer.weight in state},
            "active": [names[k] for k in curvature.blocks.layers],
            "blocks": [[[names[k] for k in stack] for stack in group] for group in groups],
            "generator": generator,
            "fallback": self._fallback.state_dict() if self._fallback else None,
        }

    def read(self, state_dict: Mapping[str, Any], own: list[Group], device: torch.device) -> Run:
        """What a `state_dict` says, for an optimizer whose layers are in the groups `own`.

        Raises
        ------
        ValueError
            If it does not fit, with what differs.
        """
        with reading():
            if is_version_1(state_dict):
                state_dict = upgraded(state_dict, self._layers, self._network, self._parts, self._shapes, self._others)
            ngd = check_keys(state_dict)
            check_parts_of({"damping": "absolute", **ngd["parts"]}, self._parts)
            check_shapes(self._shapes, ngd["shapes"], "it is of another model")
            check_shapes(self._others, ngd["others"], "the parameters of the fallback optimizer are others")
            check_fallback(ngd["fallback"], list(ngd["others"]), list(self._others))
            groups = [{**group} for group in state_dict["param_groups"]]
            for first in groups[:1]:
                first.setdefault("quotient", 0.0)
            check_groups_of(groups, own, self._fallback)
            for count in ("steps", "measured"):
                check_count(count, ngd[count])
            check_blocks(ngd["active"], ngd["blocks"])
            check_generator(ngd["generator"], device)
            number = {n: k for group in groups[: len(own)] for n, k in zip(group["param_names"], group["params"])}
            entries: dict[Tensor, dict[str, Any]] = {}
            for layer in self._layers:
                entry = state_dict["state"].get(number[layer.names[0]], {})
                check_entry(layer, entry, ngd["kept"].get(layer.name, []), self._parts["damping"] == "relative")
                if entry:
                    entries[layer.weight] = each(entry, _like(layer.weight))
            index = {layer.name: k for k, layer in enumerate(self._layers)}
            blocks = [[[index[name] for name in stack] for stack in block] for block in ngd["blocks"]]
            for group, mine in zip(groups, own):
                group["param_names"] = list(mine["param_names"])
            numbers = iter(range(sum(len(group["params"]) for group in groups)))
            for group in groups:
                group["params"] = [next(numbers) for _ in group["params"]]
            active = [index[name] for name in ngd["active"]]
            counts = ngd["measured"], ngd["steps"], ngd["generator"].cpu()
            return Run(groups, entries, active, blocks, *counts, ngd["fallback"])

    def load_fallback(self, state: dict[str, Any] | None) -> None:
        """Load the state of the fallback optimizer."""
        if self._fallback is not None:
            with reading():
                self._fallback.load_state_dict(copy.deepcopy(state or {}))
                check_groups(self._fallback.param_groups, 0)
                check_serves(self._fallback)


def _like(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """To the device of `weight`, and to its dtype where that makes sense."""
    return lambda t: t.to(weight.device, weight.dtype if t.is_floating_point() else t.dtype)
