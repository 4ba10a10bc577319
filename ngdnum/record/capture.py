"""What the factors are made of: inputs and outputs of the layers in one forward pass.

A forward pass fills a `Record`; the record hangs on the graph of the model's output and vanishes with it.
Passes under `torch.no_grad` are not recorded.
"""

from __future__ import annotations

import copy
import random
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from ..layers import Layer
from .graph import Paths, Probing
from .replay import RandomState

ELEMENTWISE = {
    f"{function}Backward0"
    for function in (
        "Celu",
        "Elu",
        "Gelu",
        "Hardsigmoid",
        "Hardswish",
        "Hardtanh",
        "LeakyRelu",
        "LogSigmoid",
        "Mish",
        "Relu",
        "Sigmoid",
        "Silu",
        "Softplus",
        "Tanh",
    )
}
"""Names in autograd's graph of functions that act on every number by itself."""


class Record:
    """One forward pass: inputs and places in the graph of the outputs of each layer (by index), one per use.

    Uses on no rows, such as those of an expert without examples, are `empty`.

    `arguments` and `keywords` are those the model was called with, `random` the state of the generators then and
    `training` the modules in training mode. `links` tell what is between each layer and the one before: nothing (None),
    or the place in the graph of an elementwise function. They are None if there is anything else, or if the last
    layer's output is not the model's. `weights` `[M, …]`, with mean 1, tell how much each row of the output counts in
    the loss, None if all count alike; `share` is the sum of what they count, by which passes of one step are weighed.
    `told` is what the loss of a backward pass, by its number, has told of them.

    `batch` is what it is included in, `gradient` `[M, n_L]` that of all its losses so far and `residual` what it adds
    to that of the batch; `kept` tells which call of the batch it is, with how many examples of how many.
    """

    def __init__(self) -> None:
        self.inputs: dict[int, list[Tensor]] = {}
        self.edges: dict[int, list[GradientEdge]] = {}
        self.empty: list[tuple[int, GradientEdge]] = []
        self.output: GradientEdge | None = None
        self.links: dict[int, Node | None] | None = {}
        self.arguments: tuple = ()
        self.keywords: dict[str, Any] = {}
        self.random: RandomState | None = None
        self.training: frozenset[nn.Module] = frozenset()
        self.end: tuple[weakref.ref, int, tuple[Node, int]] | None = None
        self.batch: weakref.ref | None = None
        self.gradient: Tensor | None = None
        self.residual = 0.0, 0.0, 0.0
        self.kept: tuple[int, int, int] | None = None
        self.weights: Tensor | None = None
        self.share = 1.0
        self.told: tuple[int, Tensor] | None = None
        self._first: tuple[int, int] | None = None
        self._paths: Paths | None = None

    def first(self, rows: int, count: int) -> Record:
        """The record of the first `rows` of all `count` examples: fewer inputs, and errors for fewer directions.

        Inputs in which the examples are not along the first axis are kept whole.
        """
        part = copy.copy(self)
        if self.weights is not None:
            part.weights = self.weights[:rows] / self.weights[:rows].mean()
        part.inputs = {k: [x[:rows] if has_rows(x, count) else x for x in xs] for k, xs in self.inputs.items()}
        part._first = rows, count
        return part

    def counts(self, rows: int) -> bool:
        """Whether any of the first `rows` examples counts in the loss."""
        return self.weights is None or bool(self.weights[:rows].any())

    def link(self, k: int, x: Tensor) -> None:
        """Note what is between the last layer so far and the input `x` of layer `k`."""
        assert self.links is not None
        node = x.grad_fn
        if self.end is None or self.ends_in(x):
            self.links[k] = None
        elif node is not None and node.name() in ELEMENTWISE and node.next_functions == (self.end[2],):
            self.links[k] = node
        else:
            self.links = None

    def ends_in(self, tensor: Tensor) -> bool:
        """Whether `tensor` is the output of the last layer so far, unchanged."""
        assert self.end is not None
        last, version, _ = self.end
        return last() is tensor and tensor._version == version

    def errors(self, directions: Tensor) -> dict[int, list[Tensor]]:
        """Back-propagate `directions` `[R, M, …, n_L]` at the model's output to the outputs of every layer.

        Returns `{layer: [e, …]}` with e `[R·M, …]`, for the uses that reach the output. The graph is kept; if
        `directions` require gradients, e is a differentiable function of them.
        """
        batched = len(directions) > 1
        if self._first:
            rows, count = self._first
            others = directions.new_zeros(len(directions), count - rows, *directions.shape[2:])
            directions = torch.cat([directions, others], 1)
        assert self.output is not None
        uses = [(k, edge) for k, edges in self.edges.items() for edge in edges]
        if self._paths is None:
            self._paths = Paths(self.output, [edge for _, edge in uses])
        errors = self._paths(directions if batched else directions[0], batched)
        found: dict[int, list[Tensor]] = {}
        for (k, _), e in zip(uses, errors):
            if e is None:
                continue
            if self._first:
                rows, count = self._first
                if has_rows(e[0] if batched else e, count):
                    e = e[:, :rows] if batched else e[:rows]
            found.setdefault(k, []).append(e.flatten(0, 1) if batched else e)
        return found


