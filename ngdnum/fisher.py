"""The exact Fisher of the weights as an operator, by forward- and reverse-mode derivatives of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, vjp

from .likelihood import Likelihood, fisher_product
from .stack import Stack

Call = tuple[tuple, dict[str, object]]
"""Arguments and keywords with which the model was called."""
Vector = list[Tensor]
"""A vector in the space of weights: one tensor per stack, shaped like its weights."""


class Fisher:
    r"""F = (1/M) Σ_m J_mᵀ F_m J_m, with J_m = ∂f_m/∂θ and F_m the Fisher of the outputs f_m of example m.

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
    """

    def __init__(
        self, model: nn.Module, likelihood: Likelihood, stacks: list[Stack], calls: list[Call]
    ) -> None:
        self._model, self._likelihood, self._stacks, self._calls = model, likelihood, stacks, calls
        self._backward: list[tuple[Tensor, Callable]] = []

    def inner(self, vectors: list[Vector]) -> Tensor:
        """(u_iᵀ F u_j) of k vectors, `[k, k]` in float64."""
        gram, count = torch.zeros(len(vectors), len(vectors), dtype=torch.float64), 0
        for call in self._calls:
            output, changes = self._changes(call, vectors)
            weighted = torch.stack([fisher_product(self._likelihood, output, c).flatten() for c in changes])
            gram += (torch.stack(changes).flatten(1) @ weighted.mT).cpu()
            count += len(output)
        return gram.add(gram.mT).div_(2 * count)

    def times(self, vector: Vector) -> Vector:
        """F u."""
        total, count = None, 0
        for call, (output, backward) in zip(self._calls, self._backwards()):
            _, (change,) = self._changes(call, [vector])
            (named,) = backward(fisher_product(self._likelihood, output, change))
            product = [stack.from_named(named) for stack in self._stacks]
            total = product if total is None else [t.add_(p) for t, p in zip(total, product)]
            count += len(output)
        return [t.div_(count) for t in total]

    def _changes(self, call: Call, vectors: list[Vector]) -> tuple[Tensor, list[Tensor]]:
        """f and J u for each vector u."""
        changes = []
        for vector in vectors:
            tangents = self._named(vector)
            with forward_ad.dual_level():
                duals = {
                    name: forward_ad.make_dual(self._model.get_parameter(name), tangent)
                    for name, tangent in tangents.items()
                }
                output, change = forward_ad.unpack_dual(run(self._model, duals, call))
            changes.append(torch.zeros_like(output) if change is None else change)
        return output, changes

    def _backwards(self) -> Iterator[tuple[Tensor, Callable]]:
        """f, and the function that maps c `[M, n_L]` to Jᵀc, for each call."""
        if not self._backward:
            names = self._named([stack.weight() for stack in self._stacks])
            parameters = {name: self._model.get_parameter(name).detach() for name in names}
            self._backward = [vjp(partial(run, self._model, call=call), parameters) for call in self._calls]
        return iter(self._backward)

    def _named(self, vector: Vector) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {}
        for stack, u in zip(self._stacks, vector):
            named.update(stack.named(u))
        return named


def run(model: nn.Module, parameters: dict[str, Tensor], call: Call, flat: bool = True) -> Tensor:
    """f `[M, n_L]`, positions of an example counting as examples unless not `flat`; buffers stay as they are.

    `parameters` take the place of those of the model.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.compiler.set_stance("force_eager"):  # compiled code has no forward-mode derivatives
        output = functional_call(model, {**buffers, **parameters}, *call)
    return output.flatten(0, -2) if flat else output
