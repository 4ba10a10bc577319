"""Autograd's graph, walked by hand: errors go back through it past all hooks.

What the user has put there, `register_hook`, `retain_grad` and backward hooks of modules, is for the backward pass of
the loss. Autograd has no way to leave hooks out, but a node by itself knows none of them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

Back = Callable[[list[Any], list[Any]], Sequence[Any]]


class Probing:
    """A backward pass of our own, which no capture of this thread must take for one of the loss.

    An interrupt may come between the first line of `with Probing()` and the last, but not make it outlive its frame.
    """

    _under_way: ClassVar[weakref.WeakSet[Probing]] = weakref.WeakSet()

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        self._under_way.add(self)

    def __exit__(self, *_: object) -> None:
        self._under_way.discard(self)

    @classmethod
    def end(cls) -> None:
        """After an error or an interrupt: none is under way in this thread."""
        for probing in list(cls._under_way):
            if probing._thread == threading.get_ident():
                cls._under_way.discard(probing)

    @classmethod
    def under_way(cls) -> bool:
        """Whether there is one."""
        return bool(cls._under_way) and any(probing._thread == threading.get_ident() for probing in cls._under_way)


def reachable(root: Node, ends: Container[Node] = ()) -> list[Node]:
    """The nodes from `root` on, each after all that lead to it, and no further than to the `ends`.

    Raises
    ------
    ValueError
        If there is a part that torch computes again by a backward pass of its own.
    """
    found: dict[Node, None] = {}
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            found.setdefault(node)
        elif node not in found:
            if node.name() == "CheckpointFunctionBackward":
                raise ValueError(
                    "checkpointing with use_reentrant=True hides layers from NGD, so no weight was changed: call "
                    "torch.utils.checkpoint.checkpoint(…, use_reentrant=False)"
                )
            stack.append((node, True))
            if node not in ends:
                stack += [(following, False) for following, _ in node.next_functions if following is not None]
    return list(reversed(found))


class _Kind(NamedTuple):
    """What a gradient that arrives at a node is made to be."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def fitted(self, e: Tensor) -> Tensor:
        """`e`, summed over what was broadcast."""
        return (e if e.shape == self.shape else e.sum_to_size(self.shape)).to(self.dtype)

    def zeros(self) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)


class Paths:
    """What lies between the edge `output` of the graph and some edges `inputs` behind it.

    Called with a gradient `g` at the output, it returns those at the inputs, as `torch.autograd.grad` does with
    `retain_graph` and `allow_unused`; they are differentiable functions of `g` if that requires gradients. With
    `batched`, `g` has one more axis in front, and so have they. If they are `last`, none of the `inputs` is behind
    another.
    """

    def __init__(self, output: GradientEdge, inputs: Sequence[GradientEdge], last: bool = False) -> None:
        self._output, self._inputs = output, inputs
        wanted = {edge.node for edge in inputs}
        order = reachable(output.node, wanted if last else ())
        leading: set[Node] = set()
        for node in reversed(order):
            if any(following in wanted or following in leading for following, _ in node.next_functions):
                leading.add(node)
        ends = leading | wanted
        self._kinds = {node: _kinds(node) for node in order if node in ends}
        self._steps = [(node, *_step(node, ends)) for node in order if node in leading]

    def __call__(self, g: Tensor, batched: bool = False) -> list[Tensor | None]:
        found: list[Tensor | None] = []

        def walk() -> None:
            with Probing(), torch.set_grad_enabled(g.requires_grad):
                found.extend(self._batched(g) if batched else self._walk(g))

        aside(walk)
        return found

    def _batched(self, g: Tensor) -> list[Tensor | None]:
        reached: list[bool] = []

        def walk(row: Tensor) -> tuple[Tensor, ...]:
            found = self._walk(row)
            reached[:] = [e is not None for e in found]
            return tuple(e for e in found if e is not None)

        rows = iter(torch.vmap(walk, randomness="same")(g))
        return [next(rows) if there else None for there in reached]

    def _walk(self, g: Tensor) -> list[Tensor | None]:
        kinds = self._kinds
        arrived: dict[Node, list[Tensor | None]] = {node: [None] * len(kinds[node]) for node in kinds}
        arrived.setdefault(self._output.node, [None] * (self._output.output_nr + 1))[self._output.output_nr] = g
        for node, back, followers in self._steps:
            if all(e is None for e in arrived[node]):
                continue
            for follower, e in zip(followers, back(arrived[node], kinds[node])):
                if e is None or follower is None:
                    continue
                following, slot = follower
                e, before = kinds[following][slot].fitted(e), arrived[following][slot]
                arrived[following][slot] = e if before is None else before + e
        return [arrived[edge.node][edge.output_nr] if edge.node in arrived else None for edge in self._inputs]