def has_rows(x: Tensor, count: int) -> bool:
    """Whether the first axis of `x`, and no other but the last, is as long as there are examples."""
    return len(x) == count and count not in x.shape[1:-1]


def own_container(argument: Any) -> Any:
    """A dictionary or list of the same tensors, which no `pop` of the model reaches; anything else as it is."""
    return copy.copy(argument) if isinstance(argument, (dict, list)) else argument


def refuse_empty(shape: Size) -> None:
    """Refuse a batch without examples, whose output has this `shape`."""
    raise ValueError(f"empty batch: the model's output has shape {tuple(shape)}")


class Capture:
    """Hooks that record every forward pass of `model` and report it in the backward pass.

    `on_backward(record, output, gradient)` runs whenever the gradient of a loss arrives at the model's output, before
    it goes on to the layers; `on_empty(shape)` in a forward pass without examples. The hooks hold only weak
    references to this object and are removed with it; copies of the model carry dead hooks.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: list[Layer],
        on_backward: Callable[[Record, Tensor, Tensor], None] | None = None,
        on_empty: Callable[[Size], None] = refuse_empty,
    ) -> None:
        self.layers, self._on_empty = layers, on_empty
        self._own_code = any(not type(module).__module__.startswith("torch.") for module in model.modules())
        self.record: Record | None = None
        self._on_backward = weakref.WeakMethod(on_backward) if on_backward else lambda: None
        handles = [model.register_forward_pre_hook(_Hook(self, Capture._begin), with_kwargs=True)]
        for k, layer in enumerate(layers):
            hook = _Hook(self, Capture._layer, k)
            handles.append(layer.module.register_forward_hook(hook, prepend=True, with_kwargs=True))
        handles.append(model.register_forward_hook(_Hook(self, Capture._end)))
        self.remove = weakref.finalize(self, _remove, handles)

    def _begin(self, module: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        hidden = torch._C._are_functorch_transforms_active() or torch.jit.is_tracing()
        self.record = Record() if torch.is_grad_enabled() and not hidden else None
        if self.record is not None:
            tensors = {*map(type, arguments)} == {Tensor}
            self.record.arguments = arguments if tensors else tuple(map(own_container, arguments))
            if keywords:
                self.record.keywords = {name: own_container(x) for name, x in keywords.items()}
            self.record.training = frozenset(filter(attrgetter("training"), module.modules()))
            device = self.layers[0].weight.device
            cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
            slow = (random.getstate(), np.random.get_state()) if self._own_code else None
            self.record.random = RandomState(torch.get_rng_state(), cuda, slow)

    def _layer(
        self, k: int, module: nn.Module, inputs: tuple[Tensor, ...], keywords: dict[str, Tensor], output: Tensor
    ) -> None:
        layer, record = self.layers[k], self.record
        if record is None or not output.requires_grad or module.weight is not layer.weight:
            return
        (x,) = inputs or keywords.values()
        simple = type(module).forward is nn.Linear.forward and x.ndim == 2
        if not simple:
            layer.check_input(x)
        empty = not x.numel()
        if not simple or k in record.edges or empty:
            record.links = None
        if empty:
            record.empty.append((k, get_gradient_edge(output)))
            return
        if record.links is not None:
            record.link(k, x)
        edge = get_gradient_edge(output)
        record.end = weakref.ref(output), output._version, (edge.node, edge.output_nr)
        record.inputs.setdefault(k, []).append(x.detach())
        record.edges.setdefault(k, []).append(edge)

    def _end(self, module: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
        record = self.record
        if record is not None and isinstance(output, Tensor) and output.ndim and not len(output):
            self._on_empty(output.shape)
            return None
        if record is None or not record.edges:
            return None
        if not isinstance(output, Tensor) or output.ndim < 2 or not output.shape[-1]:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                "the model's output must be a tensor [M, n_L], one row per example, or [M, …, n_L], one per "
                f"position; got {got}"
            )
        if not record.ends_in(output):
            record.links = None
        if self._on_backward() is None:
            record.output = get_gradient_edge(output)
            return None
        self.record = None
        return _Tap.apply(output, weakref.ref(self), record)


class _Tap(torch.autograd.Function):
    """The identity; its backward pass tells the capture that the gradient has arrived at the model's output.

    A node of the graph in front of the output, instead of a hook on it: a hook that refers to the graph below
    it would keep that graph alive for ever.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, capture: weakref.ref, record: Record) -> Tensor:
        ctx.capture, ctx.record, ctx.values = capture, record, output.detach()
        PASSES.add(ctx)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        capture, record = ctx.capture(), ctx.record
        on_backward = capture and capture._on_backward()
        if on_backward and not Probing.under_way() and _accumulates(capture.layers, record):
            record.output = GradientEdge(*ctx.next_functions[0])
            on_backward(record, ctx.values, gradient)
        return gradient, None, None


