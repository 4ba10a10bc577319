"""What the factors are made of: inputs and outputs of the layers in one forward pass.

Layout: activations x and errors e are `[M, n]`, one row per example. A bias is the last column of the layer's
weight matrix and a 1 appended to x (homogeneous coordinates).

A forward pass fills a `Record`; the record hangs on the graph of the model's output and vanishes with it.
Passes under `torch.no_grad` are not recorded.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge


class _Probing:
    """Whether a backward pass of our own is under way, which no capture must take for one of the loss."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


_PROBING = _Probing()


class Layer(NamedTuple):
    """A trainable `nn.Linear` under its name in the model."""

    name: str
    module: nn.Linear
    weight: nn.Parameter
    bias: nn.Parameter | None

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m) of the weight matrix, the bias column included."""
        n, m = self.weight.shape
        return n, m + (self.bias is not None)


class Record:
    """One forward pass: the input and the place in the graph of the output of each layer (by index).

    `arguments` and `keywords` are those the model was called with; `chained` says that each layer was fed with
    the output of the one before and the last one's output is the model's.
    """

    def __init__(self) -> None:
        self.inputs: dict[int, Tensor] = {}
        self.edges: dict[int, GradientEdge] = {}
        self.output: GradientEdge | None = None
        self.chained = True
        self.arguments: tuple = ()
        self.keywords: dict[str, Any] = {}
        self.end: tuple[weakref.ref, int] | None = None
        self.used = False

    def ends_in(self, tensor: Tensor) -> bool:
        """Whether `tensor` is the output of the last layer so far, unchanged."""
        last, version = self.end
        return last() is tensor and tensor._version == version

    def errors(self, directions: Tensor) -> dict[int, Tensor]:
        """Back-propagate `directions` `[R, M, n_L]` at the model's output to the output of every layer.

        Returns `{layer: e}` with e `[R·M, n]`, for the layers that reach the output. The graph is kept.
        """
        batched = len(directions) > 1
        layers = list(self.edges)
        with _PROBING:
            errors = torch.autograd.grad(
                (self.output,),
                [self.edges[k] for k in layers],
                (directions if batched else directions[0],),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=batched,
            )
        return {k: e.flatten(0, -2) for k, e in zip(layers, errors) if e is not None}


def trainable_layers(model: nn.Module) -> list[Layer]:
    """The trainable linear layers of `model`; refuses other trainable parameters by name.

    Raises
    ------
    ValueError
        If there is no supported layer, if a parameter outside them is trainable, or if layers share
        parameters.
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            names.setdefault(parameter, []).append(name)
    layers = [
        Layer(name, module, module.weight, module.bias if module.bias in names else None)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight in names
    ]
    if not layers:
        raise ValueError("the model has no trainable nn.Linear layer: nothing for NGD to precondition")
    shared = [aliases for aliases in names.values() if len(aliases) > 1]
    if shared:
        raise ValueError(f"shared parameters are not supported: {'; '.join(' = '.join(a) for a in shared)}")
    ours = {parameter for layer in layers for parameter in layer.parameters}
    others = [aliases[0] for parameter, aliases in names.items() if parameter not in ours]
    if others:
        raise ValueError(
            f"trainable parameters outside nn.Linear layers: {', '.join(others)}; "
            "freeze them with requires_grad_(False)"
        )
    return layers


class Capture:
    """Hooks that record every forward pass of `model` and report it in the backward pass.

    `on_backward(record, output, gradient)` runs once per forward pass, when the gradient of the loss arrives
    at the model's output, before it goes on to the layers. The hooks hold only weak references to this object
    and are removed with it; copies of the model carry dead hooks.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: list[Layer],
        on_backward: Callable[[Record, Tensor, Tensor], None] | None = None,
    ) -> None:
        self.layers = layers
        self.record: Record | None = None
        self._on_backward = weakref.WeakMethod(on_backward) if on_backward else lambda: None
        handles = [model.register_forward_pre_hook(_Hook(self, Capture._begin), with_kwargs=True)]
        for k, layer in enumerate(layers):
            handles.append(layer.module.register_forward_hook(_Hook(self, Capture._layer, k)))
        handles.append(model.register_forward_hook(_Hook(self, Capture._end)))
        self.remove = weakref.finalize(self, _remove, handles)

    def _begin(self, module: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        recording = torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active()
        self.record = Record() if recording else None
        if self.record is not None:
            self.record.arguments, self.record.keywords = arguments, keywords

    def _layer(self, k: int, module: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> None:
        layer, record = self.layers[k], self.record
        if record is None or not output.requires_grad or module.weight is not layer.weight:
            return
        (x,) = inputs
        if x.ndim != 2:
            raise ValueError(
                f"layer {layer.name!r} got an input of shape {tuple(x.shape)}; NGD needs [M, {x.shape[-1]}], "
                "one row per example: flatten the other axes first"
            )
        if not len(x):
            raise ValueError(f"empty batch: layer {layer.name!r} got an input of shape {tuple(x.shape)}")
        if k in record.edges:
            raise ValueError(f"layer {layer.name!r} is used twice in one forward pass: not supported")
        record.chained &= not record.edges or record.ends_in(x)
        record.end = weakref.ref(output), output._version
        record.inputs[k] = x.detach()
        record.edges[k] = get_gradient_edge(output)

    def _end(self, module: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
        record = self.record
        if record is None or not record.edges:
            return None
        if not isinstance(output, Tensor) or output.ndim != 2:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"the model's output must be a tensor [M, n_L], one row per example; got {got}")
        record.chained &= record.ends_in(output)
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
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        capture, record = ctx.capture(), ctx.record
        on_backward = capture and capture._on_backward()
        if on_backward and not record.used and not _PROBING.depth:
            record.used = True
            record.output = GradientEdge(*ctx.next_functions[0])
            on_backward(record, ctx.values, gradient)
        return gradient, None, None


class _Hook:
    """A method of a `Capture`, called as long as it lives; a copy (with a copied model) does nothing."""

    def __init__(self, capture: Capture | None = None, method: Callable | None = None, *first: int) -> None:
        self.capture = weakref.ref(capture) if capture else lambda: None
        self.method, self.first = method, first

    def __call__(self, *args: object) -> Tensor | None:
        capture = self.capture()
        return None if capture is None else self.method(capture, *self.first, *args)

    def __reduce__(self) -> tuple:
        return _Hook, ()


def _remove(handles: list) -> None:
    for handle in handles:
        handle.remove()
