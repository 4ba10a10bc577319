"""All that an optimizer knows of the curvature, and the blocks of the layers that took part in the last step."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..layers import Layer
from ..likelihood import Likelihood
from ..likelihood.density import Density
from ..record.batch import Batch, compress_rows
from ..rule import Preconditioner
from ..schedule import due
from ..stack import Stack
from ..world import World
from .block import MEANS, Block, Kept, known
from .blocks import Blocks
from .factors import Factors
from .inverse import Inverse
from .symmetric import full, packed
from .units import LayerUnits, of_network, sizes

State = MutableMapping[Tensor, dict[str, Any]]
"""`opt.state`: what is kept of each layer, under its weight."""


class Draft(NamedTuple):
    """What a step knows of the curvature before it is taken.

    The blocks it moves; those and the ones that were only measured; whether there were factors in its batch, and
    whether its rule remembers what it factorised; and the units of λ, none if it is absolute.
    """

    blocks: Blocks
    changed: list[Block]
    measured: bool
    remembers: bool
    units: LayerUnits | None


class Snapshot(NamedTuple):
    """The blocks of the last step, and all that is kept."""

    blocks: Blocks
    kept: list[Kept]
    measured: int
    known: set[int]
    state: dict[Tensor, dict[str, Any]]


class Curvature:
    """Blocks, renewed where other layers take part than before.

    Attributes
    ----------
    blocks : Blocks
        Those of the last step.
    measured : int
        How many steps have measured factors.
    known : set of int
        The layers of which there are factors from earlier steps.
    state : dict
        What is kept of each layer, under its weight.
    """

    def __init__(
        self,
        layers: list[Layer],
        groups: list[int],
        rule: Preconditioner,
        factors: Factors,
        inverse: Inverse,
        state: State,
        world: World | None,
        likelihood: Density,
    ) -> None:
        self._groups, self._world = groups, world
        self._numbers = isinstance(likelihood, Likelihood) and likelihood.outputs_are_numbers
        self._layers, self._rule, self._factors, self.state = layers, rule, factors, state
        self._seldom = inverse.seldom
        self.known: set[int] = set()
        self.blocks, self.measured = Blocks([], []), 0
        self._units: LayerUnits | None = None

    def including(self, batch: Batch, used: list[int], lam: float, relative: bool, rule: Preconditioner) -> Draft:
        """The blocks of the layers `used` in `batch`, its factors included, for a step to change and commit."""
        _check_kept(self._layers, used, self.state)
        if self._rule.network and not batch.chained:
            raise ValueError(
                f"rule {self._rule.name!r} needs a chain of nn.Linear layers, each fed with the output of the "
                "one before, the last one's output being the model's"
            )
        blocks = self.blocks
        if used != blocks.layers:
            blocks = Blocks.of(used, self._layers, self._groups, self._rule.network, blocks, self.state)
        changed = list(blocks.blocks)
        if batch.measured and self._world is not None:
            _sync(batch, self._world)
        if relative and (batch.measured or blocks is not self.blocks or self._units is None):
            self._units = self._measure(batch, used)
        if batch.measured:
            changed += self._idle(batch, used)
            for block in changed:
                block.absorb(batch, self.measured + 1, self._factors.decay, lam, self._units)
        return Draft(blocks, changed, bool(batch.measured), rule.remembers, self._units)

    def commit(self, draft: Draft, step: int) -> list[Kept]:
        """Show the blocks of the `step` in `opt.state`; what each of them keeps."""
        blocks, seldom, factors = draft.blocks, self._seldom, draft.measured and self._factors.kept
        rests = factors and seldom and not due(step + 1, self._factors.every)
        self.measured += draft.measured
        if blocks is not self.blocks:
            for block in self.blocks.blocks:
                self.state.get(block.layers[0].weight, {}).pop("factorisation", None)
        kept = []
        for block in draft.changed:
            block.commit(factors, rests, seldom or draft.remembers)
            kept.append(block.kept)
        if factors:
            self.known = self._with_factors()
        self.blocks = blocks
        return kept[: len(blocks.blocks)]

    def snapshot(self) -> Snapshot:
        """All that a step may change, by reference: what is kept is replaced, never changed in place."""
        state = {weight: dict(entry) for weight, entry in self.state.items()}
        return Snapshot(self.blocks, [block.kept for block in self.blocks.blocks], self.measured, self.known, state)

    def put_back(self, before: Snapshot) -> None:
        """Make everything what it was."""
        self.blocks, kept, self.measured, self.known, state = before
        self._units = None
        for block, old in zip(self.blocks.blocks, kept):
            block.kept = old
        self.state.clear()
        self.state.update(state)

    def forget_velocities(self) -> None:
        """Forget the velocities of all layers, also those that took no part in the last step."""
        for entry in self.state.values():
            entry.pop("velocity", None)

    def restore(self, active: list[int], groups: list[list[list[int]]], measured: int) -> None:
        """Take over what is in `opt.state`: the layers of each stack of each block, and which of them were active.

        Raises
        ------
        ValueError
            If what a rule factorised does not serve its layers.
        """
        layers = self._layers
        blocks = [Block([Stack({k: layers[k] for k in stack}) for stack in group], self.state) for group in groups]
        for block in blocks:
            block.restore(self._rule, len(layers))
        self.blocks, self.measured, self.known = Blocks(active, blocks), measured, self._with_factors()
        self._units = None

    def _idle(self, batch: Batch, used: list[int]) -> list[Block]:
        """Layers whose factors were measured though they make no step."""
        idle = batch.measured.difference(used) if self._factors.kept else set()
        return [Block([Stack({k: self._layers[k]})], self.state) for k in sorted(idle)]

    def _measure(self, batch: Batch, used: list[int]) -> LayerUnits | None:
        """The units of all layers, with the sizes of those that had none before this `batch`; None without factors."""
        found: dict[int, Tensor] = {}
        residual = batch.residual(self._world.sums if self._world else None) / batch.outputs if batch.measured else 0.0
        matrices = [*batch.factors.items(), *batch.roots.items()]
        for k, layer in enumerate(self._layers):
            known = self.state.get(layer.weight, {}).get("sizes")
            if k in batch.measured:
                own = {name: of_layers[k] for name, of_layers in matrices if k in of_layers}
                fresh = sizes(own, layer.weight, layer.bias is not None, residual)
                known = fresh if known is None else torch.where(known > 0, known, fresh)
                self.state[layer.weight]["sizes"] = known
            if known is not None:
                found[k] = known
        return of_network(found, used[0], used[-1], self._numbers) if found else None

    def _with_factors(self) -> set[int]:
        """The layers of which there are factors from earlier steps."""
        return {k for k, layer in enumerate(self._layers) if known(self._rule, self.state.get(layer.weight, {}))}


def _check_kept(layers: list[Layer], used: list[int], state: MutableMapping[Tensor, dict[str, Any]]) -> None:
    """Refuse weights of the `used` layers that were cast since the last step."""
    for k in used:
        layer = layers[k]
        dtype = layer.weight.dtype
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"the weights of layer {layer.name!r} are {dtype} now, so no weight was changed: NGD needs them in "
                "float32 or float64; for speed, keep them so and run the model under torch.autocast"
            )
        entry = state.get(layer.weight, {})
        for name in (*MEANS, "velocity"):
            kept = entry.get(name)
            own = kept[0] if isinstance(kept, tuple) else kept
            if own is not None and own.dtype != dtype:
                raise ValueError(
                    f"the weights of layer {layer.name!r} are {dtype} now, and what NGD keeps of it is {own.dtype}, so "
                    "no weight was changed: opt.load_state_dict(opt.state_dict()) casts it"
                )


def _sync(batch: Batch, world: World) -> None:
    """Make the factors and roots of `batch` those of all ranks: one all-reduce of all triangles, and one of roots."""
    factors = [(own, k) for _, own in sorted(batch.factors.items()) for k in sorted(own)]
    if factors:
        triangles = world.mean([packed(own[k])[0] for own, k in factors], batch.share)
        for (own, k), triangle in zip(factors, triangles):
            own[k] = full((triangle,))
    roots = [(own, k) for _, own in sorted(batch.roots.items()) for k in sorted(own)]
    if roots:
        for (own, k), X in zip(roots, world.rows([own[k] for own, k in roots], batch.share)):
            own[k] = compress_rows(X)
