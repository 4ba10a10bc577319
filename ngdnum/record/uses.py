"""Weights that reach the output of a model by another way than through the call of their layer.

The factors of a layer know its calls only. A layer whose weight is used by function as well, as in an autoencoder with
tied weights, or in derivatives of the network that are its output, has another Fisher, with terms between the uses,
which no Kronecker product of these factors comes near.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from ..layers import Layer
from ..layers.layer import check_weights
from .capture import Record
from .graph import reachable


def check_uses(record: Record, layers: list[Layer]) -> None:
    """Raise ValueError, naming them, if there are layers with more uses in the graph of the output than calls.

    A use of a parameter is an edge to a node that leads to this parameter only, from one that leads to others too, or
    that is the output of a layer.
    """
    assert record.output is not None
    parameters = [(p, k) for k, layer in enumerate(layers) for p in layer.parameters]
    number: dict[Tensor, int] = {p: i for i, (p, _) in enumerate(parameters)}
    calls = {edge.node: k for k, edges in record.edges.items() for edge in edges}
    calls |= {edge.node: k for k, edge in record.empty}
    alone: dict[Node, int | None] = {}
    uses, called = [0] * len(parameters), [0] * len(layers)
    for node in reversed(reachable(record.output.node)):
        found = {alone[following] for following, _ in node.next_functions if following is not None}
        alone[node] = None
        if node in calls:
            called[calls[node]] += 1
        elif node.name() == "torch::autograd::AccumulateGrad":
            alone[node] = number.get(_variable(node))
        elif len(found) == 1:
            (alone[node],) = found
        if alone[node] is None:
            for following, _ in node.next_functions:
                i = None if following is None else alone[following]
                if i is not None:
                    uses[i] += 1
    wrong = list(dict.fromkeys(layers[k] for (_, k), count in zip(parameters, uses) if count > called[k]))
    check_weights(wrong)
    if wrong:
        names = ", ".join(layer.name for layer in wrong)
        raise ValueError(
            "weights of layers used by function, or in derivatives of the network, not by calls of these modules "
            f"alone: {names}; the Fisher of the calls is not theirs, so no weight was changed: call the "
            "module itself wherever its weight is used, or leave the weight to the fallback optimizer, by a class with "
            "a forward of its own: class Tied(nn.Linear): def forward(self, x): return F.linear(x, self.weight, "
            "self.bias)"
        )


def _variable(node: Any) -> Tensor:
    """The leaf for which `node` collects gradients."""
    variable: Tensor = node.variable
    return variable
