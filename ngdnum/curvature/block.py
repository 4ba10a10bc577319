"""Blocks: layers that a rule treats at once, and all that is kept of them from step to step.

A rule for single layers has a block for each shape, whose layers are one batch of matrices; a rule for networks
has one block, a chain of stacks of one layer each. What a block keeps is replaced, never changed in place, so that
a step that fails is undone by putting back `kept`; it shows in `opt.state[layer.weight]`, by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..layers import Layer
from ..record.batch import Batch
from ..rule import Preconditioner, Quantities
from ..schedule import due
from ..stack import Stack
from .factorisation import Factorisation, Outcome, each, factorised
from .inverse import Inverse
from .running import follow
from .symmetric import Upper, full, packed
from .units import LayerUnits, Units, axes

Vector = list[Tensor]
Halves = list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]
ADVICE = "look for NaN or infinity in the batch and in the weights"
MEANS, INVERSES = ("Lambda_tilde", "Lambda"), ("K_tilde", "K")


class Kept(NamedTuple):
    """Running means or inverses of the factors by name, one per stack; the factorisation; the control's momentum."""

    factors: dict[str, list[Any]] = {}
    factorisation: Factorisation | None = None
    velocity: Vector | None = None


class Block:
    """Layers that a rule treats at once.

    Attributes
    ----------
    stacks : list of Stack
        Their weights: one batch of matrices, or one matrix after the other for a network's rule.
    key : tuple of int
        The layers.
    kept : Kept
    """

    def __init__(self, stacks: list[Stack], state: MutableMapping[Tensor, dict[str, Any]]) -> None:
        self.stacks, self._state = stacks, state
        self.key = tuple(k for stack in stacks for k in stack.members)
        self.single = max(len(stack.members) for stack in stacks) == 1
        self.layers = [layer for stack in stacks for layer in stack.members.values()]
        known = [state.get(layer.weight, {}) for layer in self.layers]

        def gather(name: str) -> list[Any]:
            entries = {k: state[layer.weight][name] for stack in stacks for k, layer in stack.members.items()}
            return [stack.gather(entries, whole=False) for stack in stacks]

        factors = {name: gather(name) for name in MEANS + INVERSES if all(name in entry for entry in known)}
        velocity = gather("velocity") if all("velocity" in entry for entry in known) else None
        self.kept = Kept(factors, None, velocity)
        self._shown: Factorisation | None = None

    def absorb(self, batch: Batch, k: int, decay: float, lam: float, units: LayerUnits | None) -> None:
        """Include the factors of `batch`, measurement number k = 1, 2, …, in the running means and inverses.

        These are damped by λ, in `units` or as it is.

        A ← A + (1 − min(1 − 1/k, decay)) (fresh A − A): a mean with bias correction.

        Raises
        ------
        torch.linalg.LinAlgError
            If an inverse is no longer positive definite.
        """
        weight, factors = 1 - min(1 - 1 / k, decay), dict(self.kept.factors)

        def mean(old: Tensor | Upper | None, fresh: Tensor, i: int, layer: Layer) -> Tensor:
            return fresh if old is None else full(old).lerp(fresh, weight)

        def inverse(old: Tensor | None, root: Tensor, i: int, layer: Layer) -> Tensor:
            own = None if units is None else axes(name, units[i], root.shape[-1], layer.bias is not None)
            try:
                return follow(old, root, k, decay, lam, own)
            except torch.linalg.LinAlgError as error:
                raise torch.linalg.LinAlgError(
                    f"the running inverse of layer {layer.name!r} is no longer positive definite, so "
                    f"no weight was changed: raise the damping, or train in float64 ({error})"
                ) from error

        for measured, include in ((batch.factors, mean), (batch.roots, inverse)):
            for name, matrices in measured.items():
                if any(k in matrices for k in self.key):
                    factors[name] = [self._include(stack, name, matrices, include) for stack in self.stacks]
        self.kept = self.kept._replace(factors=factors)

    def cost(self, rule: Preconditioner) -> float:
        """What `rule` has to do to factorise, about n³ for each factor `[n, n]`; 0 if that is little or nothing."""
        if rule.cheap:
            return 0.0
        return sum(
            float(len(stack.members) * stack.layers[0].groups * size**3)
            for stack in self.stacks
            for name, size in zip(MEANS, stack.layers[0].shape)
            if name in rule.slow
        )

    def stale(self, inverse: Inverse, step: int, calendar: bool) -> bool:
        """Whether the factorisation is to be renewed, by the `calendar`, or since the factors have moved."""
        last = self.kept.factorisation
        assert last is not None
        return last.step < step and (
            calendar or inverse.moved(last.origin, self.quantities(last.rule, last.rule.slow, self.kept))
        )

    def factorised(
        self,
        rule: Preconditioner,
        inverse: Inverse,
        G: Vector,
        lam: float,
        units: LayerUnits | None,
        depth: int,
        step: int,
    ) -> Outcome:
        """What comes of a factorisation in this `step`, with λ in `units`, or as it is.

        Raises
        ------
        NotFinite
            If a factor that is to be factorised is not finite.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite, however often λ was raised.
        """
        for name, matrices in self.kept.factors.items():
            for stack, A in zip(self.stacks, matrices):
                stack.check_finite(name, full(A), ADVICE)
        quantities, measured = self.quantities(rule, rule.slow, self.kept), None
        if units is not None and "lam" in rule.needs and quantities and not rule.network:
            measured = Units.of(units, self.stacks[0])
        quantities["L"] = depth
        if rule.remembers:
            last = self.kept.factorisation
            quantities |= {"G_0": G[0], "C": _remembered(last if last and last.rule is rule else None, G[0])}
        rests = inverse.seldom and not due(step + 1, inverse.every)
        return factorised(rule, inverse, quantities, lam, measured, self.layers, rests)

    def keep(self, rule: Preconditioner, inverse: Inverse, step: int, outcome: Outcome) -> None:
        """Keep the `outcome` of the factorisation of this `step`."""
        origin = {} if inverse.drift is None else each(self.quantities(rule, rule.slow, self.kept), Tensor.clone)
        parts, lam, memory, units = outcome
        fresh = Factorisation(rule, parts, lam, step, origin, memory, units and Units(*units))
        self.kept = self.kept._replace(factorisation=fresh)

    def direction(self, G: Vector, depth: int) -> Vector:
        """ΔW of every stack for α = 1, in memory of their own."""
        last = self.kept.factorisation
        assert last is not None
        quantities: Quantities = {"L": depth, "lam": last.lam}
        if last.rule.fast_factors:
            own = self.quantities(last.rule, last.rule.fast, self.kept)
            quantities |= own if last.units is None else last.units.measure(own)
        if last.units is not None:
            scale = last.units.inputs * last.units.errors
            (update,) = applied(last.rule, [G[0] * scale], last.parts, quantities)
            return [update.mul_(scale)]
        updates = applied(last.rule, G, last.parts, quantities)
        for i, g in enumerate(G):
            if updates[i].data_ptr() == g.data_ptr():
                updates[i] = updates[i].clone()
        return updates

    def empty(self) -> None:
        """Forget what was factorised, but not when and how."""
        last = self.kept.factorisation
        if last is not None:
            self.kept = self.kept._replace(factorisation=last._replace(parts=(), origin={}, memory=None))

    def pack(self) -> None:
        """Keep the means by their upper triangles, between steps in which they are seldom used."""
        means: dict[str, list[Tensor | Upper]] = {
            name: [packed(A) for A in self.kept.factors[name]] for name in MEANS if name in self.kept.factors
        }
        self.kept = self.kept._replace(factors=self.kept.factors | means)

    def commit(self, factors: bool, rests: bool, factorisation: bool) -> None:
        """Put what is kept into `opt.state`, by layer; the factorisation with the first of them.

        Fresh `factors` if there are any, as triangles if the next steps let them rest; the `factorisation` if it serves
        further steps.
        """
        if factors and rests:
            self.pack()
        last = self.kept.factorisation
        if last is not None and not factorisation:
            self.empty()
        elif last is not None:
            entry = self._state[self.layers[0].weight]
            if self._shown is not last:
                plain = {"units": last.units and tuple(last.units)}
                entry["factorisation"] = dict(zip(Factorisation._fields[1:], last[1:])) | plain
                self._shown = last
        velocity = self.kept.velocity
        if velocity is not None and self.single:
            for layer, v in zip(self.layers, velocity):
                self._state[layer.weight]["velocity"] = v
        elif velocity is not None:
            self._show("velocity", velocity)
        for name, values in self.kept.factors.items() if factors else ():
            self._show(name, values)

    def _show(self, name: str, values: Iterable[Tensor | Upper]) -> None:
        for stack, value in zip(self.stacks, values):
            for layer, own in zip(stack.layers, stack.divide(value)):
                self._state[layer.weight][name] = own

    def restore(self, rule: Preconditioner, depth: int) -> None:
        """Take over the factorisation in `opt.state`; a ValueError if it does not serve the layers."""
        saved = self._state.get(self.layers[0].weight, {}).get("factorisation")
        if saved is None:
            return
        fresh = Factorisation(
            rule if saved["lam"] else rule.at_zero(), *(saved[name] for name in Factorisation._fields[1:])
        )
        fresh = fresh._replace(units=fresh.units and Units(*fresh.units))
        self.kept = self.kept._replace(factorisation=fresh)
        G = [torch.ones_like(stack.weight()) for stack in self.stacks]
        if not all(u.shape == g.shape and u.isfinite().all() for u, g in zip(self.direction(G, depth), G)):
            raise ValueError(f"the factorisation of layer {self.layers[0].name!r} is of another rule or shape")

    def halves(self, depth: int) -> Halves:
        """What the rule does to the left of G, and to its right, for each layer."""
        last = self.kept.factorisation
        assert last is not None
        parts = [parts for stack in self.stacks for parts in stack.parts(last.parts)]
        found: Halves = []
        for own in parts:
            left, right = last.rule.halves(own, {"L": depth})
            found.append((left, right))
        if last.units is None:
            return found
        scales = [scale for stack in self.stacks for scale in stack.split(last.units.scale)]
        return [(left, partial(_between, right, scale)) for (left, right), scale in zip(found, scales)]

    def damped(self, u: Vector) -> Vector:
        """u in the metric that λ multiplies: u for an absolute λ, for a relative one τ τ̃ u, in biases τ_b τ̃ u."""
        last = self.kept.factorisation
        return u if last is None or last.units is None else [v / last.units.scale.square() for v in u]

    def quantities(self, rule: Preconditioner, names: tuple[str, ...], kept: Kept) -> Quantities:
        """The `kept` factors among `names`: tensors for a stack, lists for a network, there with the weights."""
        lists = {name: [full(A) for A in kept.factors[name]] for name in names if name in kept.factors}
        if "weights" in names:
            return {**lists, "weights": [stack.weight() for stack in self.stacks]}
        if rule.network:
            return {**lists}
        return {name: matrices for name, (matrices,) in lists.items()}

    def _include(self, stack: Stack, name: str, matrices: Mapping[int, Any], include: Callable[..., Tensor]) -> Tensor:
        """The factor of this name with what was measured of it, for each layer of which it was."""
        found: dict[int, Any] = {}
        for k, layer in stack.members.items():
            old = self._state.get(layer.weight, {}).get(name)
            found[k] = include(old, matrices[k], k, layer) if k in matrices else old
        return stack.gather(found)


