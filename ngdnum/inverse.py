"""From factors and gradients to the directions ΔW of a rule, factorising anew only what has to be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import Matrices
from .rule import BoundRule
from .schedule import check_every
from .stack import Stack

States = dict[tuple, tuple]
"""What a rule factorised, by the layers it was for; the key starts with whether λ was 0."""
_ADVICE = "look for NaN or infinity in the batch and in the weights"


@dataclass(frozen=True)
class Inverse:
    """When the factors are factorised anew, at steps 1, 2, 4, 8, … and then at every `every`-th.

    Parameters
    ----------
    every : int, default 1
        Steps between two factorisations.
    """

    every: int = 1

    def __post_init__(self) -> None:
        check_every(self.every)


def directions(
    rule: BoundRule,
    stacks: list[Stack],
    gradients: list[Tensor],
    factors: Matrices,
    lam: float,
    states: States,
) -> tuple[list[Tensor], States]:
    """ΔW of every stack for α = 1, and the states they came from: those of `states`, or new ones.

    Raises
    ------
    NotFinite
        If a gradient, or a factor that is to be factorised, is not finite.
    torch.linalg.LinAlgError
        If a damped factor is not positive definite.
    """
    rule = rule.at(lam)
    for stack, G in zip(stacks, gradients):
        stack.check_finite("the gradient", G, _ADVICE)
    depth = sum(len(stack.members) for stack in stacks)
    used: States = {}
    updates: list[Tensor] = []
    for together, G in rule.jobs(stacks, gradients):
        members = {k: layer for stack in together for k, layer in stack.members.items()}
        key = (lam == 0.0, *members)
        quantities = rule.gather(together, factors) | {"lam": lam, "L": depth}
        if key not in states:
            for name in factors:
                for stack in together:
                    stack.check_finite(name, stack.gather(factors[name]), _ADVICE)
            try:
                used[key] = rule.factorise(quantities)
            except torch.linalg.LinAlgError as error:
                names = ", ".join(layer.name for layer in members.values())
                raise torch.linalg.LinAlgError(
                    f"a factor of layers {names} could not be factorised at damping {lam:g}, so no weight was "
                    f"changed: raise the damping, or use damping=0.0 for pseudo-inverses ({error})"
                ) from error
        else:
            used[key] = states[key]
        updates += rule.apply(G, used[key], quantities)
    return updates, used
