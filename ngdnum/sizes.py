"""Products and norms of vectors in the space of weights, and gradients and steps that are refused for their size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .stack import NotFinite, Stack

LARGEST = torch.finfo(torch.float32).max ** 0.5
"""Norm of a gradient, of a layer or another parameter, that is refused: squares overflow in single precision."""
LOOK = "look for NaN or infinity in the batch and in the weights"
UNITS = "look for outliers in the batch, clip the gradient, or give the data in other units"


def product_and_norms(stacks: list[Stack], u: list[Tensor], v: list[Tensor]) -> tuple[float, list[float]]:
    """Σ_i tr u_iᵀ v_i, and the Frobenius norm of u in each member of each stack."""
    matrices: list[Tensor] = []
    for stack, own in zip(stacks, u):
        matrices += stack.split(own) if len(stack.layers) > 1 else (own,)
    found = numbers([*inner(u, v), *torch._foreach_norm(matrices)])
    return sum(found[: len(u)]), found[len(u) :]


def inner(u: list[Tensor], v: list[Tensor]) -> list[Tensor]:
    """tr u_iᵀ v_i `[]` of each i, exact also where matrix products, and `torch.dot`, have "medium" precision.

    Examples
    --------
    >>> inner([torch.eye(2)], [torch.full((2, 2), 3.0)])
    [tensor(6.)]
    """
    if torch.get_float32_matmul_precision() == "medium":
        return [both.sum() for both in torch._foreach_mul(u, v)]
    return [torch.dot(a.flatten(), b.flatten()) for a, b in zip(u, v)]


def numbers(scalars: Sequence[Tensor]) -> list[float]:
    """The values of some tensors `[]`, from their devices in one go."""
    device, moved = scalars[0].device, []
    for scalar in scalars:
        moved.append(scalar if scalar.device == device else scalar.to(device))
    return torch.stack(moved).tolist()


def check_gradients(stacks: list[Stack], gradients: list[Tensor], others: dict[str, nn.Parameter]) -> None:
    """Raise NotFinite, naming layer or parameter, unless the norms of all gradients are below LARGEST."""
    if not sum(numbers(torch._foreach_norm(gradients))) < LARGEST:
        for stack, G in zip(stacks, gradients):
            stack.check_finite("the gradient", G, LOOK)
            for layer, norm in zip(stack.layers, stack.norms(G.double()).tolist()):
                if not norm < LARGEST:
                    raise _too_large(f"layer {layer.name!r}", norm)
    found = [(name, _values(p.grad)) for name, p in others.items() if p.grad is not None] if others else []
    norms = numbers(torch._foreach_norm([values for _, values in found])) if found else []
    for (name, values), norm in zip(found, norms):
        if not norm < LARGEST:
            if not values.isfinite().all():
                raise NotFinite(f"the gradient of {name!r} is not finite, so no weight was changed: {LOOK}")
            if not (exact := float(values.double().norm())) < LARGEST:
                raise _too_large(repr(name), exact)


def check_step(stacks: list[Stack], updates: list[Tensor], lengths: list[float], lr: float, scale: float) -> None:
    """Raise NotFinite, naming the layer, if lr · scale · u is not finite, or leaves no digit of a layer's weights.

    That is if it is more than 1/ε times as long as they are, or as 1 where they are smaller, though lr does not ask for
    it: as lr where that is more than 1. `lengths` are the norms of the `updates` u in each layer of each stack.
    """
    rounding = 0.0
    for u in updates:
        rounding = max(rounding, torch.finfo(u.dtype).eps)
    if abs(lr * scale) * sum(lengths) * rounding < 1:
        return
    for stack, u in zip(stacks, updates):
        stack.check_finite("the new weight", lr * scale * u, "lower lr or raise the damping")
    for stack, u in zip(stacks, updates):
        longest = stack.norms(stack.weight().double()).clamp(min=1) * (max(lr, 1.0) / torch.finfo(u.dtype).eps)
        sizes = abs(lr * scale) * stack.norms(u.double())
        for layer, size, most in zip(stack.layers, sizes.tolist(), longest.tolist()):
            if not size < most:
                raise NotFinite(
                    f"the step of layer {layer.name!r} has length {size:.2g}, which leaves no digit of its weights, so "
                    "no weight was changed: raise the damping, lower lr, or give the data in other units"
                )


def _too_large(what: str, norm: float) -> NotFinite:
    return NotFinite(f"the gradient of {what} has norm {norm:.2g}, so no weight was changed: {UNITS}")


def _values(gradient: Tensor) -> Tensor:
    """The numbers in a gradient that may be sparse."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient
