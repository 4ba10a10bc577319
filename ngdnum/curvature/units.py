r"""Units of the damping: of each layer those in which its factors have a mean eigenvalue of 1.

A rule that damps is applied to x̂ = x/√τ and ê = e/√τ̃, with τ the mean square of the inputs of the layer and τ̃ that
of its errors, and with a bias whose input, the constant 1, counts as √10 units, so that it is hardly damped:

.. math::

    \hat\Lambda = S \Lambda S, \quad \hat{\tilde\Lambda} = \tilde\Lambda/\tilde\tau, \quad
    \hat G = \tilde\tau^{-1/2} G S, \quad \Delta W = \tilde\tau^{-1/2} \Delta\hat W S, \quad
    S = \operatorname{diag}(\tau^{-1/2}, \dots, \tau^{-1/2}, \sqrt{10})

so λ is a pure number. Where inputs x become a x, the weight of the first layer W/a, those of the last b W, and targets
b y, the function is b f, and every rule of K-FAC's form takes the step that belongs to that: ΔW/a, b ΔW, and in between
the same ΔW.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

BIAS = 10.0
"""Square of the input of a bias, in units."""


class Units(NamedTuple):
    """The diagonal of S `[…, 1, m]`, and τ̃^{-1/2} `[…, 1, 1]`; 1 where the rule has no such factor."""

    inputs: Tensor
    errors: Tensor

    @classmethod
    def of(cls, factors: Mapping[str, Any], bias: bool) -> Units:
        """Those of `Lambda` and `Lambda_tilde`, if they are among the `factors`; at least one of them is."""
        found = {}
        for name, own in (("Lambda", bias), ("Lambda_tilde", False)):
            if name in factors:
                found[name] = inverse_sizes(factors[name].diagonal(dim1=-2, dim2=-1), own).unsqueeze(-2)
        one = torch.ones_like(next(iter(found.values()))[..., :1])
        return cls(found.get("Lambda", one), found.get("Lambda_tilde", one)[..., :1])

    @property
    def scale(self) -> Tensor:
        """What G is multiplied by, and ΔW: S/√τ̃ `[…, 1, m]`."""
        return self.inputs * self.errors

    def measure(self, quantities: Mapping[str, Any]) -> dict[str, Any]:
        """The `quantities` of a layer in these units."""
        measured, S, e = dict(quantities), self.inputs, self.errors
        for name, size in (("Lambda", S), ("Lambda_tilde", e), ("K", 1 / S), ("K_tilde", 1 / e)):
            if name in measured:
                measured[name] = measured[name] * size * size.mT
        if "G_0" in measured:
            measured["G_0"] = measured["G_0"] * self.scale
        return measured


def inverse_sizes(squares: Tensor, bias: bool) -> Tensor:
    """1/√ of the mean of the last axis in the place of each entry; with a `bias`, of all but the last.

    The last one is 1/√ of a tenth of itself then, see `BIAS`. Nothing has the size 1.

    Examples
    --------
    >>> inverse_sizes(torch.tensor([1.0, 7.0, 40.0]), bias=True)
    tensor([0.5000, 0.5000, 0.5000])
    >>> inverse_sizes(torch.zeros(2), bias=False)
    tensor([1., 1.])
    """
    m = squares.shape[-1] - bias
    means = squares.clone()
    means[..., :m] = squares[..., :m].mean(-1, keepdim=True)
    means[..., m:] /= BIAS
    return torch.where(means > torch.finfo(means.dtype).tiny, means, 1.0).rsqrt()
