"""The graph of a program: operations on operations, down to the inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

from sympy import Expr


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: `template` with `{0}` … for `args`; an input has no `args`, and its name as template."""

    template: str
    args: tuple[Node, ...]
    scalars: frozenset[str]
    fast: bool
    flops: Expr
    label: str

    @property
    def is_input(self) -> bool:
        return not self.args


def live_nodes(roots: list[Node], stop: Container[Node] = ()) -> list[Node]:
    """Nodes that `roots` are computed from, operands first, without those below a node in `stop`."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            if node not in stop:
                for arg in node.args:
                    visit(arg)
            found[node] = None

    for root in roots:
        visit(root)
    return [node for node in found if node not in stop]


def uses(roots: list[Node], stop: Container[Node]) -> Counter[Node]:
    """How often each node is an operand in the computation of `roots`, or one of them."""
    return Counter(roots) + Counter(arg for node in live_nodes(roots, stop) for arg in node.args)


def carried(value: Node) -> list[Node]:
    """Slow nodes that a fast one needs: the state handed from `factorise` to `apply`."""
    if not value.fast:
        return [value]
    found: dict[Node, None] = {}
    for node in live_nodes([value]):
        if node.fast:
            found.update(dict.fromkeys(arg for arg in node.args if not arg.fast))
    return list(found)
