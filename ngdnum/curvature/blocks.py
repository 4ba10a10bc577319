"""All blocks of one step: the layers that take part in it, with the verbs of a block."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

from torch import Tensor

from ..layers import Layer
from ..rule import Preconditioner
from ..schedule import due
from ..stack import Stack, stacks
from ..world import World
from .block import Block, Halves, Vector
from .factorisation import Outcome
from .inverse import Inverse
from .shares import shared
from .units import LayerUnits


class Blocks:
    """The blocks of those layers that take part in a step.

    Attributes
    ----------
    layers : list of int
        The layers, in the order of the forward pass.
    blocks : list of Block
    stacks : list of Stack
        Those of all blocks; a `Vector` has one tensor for each of them.
    """

    def __init__(self, layers: list[int], blocks: list[Block]) -> None:
        self.layers, self.blocks = layers, blocks
        self.stacks = [stack for block in blocks for stack in block.stacks]

    @classmethod
    def of(
        cls,
        used: list[int],
        layers: list[Layer],
        apart: list[int],
        network: bool,
        last: Blocks,
        state: MutableMapping[Tensor, dict[str, Any]],
    ) -> Blocks:
        """The blocks of the `used` ones of all `layers`, none with different entries in `apart`.

        Those that were in `last` are taken over.
        """
        if network:
            groups = [[Stack({k: layers[k]}) for k in used]]
        else:
            groups = [[stack] for stack in stacks({k: layers[k] for k in sorted(used)}, apart)]
        known = {block.key: block for block in last.blocks}
        fresh = [Block(group, state) for group in groups]
        return cls(used, [known.get(block.key, block) for block in fresh])

    def factorise(
        self,
        rule: Preconditioner,
        inverse: Inverse,
        gradients: Vector,
        lam: float,
        units: LayerUnits | None,
        step: int,
        world: World | None,
    ) -> None:
        """Bring the factorisations up to date, each by one rank of the `world`; λ is in `units`, or absolute."""
        depth, start, calendar = len(self.layers), 0, due(step, inverse.every)
        asked = calendar or inverse.drift is not None
        stale: list[Block] = []
        work: list[Callable[[], Outcome]] = []
        for block in self.blocks:
            end, last = start + len(block.stacks), block.kept.factorisation
            if last is None or last.rule is not rule or asked and block.stale(inverse, step, calendar):
                stale.append(block)
                work.append(partial(block.factorised, rule, inverse, gradients[start:end], lam, units, depth, step))
            start = end
        if world is None:
            outcomes = [factorise() for factorise in work]
        else:
            outcomes = shared([block.cost(rule) for block in stale], work, world, gradients[0].device)
        for block, outcome in zip(stale, outcomes):
            block.keep(rule, inverse, step, outcome)

    def direction(self, gradients: Vector, relative: list[float]) -> Vector:
        """ΔW of every stack for α = 1, times its `relative` learning rate, in memory of their own."""
        depth = len(self.layers)
        updates: Vector = []
        for block in self.blocks:
            start = len(updates)
            updates += block.direction(gradients[start : start + len(block.stacks)], depth)
        for update, r in zip(updates, relative):
            if r != 1:
                update.mul_(r)
        return updates

    def halves(self) -> Halves:
        """What the rule does to the left of G, and to its right, for each layer."""
        return [half for block in self.blocks for half in block.halves(len(self.layers))]

    def damped(self, vector: Vector) -> Vector:
        """A vector in the metric that λ multiplies."""
        found: Vector = []
        for block in self.blocks:
            start = len(found)
            found += block.damped(vector[start : start + len(block.stacks)])
        return found

    def velocity(self, relative: list[float]) -> list[Tensor | None]:
        """What the control has left of each stack, times its `relative` learning rate."""
        found: list[Tensor | None] = []
        for block in self.blocks:
            found += block.kept.velocity or [None] * len(block.stacks)
        for i, r in enumerate(relative):
            v = found[i]
            if r != 1 and v is not None:
                found[i] = r * v
        return found

    def remember(self, velocity: Vector | None, relative: list[float]) -> None:
        """Keep what the control leaves of each stack, laid out in memory as it is after saving and loading.

        It is free of the `relative` rates of this step: the inverse of `velocity`, except where nothing moves.
        """
        start = 0
        if velocity is not None:
            velocity = list(velocity)
            for i, (stack, r) in enumerate(zip(self.stacks, relative)):
                if r not in (0, 1):
                    velocity[i] = velocity[i] / r
                if len(stack.members) > 1:
                    velocity[i] = velocity[i].contiguous()
        for block in self.blocks:
            end = start + len(block.stacks)
            block.kept = block.kept._replace(velocity=velocity and velocity[start:end])
            start = end
