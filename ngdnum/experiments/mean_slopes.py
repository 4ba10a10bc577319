"""The exact rule in a network of tanh units, with mean slopes in the places of those of single examples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from ..curvature.factors import kronecker_factors
from ..likelihood import Gaussian
from ..rules import NETWORK_RULES, RULES


def mean_slope_update(
    model: nn.Sequential, x: Tensor, factors: list[tuple[Tensor, Tensor]], G: list[Tensor]
) -> list[Tensor]:
    r"""ΔW_i of the exact rule after the replacement of every slope by its mean.

    With D_i the mean slopes ⟨1 − x_i²⟩ of layer i, D_0 = D_L = 1, the errors D_i^{-1/2} e_i and the activations
    D_i^{-1/2} x_i belong, but for deviations from the mean, to a chain of linear layers D_i^{1/2} W_i D_{i-1}^{1/2}.

    Parameters
    ----------
    model : nn.Sequential
        Linear layers without bias, and tanh between them.
    x : Tensor
        Inputs `[M, n_0]`.
    factors : list of (Tensor, Tensor)
        (Λ̃, Λ) of the layers.
    G : list of Tensor
        Negative gradients of the layers, `[n_i, n_{i-1}]`; the updates are shaped like them.
    """
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    roots, h = [torch.ones_like(x[0])], x
    with torch.no_grad():
        for layer in layers[:-1]:
            h = layer(h).tanh()
            roots.append((1 - h.square()).mean(0).sqrt())
        roots.append(torch.ones_like(layers[-1](h)[0]))
        ends = list(zip(roots[1:], roots))
        rule = NETWORK_RULES["exact"]
        state = rule.factorise(
            [a[:, None] * layer.weight * b for (a, b), layer in zip(ends, layers)],
            [Lambda_tilde / a / a[:, None] for (a, _), (Lambda_tilde, _) in zip(ends, factors)],
            [Lambda / b / b[:, None] for (_, b), (_, Lambda) in zip(ends, factors)],
        )
        updates = rule.apply([g / a[:, None] / b for (a, b), g in zip(ends, G)], state)
        return [u / a[:, None] / b for (a, b), u in zip(ends, updates)]


def gains(model: nn.Sequential, x: Tensor, y: Tensor) -> dict[str, float]:
    r"""What the best step along each direction u gains, as a share of what the natural gradient gains.

    .. math::

        \frac{(g^\top u)^2}{u^\top F u} \Big/ g^\top F^{+} g

    for the quadratic model of the loss ½⟨‖y − f‖²⟩ with the exact Fisher F of the batch. The directions are the
    gradient, Eq. 10 with Moore–Penrose inverses, and the exact rule with mean slopes.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> layers = [nn.Linear(*sizes, bias=False).double() for sizes in ((4, 2), (2, 4))]
    >>> model, (x, y) = nn.Sequential(layers[0], nn.Tanh(), layers[1]), torch.randn(2, 50, 4).double()
    >>> sorted(gains(model, x, y))
    ['Eq. 10', 'exact rule, mean slopes', 'gradient']
    """
    named = dict(model.named_parameters())
    G = [-g for g in torch.autograd.grad(Gaussian()(model(x), y), list(named.values()))]
    factors = list(kronecker_factors(model, Gaussian(), x).values())
    paper = RULES["kronecker"].undamped
    assert paper is not None
    directions: dict[str, list[Any]] = {
        "gradient": G,
        "Eq. 10": [paper.apply(g, paper.factorise(*both), L=len(G)) for g, both in zip(G, factors)],
        "exact rule, mean slopes": mean_slope_update(model, x, factors, G),
    }
    jacobians = jacrev(lambda weights: functional_call(model, weights, (x,)))(named)
    J = torch.cat([j.detach().flatten(2) for j in jacobians.values()], 2)
    F = torch.einsum("mip,miq->pq", J, J) / len(x)
    flat = {name: torch.cat([part.flatten() for part in u]) for name, u in directions.items()}
    g = flat["gradient"]
    most = g @ torch.linalg.pinv(F, rtol=1e-10, hermitian=True) @ g
    return {name: float((g @ u).square() / (u @ F @ u) / most) for name, u in flat.items()}