def applied(rule: Preconditioner, G: Vector, parts: tuple, quantities: Quantities) -> Vector:
    """ΔW for α = 1, of the shapes of G: of one stack, or of all layers for a network's rule."""
    fast = {}
    for name in rule.fast:
        fast[name] = quantities[name]
    updates: Vector = rule.apply(G, parts, **fast) if rule.network else [rule.apply(*G, parts, **fast)]
    for update, g in zip(updates, G):
        if update.shape != g.shape:
            raise ValueError(
                f"rule {rule.name!r} returned an update of shape {tuple(update.shape)} for G of shape {tuple(g.shape)}"
            )
    return updates


def known(rule: Preconditioner, entry: Mapping[str, Any]) -> bool:
    """Whether the factors that `rule` needs of a layer are in its `entry` of `opt.state`."""
    return all(name in entry for name in rule.needs.intersection(MEANS + INVERSES))


def _between(right: Callable[[Tensor], Tensor], scale: Tensor, G: Tensor) -> Tensor:
    """What the rule does to the right of G, in the units of the damping."""
    return right(G * scale) * scale


def _remembered(last: Factorisation | None, G: Tensor) -> Tensor:
    """C of the next factorisation: at first I."""
    if last is not None and last.memory is not None:
        return full(last.memory)
    m = G.shape[-1]
    return torch.eye(m).to(G).expand(*G.shape[:-2], m, m)