def _accumulates(layers: list[Layer], record: Record) -> bool:
    """Whether the backward pass under way adds to the gradient of a recorded weight: `autograd.grad` does not."""
    for k in record.edges:
        if layers[k].weight.requires_grad:
            try:
                if torch._C._will_engine_execute_node(get_gradient_edge(layers[k].weight).node):
                    return True
            except RuntimeError:  # what it raises within autograd.grad(loss, weights)
                return False
    return False


PASSES: weakref.WeakSet[Any] = weakref.WeakSet()
"""The nodes in front of the outputs of all recorded passes whose graphs are there."""


class _Hook:
    """A method of a `Capture`, called as long as it lives; a copy (with a copied model) does nothing."""

    def __init__(self, capture: Capture | None = None, method: Callable | None = None, *first: int) -> None:
        self.capture = weakref.ref(capture) if capture else lambda: None
        self.method, self.first = method, first
        self.not_compiled = method and torch.compiler.disable(method)

    def __call__(self, *args: object) -> Tensor | None:
        capture = self.capture()
        if capture is None or self.method is None:
            return None
        method: Any = self.not_compiled if torch.compiler.is_compiling() else self.method
        return method(capture, *self.first, *args)

    def __reduce__(self) -> tuple:
        return _Hook, ()

    @property
    def __name__(self) -> str:
        raise AttributeError(
            "torch.jit.script compiles hooks, and those of NGD cannot be: take torch.export.export or torch.jit.trace, "
            "or script a new model that has loaded the state_dict of this one"
        )


def _remove(handles: list) -> None:
    for handle in handles:
        handle.remove()
