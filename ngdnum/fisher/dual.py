r"""Natural gradient in the space of errors at the outputs, which has fewer dimensions than that of the weights.

Errors c `[M, n_L]` stand for the vector P Jᵀc/M of weights, P being the rule. If this has two halves, ΔW =
left(right(G)), then for a layer with inputs X `[R, m]`, in rows, to which c propagates as E `[R, n]`, that
vector u, and what it changes in the output of the layer, are

    u = left(Eᵀ) X̃ / M,     X uᵀ = K left(Eᵀ)ᵀ / M     with X̃ = right(X) and K = X X̃ᵀ,

so that u is not formed until the end. What the gradients of the weights hold besides the g that they should have by
the outputs, δ = G − g ≠ 0 (a penalty, a mask), is one more dimension: (c, s) stands for P (Jᵀc/M + s δ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..likelihood import Likelihood
from ..record.capture import Capture, Record
from ..stack import Stack
from ..world import World
from .primal import Call, Vector, run

Half = Callable[[Tensor], Tensor]


class Outside(NamedTuple):
    """P δ, J P δ `[M, n_L]` and δᵀP δ of what the gradient of the weights has besides Jᵀc/M."""

    direction: Vector
    change: Tensor
    square: float


class Dual:
    """J, its transpose, and the rule between them, for the weights of `stacks` at the examples of `calls`.

    Parameters
    ----------
    model, likelihood
        The network, and what gives the outputs their Fisher.
    stacks : list of Stack
        The weights; all others count as constants.
    calls : list of Call
        How the model is called to treat the examples.
    gradients : list of Tensor
        ∂ loss/∂f `[M, n_L]` of each call.
    G : Vector
        The negative gradient of the loss in the weights.
    halves : list
        What the rule does to the left and to the right of G, for each layer of the stacks.
    world : World, optional
        The ranks that have the other examples.

    Attributes
    ----------
    count : int
        M, on all ranks.
    errors : Tensor
        c `[M, n_L]` that stands for P g, with g = Jᵀc/M the negative gradient of the loss. If G is another one,
        c has one more row, which begins with s = 1.
    """

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        stacks: list[Stack],
        calls: list[Call],
        gradients: list[Tensor],
        G: Vector,
        halves: list[tuple[Half, Half]],
        world: World | None = None,
    ) -> None:
        self._model, self._likelihood, self._stacks, self._calls = model, likelihood, stacks, calls
        self._layers = [layer for stack in stacks for layer in stack.members.values()]
        self._world, self._rows, share = world, sum(map(len, gradients)), sum(call.share for call in calls)
        self.count, ranks = self._rows, 1
        if world is not None:
            rows, share = world.total(self._rows, share)
            self.count, ranks = int(rows), world.ranks
        self.errors = torch.cat(gradients).mul_(-self.count / ranks)
        passes = list(map(self._forward, calls))
        self._records, outputs = [record for record, _ in passes], [output for _, output in passes]
        self._shapes = [output.shape for output in outputs]
        self._outputs = [output.flatten(0, -2) for output in outputs]
        self._share = share
        self._transposed = list(map(_linear_map, self._records, outputs))
        self._left: list[Callable[[Tensor], Tensor]] = []
        self._right: list[Tensor] = []
        self._kernels: list[Callable[[Tensor], Tensor]] = []
        self._outside: Outside | None = None
        inputs = [self._input_rows(i) for i in range(len(self._layers))]
        for X, (left, right) in zip(inputs, halves):
            self._left.append(left)
            self._right.append(right(X))
            if world is None:
                self._kernels.append(_kernel(X, self._right[-1]))
        self._inputs = [] if world is None else inputs
        self._own = self._propagate(self.errors)
        self._add_outside(G, inputs, [right for _, right in halves])

    def weigh(self, change: Tensor) -> Tensor:
        """w/⟨w⟩ times the Fisher of the outputs times a change of them `[M, n_L]`; 0 for what is not of the outputs."""
        weighed, done = [], 0
        for call, output in zip(self._calls, self._outputs):
            own = change[done : done + len(output)]
            part = call.share / len(output) * self.count / self._share
            weighed.append(call.fisher_product(self._likelihood, output, own).mul_(part))
            done += len(output)
        if self._outside is not None:
            weighed.append(torch.zeros_like(change[self._rows :]))
        return torch.cat(weighed) if weighed else change

    def start(self) -> Tensor:
        """`change(errors)`, for which most is known already."""
        return self._changed(self.errors, self._own)

    def change(self, errors: Tensor) -> Tensor:
        """J P Jᵀc/M `[M, n_L]`: what the vector that c stands for changes in the outputs.

        With s, also M δᵀP (Jᵀc/M + s δ): the product of (c, s) with it is M times the square of the vector in P⁻¹.
        """
        return self._changed(errors, self._propagate(errors[: self._rows]))

    def update(self, errors: Tensor) -> Vector:
        """P Jᵀc/M, one tensor per stack: the vector that c stands for."""
        updates = self._gather(self._vector(self._propagate(errors[: self._rows])))
        if self._outside is not None:
            updates = [u + errors[self._rows, 0] * d for u, d in zip(updates, self._outside.direction)]
        return updates

    def dot(self, first: Tensor, second: Tensor) -> float:
        """Σ c c′ over the rows of all ranks, of errors or changes; the row of s is the same on all of them."""
        product = first * second
        if self._world is None:
            return float(product.sum())
        return float(self._sum(product[: self._rows])) + float(product[self._rows :].sum())

    def norm(self, errors: Tensor) -> float:
        """√`dot` of `errors` with themselves."""
        return float(errors.norm()) if self._world is None else self.dot(errors, errors) ** 0.5

    def _sum(self, rows: Tensor) -> Tensor | float:
        return rows.sum() if self._world is None else self._world.total(float(rows.sum()))[0]

    def _vector(self, propagated: list[Tensor]) -> list[Tensor]:
        """left(Eᵀ) X̃/M of each layer."""
        layers = zip(self._left, propagated, self._right)
        products = [left(E.mT) @ X for left, E, X in layers]
        return [u.div_(self.count) for u in (products if self._world is None else self._world.sum(products))]

    def _changed(self, errors: Tensor, propagated: list[Tensor]) -> Tensor:
        if self._world is None:
            layers = zip(self._kernels, self._left, propagated)
            tangents = [kernel(left(E.mT).mT).div_(self.count) for kernel, left, E in layers]
        else:
            tangents = [X @ u.mT for X, u in zip(self._inputs, self._vector(propagated))]
        changes = self._output_change(tangents)
        if self._outside is None:
            return changes
        s, last = errors[self._rows, 0], torch.zeros_like(errors[self._rows :])
        last[0, 0] = self._sum(self._outside.change * errors[: self._rows]) + s * self.count * self._outside.square
        return torch.cat([changes + s * self._outside.change, last])

    def _add_outside(self, G: Vector, inputs: list[Tensor], right: list[Half]) -> None:
        """Include what G has besides the multiple of Jᵀc/M that is nearest to it, unless it is rounding."""
        products = [E.mT @ X for E, X in zip(self._own, inputs)]
        if self._world is not None:
            products = self._world.sum(products)
        own = self._gather([product.div_(self.count) for product in products])
        rounding = 100 * max(torch.finfo(g.dtype).eps for g in G)
        square = sum(float((h * h).sum()) for h in own)
        share = sum(float((g * h).sum()) for g, h in zip(G, own)) / square if square else 1.0
        if abs(share - 1) > rounding:  # clipped
            self.errors *= share
            own = [share * h for h in own]
            self._own = [share * E for E in self._own]
        delta = [g - h for g, h in zip(G, own)]
        if all(float(d.norm()) <= rounding * float(g.norm() + h.norm()) for d, g, h in zip(delta, G, own)):
            return
        pieces = [d for stack, piece in zip(self._stacks, delta) for d in stack.split(piece)]
        directions = [left(right(d)) for left, right, d in zip(self._left, right, pieces)]
        change = self._output_change([X @ u.mT for X, u in zip(inputs, directions)])
        square = sum(float((u * d).sum()) for u, d in zip(directions, pieces))
        self._outside = Outside(self._gather(directions), change, square)
        last = torch.zeros_like(self.errors[:1])
        last[0, 0] = 1
        self.errors = torch.cat([self.errors, last])

    def _gather(self, matrices: list[Tensor]) -> Vector:
        """One tensor per stack, from one matrix per layer."""
        each = iter(matrices)
        return [stack.gather({k: next(each) for k in stack.members}) for stack in self._stacks]

    def _output_change(self, tangents: list[Tensor]) -> Tensor:
        """What `[M, n_L]` changes in the outputs if, by themselves, those of the layers change by `tangents`."""
        changes = []
        for direction, uses in self._transposed:
            own = []
            for i, e in uses:
                layer = self._layers[i]
                here, tangents[i] = tangents[i].tensor_split([layer.output_rows(e).shape[-2]], -2)
                own.append(layer.output(here, e.shape).to(e.dtype))
            (change,) = torch.autograd.grad([e for _, e in uses], direction, own, retain_graph=True)
            changes.append(change.flatten(0, -2))
        return torch.cat(changes) if changes else self.errors[:0]

    def _forward(self, call: Call) -> tuple[Record, Tensor]:
        """What one call of the model leaves to back-propagate through, and its output."""
        capture = Capture(self._model, self._layers)
        try:
            with torch.enable_grad():
                output = run(self._model, {}, call, flat=False)
        finally:
            capture.remove()
        assert capture.record is not None
        return capture.record, output.detach()

    def _input_rows(self, i: int) -> Tensor:
        """X of layer number `i`, with a column of ones for a bias."""
        layer = self._layers[i]
        rows = [layer.input_rows(x) for record in self._records for x in record.inputs.get(i, ())]
        return layer.homogeneous(torch.cat(rows or [layer.matrix(layer.weight.detach())[..., :0, :]], -2))

    def _propagate(self, errors: Tensor) -> list[Tensor]:
        """E of every layer."""
        found: list[list[Tensor]] = [[] for _ in self._layers]
        pieces = errors.split([shape[:-1].numel() for shape in self._shapes])
        for record, piece, shape in zip(self._records, pieces, self._shapes):
            for i, uses in record.errors(piece.reshape(1, *shape)).items():
                if len(uses) < len(record.inputs[i]):
                    raise ValueError(
                        f"layer {self._layers[i].name!r} is also used where the output does not depend on it, so "
                        "no weight was changed: leave out that use, or take ConjugateGradient"
                    )
                found[i] += [self._layers[i].output_rows(e) for e in uses]
        nothing = [layer.matrix(layer.weight.detach())[..., :0].mT for layer in self._layers]
        return [torch.cat(E or [none], -2) for E, none in zip(found, nothing)]


def _linear_map(record: Record, output: Tensor) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """A c, and the E of all uses of layers as a differentiable function of it: its transpose is J."""
    direction = torch.zeros_like(output, requires_grad=True)
    with torch.enable_grad():
        errors = record.errors(direction.unsqueeze(0))
    return direction, [(i, e) for i, uses in errors.items() for e in uses]


def _kernel(X: Tensor, weighted: Tensor) -> Callable[[Tensor], Tensor]:
    """The map Z → X X̃ᵀ Z, in the cheaper order."""
    if X.shape[-2] > 2 * X.shape[-1]:
        return lambda Z: X @ (weighted.mT @ Z)
    return partial(torch.matmul, X @ weighted.mT)
