"""All that an optimizer knows of the curvature, and the blocks of the layers that took part in the last step."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..batch import Batch
from ..capture import Record
from ..factors import Factors
from ..inverse import Inverse
from ..layers import Layer
from ..rule import Preconditioner
from ..schedule import due
from ..stack import Stack
from .block import Block, known
from .blocks import Blocks

State = MutableMapping[Tensor, dict[str, Any]]
"""`opt.state`: what is kept of each layer, under its weight."""


class Curvature:
    """Blocks, renewed where other layers take part than before.

    Attributes
    ----------
    blocks : Blocks
        Those of the last step.
    measured : int
        How many steps have measured factors.
    """

    def __init__(
        self, layers: list[Layer], rule: Preconditioner, factors: Factors, inverse: Inverse, state: State
    ) -> None:
        self._layers, self._rule, self._factors, self._inverse, self._state = layers, rule, factors, inverse, state
        self._known: set[int] = set()
        self.blocks, self.measured = Blocks([], []), 0

    def due(self, step: int, record: Record) -> bool:
        """Whether this pass measures factors: by the calendar, or since a layer is new."""
        return due(step, self._factors.every) or not record.edges.keys() <= self._known

    @contextmanager
    def including(
        self, batch: Batch, lam: float, relative: bool, rule: Preconditioner
    ) -> Iterator[Blocks]:
        """The blocks of the layers that took part in `batch`, its factors included.

        Within, they may be changed; at the end they show in `opt.state`, or after an error are as they were.
        """
        used = batch.used(self._layers, self._known)
        if self._rule.network and not batch.chained:
            raise ValueError(
                f"rule {self._rule.name!r} needs a chain of nn.Linear layers, each fed with the output of the "
                "one before, the last one's output being the model's"
            )
        blocks = Blocks.of(used, self._layers, self._rule.network, self.blocks, self._state)
        changed, kept = list(blocks.blocks), blocks.kept()
        try:
            if batch.measured:
                changed += self._idle(batch, used)
                for block in changed:
                    block.absorb(batch, self.measured + 1, self._factors.decay, lam, relative)
            yield blocks
        except BaseException:
            for block, old in zip(blocks.blocks, kept):
                block.kept = old
            raise
        self._commit(blocks, changed, bool(batch.measured), rule.remembers)

    def forget_velocities(self) -> None:
        """Forget the velocities of all layers, also those that took no part in the last step."""
        for entry in self._state.values():
            entry.pop("velocity", None)

    def restore(self, state: State, active: list[int], groups: list[list[list[int]]], measured: int) -> None:
        """Take over what is in `state`: the layers of each stack of each block, and which of them were active."""
        self._state, self.measured = state, measured
        blocks = [Block([Stack({k: self._layers[k] for k in stack}) for stack in group], state) for group in groups]
        for block in blocks:
            block.restore(self._rule)
        self.blocks, self._known = Blocks(active, blocks), self._with_factors()

    def _idle(self, batch: Batch, used: list[int]) -> list[Block]:
        """Layers whose factors were measured though they make no step."""
        idle = batch.measured.difference(used) if self._factors.kept else set()
        return [Block([Stack({k: self._layers[k]})], self._state) for k in sorted(idle)]

    def _commit(self, blocks: Blocks, changed: list[Block], measured: bool, remembers: bool) -> None:
        seldom, factors = self._inverse.every > 1, measured and self._factors.kept
        self.measured += measured
        if blocks is not self.blocks:
            for block in self.blocks.blocks:
                self._state.get(block.layers[0].weight, {}).pop("factorisation", None)
        for block in changed:
            block.commit(factors, seldom, seldom or remembers)
        if factors:
            self._known = self._with_factors()
        self.blocks = blocks

    def _with_factors(self) -> set[int]:
        """The layers of which there are factors from earlier steps."""
        return {k for k, layer in enumerate(self._layers) if known(self._rule, self._state.get(layer.weight, {}))}
