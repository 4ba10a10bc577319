"""Which layers of a model NGD preconditions, and which parameters are left."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import UninitializedParameter

from .convolution import Convolution
from .layer import Layer, join_names
from .linear import Linear

TYPES: tuple[type[Layer], ...] = (Linear, Convolution)
"""All types of layers."""


def trainable_layers(model: nn.Module) -> tuple[list[Layer], dict[str, nn.Parameter]]:
    """The layers NGD preconditions, and by name the other trainable parameters.

    The others are those of other modules, of modules with a `forward` of their own, even if their class is derived
    from that of a layer, of layers whose weight is frozen or shared with another module, and of layers within
    `nn.MultiheadAttention`, which uses their weights without calling them, and of layers without inputs or outputs.

    Raises
    ------
    ValueError
        If there is no layer to precondition, or if a lazy module does not know its shape yet.
    """
    owners: dict[nn.Parameter, list[str]] = {}
    skipped: set[nn.Module] = set()
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            skipped.update(module.modules())
        for kind, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(f"{join_names(path, kind)} has no shape yet: call the model once, then build NGD")
            if parameter.requires_grad:
                owners.setdefault(parameter, []).append(join_names(path, kind))
    own = {parameter for parameter, names in owners.items() if len(names) == 1}
    layers = []
    for path, module in model.named_modules():
        kind = next((kind for kind in TYPES if kind.takes(module)), None)
        if kind and module not in skipped and module.weight in own and module.weight.numel():
            layers.append(kind(path, module, module.weight, module.bias if module.bias in own else None))
    if not layers:
        raise ValueError(f"the model has no trainable {labels('or')} layer for NGD to precondition" + _why(model))
    ours = {parameter for layer in layers for parameter in layer.parameters}
    others = {" = ".join(names): p for p, names in owners.items() if p not in ours}
    return layers, others


def labels(word: str) -> str:
    """The types of layers, with `word` between them."""
    return f" {word} ".join(kind.label for kind in TYPES)


def uncompiled(model: nn.Module) -> nn.Module:
    """The module itself, where `model` is what `torch.compile` made of it."""
    return getattr(model, "_orig_mod", model)


def _why(model: nn.Module) -> str:
    """The modules that look like layers, but have a `forward` of their own."""
    odd = [
        f"{path or 'the model'} ({type(module).__name__})"
        for path, module in model.named_modules()
        if any(kind.resembles(module) and not kind.takes(module) for kind in TYPES)
    ]
    if odd:
        return f"; what these compute is not torch's own forward: {', '.join(odd)}"
    quantised = [
        path or "the model" for path, module in model.named_modules() if "quantized" in type(module).__module__
    ]
    return f"; quantised weights cannot be trained: {', '.join(quantised)}" if quantised else ""
