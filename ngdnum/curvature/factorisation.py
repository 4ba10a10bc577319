"""The slow part of a rule for one block: what comes of it, and how λ is raised where it fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..layers import Layer
from ..rule import Preconditioner, Quantities
from .inverse import RAISE, Inverse
from .symmetric import Upper, packed
from .units import Units

Outcome = tuple[tuple, float, Tensor | Upper | None, tuple[Tensor, Tensor] | None]
"""`parts`, `lam`, `memory` and the tensors of the `units` of a `Factorisation`."""


class Factorisation(NamedTuple):
    """What a rule factorised.

    The rule; its parts; the damping in use, which is raised where the rule failed; the number of the step;
    a copy of what it was computed from, if `Inverse.drift` asks for it; what the rule remembers; and the units of
    λ, none if it is absolute or the rule has none.
    """

    rule: Preconditioner
    parts: tuple
    lam: float
    step: int
    origin: Quantities
    memory: Tensor | Upper | None
    units: Units | None


def factorised(
    rule: Preconditioner,
    inverse: Inverse,
    quantities: Quantities,
    lam: float,
    units: Units | None,
    layers: list[Layer],
    rests: bool,
) -> Outcome:
    """The slow part of the rule, at the first damping for which it works.

    What it remembers is kept by one triangle if it `rests` in the steps to come.

    Raises
    ------
    torch.linalg.LinAlgError
        If a damped factor is not positive definite, however often λ was raised.
    """
    dtype = layers[0].weight.dtype
    slow = quantities if units is None else units.measure(quantities)
    precise = slow if inverse.dtype is None else each(slow, partial(Tensor.to, dtype=inverse.dtype))
    for raised in range(inverse.retries + 1 if "lam" in rule.slow and lam else 1):
        try:
            parts: tuple = rule.factorise(precise | {"lam": lam * RAISE**raised})
        except torch.linalg.LinAlgError as error:
            last = error
        else:
            memory: Tensor | Upper | None = None
            if inverse.dtype is not None:
                parts = each(parts, partial(Tensor.to, dtype=dtype))
            if rule.remembers:
                rule.check_memory(parts, quantities["G_0"])
                memory, parts = parts[-1], (*parts[:-1], None)
                if rests:
                    memory = packed(memory)
            return parts, lam * RAISE**raised, memory, units and (units.inputs, units.errors)
    names = ", ".join(layer.name for layer in layers)
    up_to = f" and up to {lam * RAISE**raised:g}" if raised else ""
    raise torch.linalg.LinAlgError(
        f"a factor of layers {names} could not be factorised at damping {lam:g}{up_to}, so no weight was "
        f"changed: raise the damping, or use damping=0.0 for pseudo-inverses ({last})"
    ) from last


def each(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    """`tree` with `change` done to each tensor in it."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: each(value, change) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(each(part, change) for part in tree)
    return tree
