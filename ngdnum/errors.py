"""How wrong a model is on examples: numbers that a curve shows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AT_ONCE = 2_000  # examples

Error = Callable[[nn.Module, Tensor, Tensor], float]  # of a model, inputs `[N, …]` and targets `[N, …]`


def mean_squared_error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Squared error per example and output."""
    return _total(lambda f, y: F.mse_loss(f, y, reduction="sum"), model, x, y) / y.numel()


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean of −log p_y in nats, p = softmax of the outputs `[N, …, n]`, y class numbers `[N, …]`."""
    return _total(lambda f, y: F.cross_entropy(f.flatten(0, -2), y.flatten(), reduction="sum"), model, x, y) / y.numel()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of class numbers `[N, …]` that belong to the largest output.

    Examples
    --------
    >>> accuracy(nn.Identity(), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 1]))
    0.5
    """
    return _total(lambda f, y: (f.argmax(-1) == y).sum(), model, x, y) / y.numel()


def _total(of: Callable[[Tensor, Tensor], Tensor], model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The sum over all examples of what `of(outputs, targets)` sums, with norms and dropout as for predictions."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return sum(of(model(inputs), targets).item() for inputs, targets in zip(x.split(AT_ONCE), y.split(AT_ONCE)))
    finally:
        model.train(training)
