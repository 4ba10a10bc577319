"""The exact Fisher of the weights as an operator, by forward- and reverse-mode derivatives of the model."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, vjp

from ..layers import Layer
from ..likelihood import Likelihood, fisher_product
from ..record.replay import ONE_AT_A_TIME, RandomState, in_training, own, replaying
from ..sizes import numbers
from ..stack import Stack
from ..world import World

Vector = list[Tensor]
"""A vector in the space of weights: one tensor per stack, shaped like its weights."""


class Link(NamedTuple):
    """Input x `[M, m]` of a layer, and ∂x/∂z `[M, m]` for the output z of the layer before; None where x = z."""

    x: Tensor
    slope: Tensor | None


class Call(NamedTuple):
    """How the model is called to treat some examples.

    `chain` are the layers, by index and in order, if nothing but elementwise functions is between them and the
    last one's `output` `[M, n_L]` is the model's. `random` is the state of the generators before the call, `training`
    are the modules in training mode, None if they have not changed. `share` tells how much the call counts among
    others, `weights` `[M]`, with mean 1, how much its examples do.
    """

    arguments: tuple
    keywords: dict[str, object]
    chain: dict[int, Link] = {}
    output: Tensor | None = None
    random: RandomState | None = None
    training: frozenset[nn.Module] | None = None
    weights: Tensor | None = None
    share: float = 1.0

    def fisher_product(self, likelihood: Likelihood, output: Tensor, change: Tensor) -> Tensor:
        """What F_m makes of each row of `change` `[M, n_L]`, times the weight of the row among those of the call."""
        product = fisher_product(likelihood, output, change)
        return product if self.weights is None else product * self.weights.to(product).unsqueeze(-1)


class Fisher:
    r"""F = Σ_m w_m J_mᵀ F_m J_m / Σ_m w_m, with J_m = ∂f_m/∂θ and F_m the Fisher of the outputs f_m of example m.

    It is the Gauss–Newton matrix of the loss too. No matrix is formed: `inner` costs one forward-mode
    derivative per vector, `times` one in forward and one in reverse mode; the first `times` runs the model
    once more. Buffers of the model are left as they are.

    Parameters
    ----------
    model, likelihood
        The network, and what gives the outputs their Fisher.
    stacks : list of Stack
        The weights θ; all others count as constants.
    calls : list of Call
        How the model is called to treat the examples.
    world : World, optional
        The ranks that have the other examples.
    """

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        stacks: list[Stack],
        calls: list[Call],
        world: World | None = None,
    ) -> None:
        self._world = world
        self._model, self._likelihood, self._stacks, self._calls = model, likelihood, stacks, calls
        self._layers: dict[int, Layer] = {}
        for stack in stacks:
            self._layers |= stack.members
        self._backward: list[tuple[Tensor, Callable]] = []

    def inner(self, vectors: list[Vector]) -> list[list[float]]:
        """(u_iᵀ F u_j) of k vectors, `[k][k]`."""
        share, k = 0.0, len(vectors)
        total = [0.0] * k**2
        for call in self._calls:
            output, changes = self._changes(call, vectors)
            products = []
            for change in changes:
                weighted = call.fisher_product(self._likelihood, output, change)
                for other in changes:
                    products.append((other * weighted).sum())
            part = call.share / len(output)
            for i, number in enumerate(numbers(products)):
                total[i] += part * number
            share += call.share
        if self._world is not None:
            *total, share = self._world.total(*total, share)
        rows: list[list[float]] = []
        for i, number in enumerate(total):
            if i % k == 0:
                rows.append([])
            rows[-1].append(number / share)
        return rows

    def times(self, vector: Vector) -> Vector:
        """F u."""
        total: Vector = []
        for call, (output, backward) in zip(self._calls, self._backwards()):
            _, (change,) = self._changes(call, [vector])
            weighted = call.fisher_product(self._likelihood, output, change).mul_(call.share / len(output))
            (named,) = backward(weighted)
            product = [stack.from_named(named) for stack in self._stacks]
            total = product if not total else [t.add_(p) for t, p in zip(total, product)]
        share = sum(call.share for call in self._calls)
        total = [t.div_(share) for t in total] if total else [torch.zeros_like(u) for u in vector]
        return total if self._world is None else self._world.mean(total, share)

    def _changes(self, call: Call, vectors: list[Vector]) -> tuple[Tensor, list[Tensor]]:
        """f and J u for each vector u."""
        if call.chain.keys() == self._layers.keys():
            return self._chain_changes(call, vectors)
        changes = []
        for vector in vectors:
            with ONE_AT_A_TIME:
                _close_dual_level()
                _PROBE.dual = True
                with forward_ad.dual_level(), _moving(self._layers, self._by_layer(vector)):
                    output, change = forward_ad.unpack_dual(run(self._model, self._at_rest(), call))
                _PROBE.dual = False
            changes.append(torch.zeros_like(output) if change is None else change)
        return output, changes

    def _chain_changes(self, call: Call, vectors: list[Vector]) -> tuple[Tensor, list[Tensor]]:
        """The same where no dual numbers are needed, from W dx + u x of each layer."""
        changes, inputs = [], {}
        for k, link in call.chain.items():
            inputs[k] = link.x
        for vector in vectors:
            own: dict[int, Tensor] = {}
            for stack, u in zip(self._stacks, vector):
                own.update(stack.images(u, inputs))
            change: Tensor | None = None
            for k, link in call.chain.items():
                if change is not None:
                    dx = change if link.slope is None else change.mul_(link.slope.mT)
                    own[k].addmm_(self._layers[k].weight, dx)
                change = own[k]
            assert change is not None
            changes.append(change.mT)
        assert call.output is not None
        return call.output.to(changes[0].dtype), changes

    def _at_rest(self) -> dict[str, Tensor]:
        """Scales and shifts of norms and the like, which do not move, with tangents 0.

        Where only some arguments have tangents, torch works out in Python what shape the others' would have, at a
        cost of more than what the norm computes.
        """
        moving = {p for layer in self._layers.values() for p in layer.module.parameters()}
        return {
            name: forward_ad.make_dual(p.detach(), torch.zeros_like(p))
            for name, p in self._model.named_parameters()
            if p.ndim == 1 and p.is_floating_point() and p not in moving
        }

    def _by_layer(self, vector: Vector) -> dict[int, tuple[Tensor, ...]]:
        """The parts of a vector that are shaped like the parameters of each layer."""
        return {
            k: layer.pieces(matrix)
            for stack, u in zip(self._stacks, vector)
            for (k, layer), matrix in zip(stack.members.items(), stack.split(u))
        }

    def _backwards(self) -> Iterator[tuple[Tensor, Callable]]:
        """f, and the function that maps c `[M, n_L]` to Jᵀc, for each call."""
        if not self._backward:
            layers = self._layers.values()
            parameters = {name: p.detach() for layer in layers for name, p in zip(layer.names, layer.parameters)}
            for call in self._calls:
                output, backward, *_ = vjp(partial(run, self._model, call=call), parameters)
                self._backward.append((output, backward))
        return iter(self._backward)


class _Probe(threading.local):
    """The probe of this thread that is under way."""

    owner: object = None
    dual = False  # whether a level of dual numbers may be open


_PROBE = _Probe()


def _close_dual_level() -> None:
    """Close the level of dual numbers that an interrupt has left open: torch allows one at a time."""
    if _PROBE.dual:
        with contextlib.suppress(RuntimeError):
            torch._C._exit_dual_level(level=0)
        forward_ad._current_level = -1


def end_probes() -> None:
    """After an error or an interrupt: hooks that may be left of a probe do nothing any more, and others may probe."""
    _PROBE.owner = None
    with contextlib.suppress(RuntimeError):  # this thread does not hold it
        while True:
            ONE_AT_A_TIME.release()


@contextlib.contextmanager
def _moving(layers: dict[int, Layer], u: dict[int, tuple[Tensor, ...]]) -> Iterator[None]:
    """Within, the output of each layer is dual: its tangent is the change along u, W dx + u x.

    The layers themselves see no dual numbers, which costs less than making W dual.
    """
    handles, _PROBE.owner = [], object()
    try:
        for k, layer in layers.items():
            hooks = _Moving(layer, u[k], _PROBE.owner)
            handles.append(layer.module.register_forward_pre_hook(hooks.before, with_kwargs=True))
            handles.append(layer.module.register_forward_hook(hooks.after, prepend=True, with_kwargs=True))
        yield
    finally:
        _PROBE.owner = None
        for handle in handles:
            handle.remove()


class _Moving:
    """Hooks around the forward pass of a layer whose weights move along u, while their `owner` is under way."""

    def __init__(self, layer: Layer, u: tuple[Tensor, ...], owner: object) -> None:
        self._layer, self._u, self._owner = layer, u, owner
        self._dx: Tensor | None = None

    def before(
        self, module: nn.Module, inputs: tuple[Tensor, ...], keywords: dict[str, Tensor]
    ) -> tuple[tuple[Tensor], dict[str, Tensor]] | None:
        if _PROBE.owner is not self._owner:
            return None
        (dual,) = inputs or keywords.values()
        x, self._dx = forward_ad.unpack_dual(dual)
        return (x,), {}

    def after(
        self, module: nn.Module, inputs: tuple[Tensor], keywords: dict[str, Tensor], output: Tensor
    ) -> Tensor | None:
        if _PROBE.owner is not self._owner:
            return None
        return forward_ad.make_dual(output, _change(self._layer, self._u, *inputs, self._dx))


def _change(layer: Layer, u: tuple[Tensor, ...], x: Tensor, dx: Tensor | None) -> Tensor:
    """W dx + u x, the change of the output of `layer`."""
    change = layer.act(x, *u)
    return change if dx is None else change.add_(layer.act(dx, layer.weight))


def run(model: nn.Module, parameters: dict[str, Tensor], call: Call, flat: bool = True) -> Tensor:
    """f `[M, n_L]`, positions of an example counting as examples unless not `flat`.

    Random numbers and modes are those of the recorded pass; buffers, modes and the generators' next numbers stay as
    they are. `parameters` take the place of those of the model.
    """
    device = next(model.parameters()).device
    replaced = parameters | {name: buffer.clone() for name, buffer in model.named_buffers()}
    arguments, keywords = own(call.arguments), own(call.keywords)
    mode = contextlib.nullcontext() if call.training is None else in_training(model, call.training)
    with ONE_AT_A_TIME, mode, replaying(call.random, device):
        output = functional_call(model, replaced, arguments, keywords) if replaced else model(*arguments, **keywords)
    return output.flatten(0, -2) if flat else output
