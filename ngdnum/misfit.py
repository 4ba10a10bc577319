"""Signs in the gradient of a loss that it is not that of the likelihood which the optimizer was told.

With f the output `[M, n]`, p = softmax(f) and some c_m > 0, cross entropy of classes y has the gradient

    ∂loss/∂f_m = c_m (p_m − onehot(y_m)),

and of binary targets c (σ(f) − y) with one c. No other loss has these but by chance; and rows of that of classes, with
soft labels too, have the sum 0.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood

_NEAR = 1e-3


class FirstLook:
    """Warns, at the first step, if the loss cannot be that of `likelihood`; then it is `over`."""

    def __init__(self, likelihood: Likelihood) -> None:
        self._likelihood = likelihood
        self._gradient: Tensor | None = None
        self.over = False

    def at_gradient(self, output: Tensor, gradient: Tensor) -> None:
        """Look at the gradient `[M, n]` of the loss in the output of a pass."""
        if self._gradient is None:
            _warn_of_likelihood(self._likelihood, output, gradient)
            self._gradient = gradient

    def at_loss(self, loss: Tensor | float | None, scale: float | None, count: int) -> None:
        """Look at the loss of `count` examples, with the scale of the gradient; it was the last look."""
        gradient = self._gradient
        if gradient is not None and loss is not None and scale and len(gradient) == count:
            _warn_of_scale(self._likelihood, gradient / scale, float(loss))
        self._gradient, self.over = None, True


def _warn_of_likelihood(likelihood: Likelihood, output: Tensor, gradient: Tensor) -> None:
    f, g = output.double(), gradient.double()
    rows = g.any(-1)
    f, g = f[rows], g[rows]
    if g.numel() < 8 or not g.isfinite().all():
        return
    found = None
    if type(likelihood) is Categorical:
        if g.sum(-1).abs().sum() > 0.1 * g.abs().sum():
            found = "not that of a cross entropy of classes", "the likelihood of the loss"
    elif type(likelihood) in (Gaussian, Bernoulli):
        if _of_classes(f, g):
            found = "that of a cross entropy of classes", "Categorical()"
        elif type(likelihood) is Gaussian and _binary(f, g):
            found = "that of a binary cross entropy", "Bernoulli()"
    if found is not None:
        warnings.warn(
            f"the gradient of the loss at the model's output is {found[0]}, but NGD was told {likelihood!r}, whose "
            f"Fisher is another: pass {found[1]} to NGD",
            stacklevel=3,
        )


def _warn_of_scale(likelihood: Likelihood, gradient: Tensor, loss: float) -> None:
    """`nn.MSELoss` is 2/n times the loss of a Gaussian with Σ̃ = I."""
    count, n = gradient.shape
    if type(likelihood) is not Gaussian or likelihood.covariance.ndim or not loss > 0:
        return
    variance = float(likelihood.covariance)
    precision = float(gradient.double().square().sum()) * count / (2 * loss)
    if abs(precision * n / 2 - 1) < _NEAR < abs(precision * variance - 1):
        warnings.warn(
            f"the loss is nn.MSELoss, which averages over the n = {n} outputs: to be −log q of {likelihood!r}, it must "
            f"be multiplied by n/2 · 1/variance = {n / 2 / variance:g}; or use the likelihood as the loss",
            stacklevel=3,
        )


def _of_classes(f: Tensor, g: Tensor) -> bool:
    least, y = g.min(-1, keepdim=True)
    q = f.softmax(-1) - torch.zeros_like(f).scatter(-1, y, 1.0)
    c = least / q.gather(-1, y)
    return f.shape[-1] > 1 and bool(((g - c * q).abs() <= _NEAR * g.abs().amax(-1, keepdim=True)).all())


def _binary(f: Tensor, g: Tensor) -> bool:
    c = g / (f.sigmoid() - (g < 0).to(f))
    return bool(c.max() < (1 + _NEAR) * c.min())
