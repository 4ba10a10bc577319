"""What follows from a log density and a way to sample: scores, and the Fisher of the outputs.

The Fisher of an output f is the covariance of its score s = ∂ log q(y | f)/∂f over targets y drawn from q(· | f),

    F = ⟨s sᵀ⟩ ≈ (1/K) Σ_k s_k s_kᵀ,

an estimate without bias, whatever q is. The expected Hessian of −log q is F as well where log q has two derivatives
in f, and free of sampling noise where it does not depend on y; but of |y − f|, for one, it is 0, and F is not.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Generator, Tensor

SAMPLES = 1024
"""Targets drawn for one product with an estimated Fisher, of all rows together, at least."""


class Density(Protocol):
    """The two methods of which everything else can be derived."""

    def log_density(self, output: Tensor, target: Tensor) -> Tensor: ...

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor: ...


def check_likelihood(likelihood: object) -> None:
    """Refuse what cannot serve as a likelihood, with the list of what can."""
    if isinstance(likelihood, type) or not all(
        callable(getattr(likelihood, name, None)) for name in ("log_density", "sample")
    ):
        raise TypeError(
            f"unknown likelihood {likelihood!r}: use Gaussian(), Categorical(), Bernoulli(), or an object with "
            "the methods log_density(output, target) and sample(output, generator)"
        )


def log_density(likelihood: Density, output: Tensor, target: Tensor) -> Tensor:
    """log q(y | f) of each example, `[M]`.

    Raises
    ------
    ValueError
        If there is not one value for each example, or `output` is not real.
    """
    if not output.is_floating_point():
        raise ValueError(f"outputs must be real floating-point numbers; got {output.dtype}")
    found = likelihood.log_density(output, target)
    if found.shape != output.shape[:-1]:
        raise ValueError(
            f"log_density of {type(likelihood).__name__} must return one value per example, shape "
            f"{tuple(output.shape[:-1])}; it returned shape {tuple(found.shape)}: sum over outputs, not over examples"
        )
    return found


def score(likelihood: Density, output: Tensor, target: Tensor) -> Tensor:
    """∂ log q(y | f)/∂f of each example by autograd, `[M, n]`, for anything that has a `log_density`."""
    with torch.enable_grad():
        output = output.detach().requires_grad_()
        return torch.autograd.grad(log_density(likelihood, output, target).sum(), output)[0]


def sampled_score(likelihood: Density, output: Tensor, samples: int, generator: Generator | None) -> Tensor:
    """Scores of `samples` targets per example drawn from the model, `[K, M, n]`, of `output` `[M, n]`.

    A likelihood without `sampled_score` is asked once, for all K·M targets of the rows of `output` repeated.
    """
    short = getattr(likelihood, "sampled_score", None)
    if short:
        return torch.stack([short(output, generator) for _ in range(samples)])
    rows = output.repeat(samples, 1)
    target = likelihood.sample(rows, generator)
    own = getattr(likelihood, "score", None)
    return (own(rows, target) if own else score(likelihood, rows, target)).unflatten(0, (samples, len(output)))


def fisher_product(likelihood: Density, output: Tensor, change: Tensor) -> Tensor:
    """F c for each row c of `change` `[M, n]`, with F the Fisher of that example's output.

    Σ cᵀF c over the rows is twice the Kullback–Leibler divergence that the change causes, to second order. A
    likelihood without `fisher_product` and `fisher_root` has F estimated from sampled scores, at least `SAMPLES` of all
    rows together: Σ cᵀF c is then right to about 5 %. The random numbers depend on the output only, so that the same
    output has the same F, symmetric and without negative eigenvalues, in every product of a step.
    """
    own = getattr(likelihood, "fisher_product", None)
    if own:
        return own(output, change)
    root = getattr(likelihood, "fisher_root", None)
    s = root(output) if root else _estimated_root(likelihood, output)
    return (s * (s * change).sum(-1, keepdim=True)).sum(0)


def _estimated_root(likelihood: Density, output: Tensor) -> Tensor:
    """Scores s_k/√K `[K, M, n]`, a square root of the estimated Fisher."""
    samples = math.ceil(SAMPLES / len(output))
    generator = Generator(output.device).manual_seed(hash(float(output.double().sum())) % 2**63)
    return sampled_score(likelihood, output, samples, generator) / samples**0.5