def _kinds(node: Any) -> list[_Kind]:
    return [_Kind(torch.Size(m.shape), m.dtype, m.device) for m in node._input_metadata]


def _step(node: Any, ends: Container[Node]) -> tuple[Back, list[tuple[Node, int] | None]]:
    """What makes of gradients at the outputs of `node` those at its inputs, and which inputs lead to the `ends`."""
    followers = [edge if edge[0] in ends else None for edge in node.next_functions]
    if isinstance(node, torch._C._FunctionBase):
        return partial(_own_function, node), followers
    position, formula = INPUT_ALONE.get(node.name(), (0, None))
    if formula and [i for i, follower in enumerate(followers) if follower] == [position]:
        return partial(_input_alone, node, formula), [followers[position]]
    return partial(_function, node), followers


def _function(node: Any, errors: list[Tensor | None], kinds: list[_Kind]) -> Sequence[Tensor | None]:
    back = node(*errors)
    return back if isinstance(back, tuple) else (back,)


def _input_alone(
    node: Any, formula: Callable[[Any, Tensor], Tensor], errors: list[Tensor], kinds: list[_Kind]
) -> list[Tensor]:
    return [formula(node, errors[0])]


def _own_function(node: Any, errors: list[Tensor | None], kinds: list[_Kind]) -> list[Tensor | None]:
    """That of a `torch.autograd.Function`: it has a gradient, or None, for each argument, also if that is no tensor."""
    back = node.apply(*(kind.zeros() if e is None else e for e, kind in zip(errors, kinds)))
    pairs = zip(back if isinstance(back, tuple) else (back,), node.needs_input_grad)
    needed = iter([e for e, wanted in pairs if wanted])
    return [None if following is None else next(needed) for following, _ in node.next_functions]


def _convolution_input(node: Any, e: Tensor) -> Tensor:
    found: Tensor = torch.ops.aten.convolution_backward(
        e,
        node._saved_input,
        node._saved_weight,
        None,
        node._saved_stride,
        node._saved_padding,
        node._saved_dilation,
        node._saved_transposed,
        node._saved_output_padding,
        node._saved_groups,
        [True, False, False],
    )[0]
    return found


INPUT_ALONE: dict[str, tuple[int, Callable[[Any, Tensor], Tensor]]] = {
    "AddmmBackward0": (1, lambda node, e: e @ node._saved_mat2.mT * node._saved_alpha),
    "MmBackward0": (0, lambda node, e: e @ node._saved_mat2.mT),
    "ConvolutionBackward0": (0, _convolution_input),
}
"""Nodes that find the gradient of their input without that of their weight: which input that is, and how."""


def aside(action: Callable[[], None]) -> None:
    """Do `action` in a backward pass of its own, also within another one.

    What checkpointing keeps for a backward pass, it gives away once in each. Compiled code frees what it has saved,
    unless the graph is retained.
    """
    with torch.enable_grad():
        _Aside.apply(_START, action).backward(retain_graph=True)


class _Aside(torch.autograd.Function):
    """Its backward pass does something else, and has no gradient."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, action: Callable[[], None]) -> Tensor:
        ctx.action = action
        return start.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        ctx.action()
        return None, None


_START = torch.zeros((), requires_grad=True)
