"""Flows of the weights of a deep linear network under one rule or another, by scipy's `solve_ivp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..rules import NETWORK_RULES, RULES
from .extra import check_installed

Weights = list[Tensor]
"""W_1 … W_L in float64, `[n_i, n_{i-1}]`."""
Rule = Callable[[Weights, "Moments"], Weights]
"""dW_1/dt … dW_L/dt."""
ACCURACY = 1e-8  # of the solver, relative; a hundredth of it absolute
RANK = 1e-10  # eigenvalues of F below this share of the largest count as zero


@dataclass(frozen=True)
class Moments:
    """All that a linear network sees of its data: W* `[n_L, n_0]`, Σ `[n_0, n_0]` and Σ̃ `[n_L, n_L]`."""

    W_star: Tensor
    Sigma: Tensor
    Sigma_tilde: Tensor

    def whiten(self, W: Tensor) -> Tensor:
        """Σ̃^{-1/2} W Σ^{1/2}, in which the Fisher metric on maps is the identity."""
        return root(self.Sigma_tilde, -0.5) @ W @ root(self.Sigma, 0.5)

    def unwhiten(self, V: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return root(self.Sigma_tilde, 0.5) @ V @ root(self.Sigma, -0.5)


def random_moments(n_in: int, n_out: int, generator: torch.Generator) -> Moments:
    """W* with independent normal entries, Σ and Σ̃ with eigenvalues between ½ and 2."""

    def covariance(n: int) -> Tensor:
        basis = torch.linalg.qr(normal(n, n, generator)).Q
        return basis * torch.logspace(-1, 1, n, 2, dtype=torch.float64) @ basis.mT

    return Moments(normal(n_out, n_in, generator), covariance(n_in), covariance(n_out))


def random_weights(sizes: Sequence[int], generator: torch.Generator) -> Weights:
    """W_i with entries from N(0, 1/n_{i-1}).

    Examples
    --------
    >>> [tuple(W.shape) for W in random_weights((4, 2, 3), torch.Generator())]
    [(2, 4), (3, 2)]
    """
    return [normal(n, m, generator) / m**0.5 for m, n in pairwise(sizes)]


def product(weights: Sequence[Tensor]) -> Tensor:
    """W = W_L ⋯ W_1.

    Examples
    --------
    >>> product([2 * torch.eye(2), 3 * torch.eye(2)])
    tensor([[6., 0.],
            [0., 6.]])
    """
    return reduce(lambda before, W: W @ before, weights)


def sides(weights: Weights) -> tuple[Weights, Weights]:
    """(A_1 … A_L), (B_1 … B_L)."""
    one = torch.eye(weights[0].shape[1], dtype=torch.float64), torch.eye(len(weights[-1]), dtype=torch.float64)
    B = [product([one[0], *weights[:i]]) for i in range(len(weights))]
    A = [product([*weights[i + 1 :], one[1]]) for i in range(len(weights))]
    return A, B


def gradient(weights: Weights, moments: Moments) -> Weights:
    """G_i = A_iᵀ Σ̃⁻¹ (W* − W) Σ B_iᵀ: gradient descent."""
    A, B = sides(weights)
    Z = torch.linalg.solve(moments.Sigma_tilde, moments.W_star - product(weights)) @ moments.Sigma
    return [a.mT @ Z @ b.mT for a, b in zip(A, B)]


def factors(weights: Weights, moments: Moments) -> tuple[Weights, Weights]:
    """(Λ̃_1 … Λ̃_L), (Λ_0 … Λ_{L-1}) with Λ̃_i = A_iᵀ Σ̃⁻¹ A_i and Λ_{i-1} = B_i Σ B_iᵀ."""
    A, B = sides(weights)
    return [a.mT @ torch.linalg.solve(moments.Sigma_tilde, a) for a in A], [b @ moments.Sigma @ b.mT for b in B]


def paper_rule(weights: Weights, moments: Moments) -> Weights:
    """(10), with Moore–Penrose inverses where factors are singular."""
    rule = RULES["kronecker"].undamped
    assert rule is not None
    parts = zip(gradient(weights, moments), *factors(weights, moments))
    return [rule.apply(G, rule.factorise(*both), L=len(weights)) for G, *both in parts]


def exact_rule(weights: Weights, moments: Moments) -> Weights:
    """The exact rule, for layers of any widths."""
    rule = NETWORK_RULES["exact"]
    return rule.apply(gradient(weights, moments), rule.factorise(weights, *factors(weights, moments)))


def smallest_speed(weights: Weights, moments: Moments) -> Weights:
    """F⁺ g, the slowest weights of all that move W by the natural gradient."""
    F, g = _fisher(weights, moments)
    return _parted(torch.linalg.pinv(F, rtol=RANK, hermitian=True) @ g, weights)


def some_inverse(seed: int) -> Rule:
    """X g for a generalized inverse X = F⁺ + (I − F⁺F) R, with R random but the same for all weights."""

    def rule(weights: Weights, moments: Moments) -> Weights:
        F, g = _fisher(weights, moments)
        inverse = torch.linalg.pinv(F, rtol=RANK, hermitian=True)
        R = normal(len(g), len(g), torch.Generator().manual_seed(seed)) / len(g)
        beside = R @ g
        return _parted(inverse @ g + beside - inverse @ (F @ beside), weights)

    return rule


class Path(NamedTuple):
    """`weights` of a network at `times` `[T]`."""

    times: np.ndarray
    weights: list[Weights]

    @property
    def maps(self) -> np.ndarray:
        """W(t), `[T, n_L, n_0]`."""
        return torch.stack([product(weights) for weights in self.weights]).numpy()


def follow(
    rule: Rule,
    weights: Weights,
    moments: Moments,
    times: np.ndarray,
    stop: Callable[[Weights], float] | None = None,
) -> Path:
    """The flow dW_i/dt of `rule` from `weights` at the first of `times`.

    With `stop`, it ends where that function of the weights comes to 0, and the last point of the path is there.

    Raises
    ------
    RuntimeError : the solver could not go on; the message is its own.
    ModuleNotFoundError : scipy is not installed.

    Examples
    --------
    >>> one = torch.eye(1, dtype=torch.float64)
    >>> path = follow(gradient, [0 * one], Moments(one, one, one), np.array([0.0, np.log(2)]))
    >>> round(float(path.maps[-1, 0, 0]), 9)
    0.5
    """
    check_installed("scipy", "flows are followed by scipy")
    from scipy.integrate import solve_ivp

    def speed(t: float, state: np.ndarray) -> np.ndarray:
        return _joined(rule(_parted(torch.from_numpy(state), weights), moments)).numpy()

    def event(t: float, state: np.ndarray) -> float:
        return 1.0 if stop is None else stop(_parted(torch.from_numpy(state), weights))

    event.terminal = True  # type: ignore[attr-defined]  # what scipy looks for on a function
    found = solve_ivp(
        speed,
        (times[0], times[-1]),
        _joined(weights).numpy(),
        "DOP853",
        times,
        events=event,
        rtol=ACCURACY,
        atol=ACCURACY / 100,
    )
    if found.status < 0:
        raise RuntimeError(found.message)
    when, states = np.append(found.t, found.t_events[0]), [*found.y.T, *found.y_events[0]]
    return Path(when, [_parted(torch.from_numpy(state), weights) for state in states])


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Independent normal numbers in float64."""
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def root(A: Tensor, power: float) -> Tensor:
    """A^power of a positive definite matrix."""
    values, vectors = torch.linalg.eigh(A)
    return vectors * values**power @ vectors.mT


def _fisher(weights: Weights, moments: Moments) -> tuple[Tensor, Tensor]:
    """F = Jᵀ (Σ ⊗ Σ̃⁻¹) J and g, with the weights flattened by rows."""
    A, B = sides(weights)
    inner, outer = torch.linalg.inv(moments.Sigma_tilde), moments.Sigma
    blocks = [
        torch.cat([torch.kron(a.mT @ inner @ c, b @ outer @ d.mT) for c, d in zip(A, B)], 1) for a, b in zip(A, B)
    ]
    return torch.cat(blocks), _joined(gradient(weights, moments))


def _joined(weights: Weights) -> Tensor:
    return torch.cat([W.flatten() for W in weights])


def _parted(flat: Tensor, shapes: Weights) -> Weights:
    parts = flat.split([W.numel() for W in shapes])
    return [part.view_as(W) for part, W in zip(parts, shapes)]
