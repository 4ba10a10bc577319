"""The two Kronecker factors of a layer (Eq. 14, 15).

    Λ̃ = ⟨e eᵀ⟩ over the model's own targets,   Λ = ⟨x xᵀ⟩

e = ∂ log q(y | f)/∂(output of the layer) of one example, y drawn from the model and never from the training
set; x its input, with a 1 appended if the layer has a bias. With K samples per example

    Λ̃ = (1/KM) Σ_k Σ_m e_km e_kmᵀ,

whose expectation depends neither on K nor on M. Without sampling, Λ̃ = (1/M) Σ_m Σ_r e_mr e_mrᵀ with the
errors of the R directions of `Likelihood.fisher_root`: its value for K → ∞.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from .batch import Matrices
from .capture import Capture, Layer, Record, trainable_layers
from .likelihood import Likelihood, check_likelihood, sampled_score
from .schedule import check_every

_CHUNK = 2**22
"""Errors back-propagated in one go, in numbers per layer of average width."""


def kronecker_factors(
    model: nn.Module,
    likelihood: Likelihood,
    x: Tensor,
    samples: int | None = None,
    generator: Generator | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Kronecker factors (Λ̃, Λ) of every trainable linear layer at the batch `x` `[M, n_0]`.

    Λ̃ = ⟨e eᵀ⟩ and Λ = ⟨x xᵀ⟩ of Eq. 14 and 15, averaged over the batch.

    Parameters
    ----------
    model : nn.Module
        Its output on `x` must be `[M, n_L]`.
    likelihood : Likelihood
        q(y | f) of the targets given the output.
    x : Tensor
        Inputs, `[M, ...]`.
    samples : int or None, default None
        Targets per example drawn from the model; None computes the expectation exactly.
    generator : torch.Generator, optional
        Source of the sampled targets.

    Returns
    -------
    dict
        `{layer name: (Λ̃ [n, n], Λ [m, m])}`; Λ has the bias coordinate last.

    Examples
    --------
    >>> from ngdnum import Gaussian
    >>> net = nn.Linear(2, 1).double()
    >>> x = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    >>> kronecker_factors(net, Gaussian(covariance=0.25), x)
    {'': (tensor([[4.]], dtype=torch.float64), tensor([[5., 0., 2.],
            [0., 0., 0.],
            [2., 0., 1.]], dtype=torch.float64))}
    """
    check_likelihood(likelihood)
    check_samples(samples, likelihood)
    layers = trainable_layers(model)
    capture = Capture(model, layers)
    try:
        with torch.enable_grad():
            output = model(x)
    finally:
        capture.remove()
    record = capture.record
    lambda_tilde = error_factors(record, likelihood, output.detach(), samples, generator, layers)
    lambda_ = input_factors(record, layers)
    return {layers[k].name: (lambda_tilde[k], lambda_[k]) for k in lambda_tilde}


@dataclass(frozen=True)
class Factors:
    """When the factors are measured, and how far back they reach.

    Parameters
    ----------
    every : int, default 1
        Steps between two measurements of Λ and Λ̃. Only these steps back-propagate sampled targets.
    decay : float, default 0.0
        Decay of the running mean of the factors, with bias correction: min(1 − 1/k, decay) at measurement k.

    Factors are also measured at steps 1, 2, 4, 8, …, when they still rest on few examples.
    """

    every: int = 1
    decay: float = 0.0

    def __post_init__(self) -> None:
        check_every(self.every)
        decay = self.decay
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ValueError(f"decay must be a number in [0, 1); got {decay!r}")


def running_mean(mean: Matrices, fresh: Matrices, k: int, decay: float) -> Matrices:
    """The running mean after measurement k = 1, 2, … of factors; `mean` is left as it is."""
    weight = 1 - min(1 - 1 / k, decay)
    return {
        quantity: {
            **mean.get(quantity, {}),
            **{
                k: mean[quantity][k].lerp(matrix, weight) if k in mean.get(quantity, {}) else matrix
                for k, matrix in matrices.items()
            },
        }
        for quantity, matrices in fresh.items()
    }


def input_factors(record: Record, layers: list[Layer]) -> dict[int, Tensor]:
    """Λ = (1/M) Σ x xᵀ of each recorded layer, `[m, m]`."""
    return {k: second_moment(x, homogeneous=layers[k].bias is not None) for k, x in record.inputs.items()}


def error_factors(
    record: Record,
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: Generator | None,
    layers: list[Layer],
) -> dict[int, Tensor]:
    """Λ̃ of each recorded layer, `[n, n]`, from `samples` targets per example or exactly (None)."""
    count = len(output) * (samples or 1)
    total: dict[int, Tensor] = {}
    for directions in _directions(likelihood, output, samples, generator, layers):
        for k, e in record.errors(directions).items():
            total[k] = torch.mm(e.mT, e) if k not in total else total[k].addmm_(e.mT, e)
    return {k: moment.div_(count) for k, moment in total.items()}


def second_moment(x: Tensor, homogeneous: bool) -> Tensor:
    """(1/M) Σ x xᵀ, or (1/M) Σ [x; 1][x; 1]ᵀ, of the rows of `x` `[M, m]`."""
    count, m = x.shape
    if not homogeneous:
        return torch.mm(x.mT, x).div_(count)
    moment = x.new_empty(m + 1, m + 1)
    moment[:m, :m] = torch.mm(x.mT, x)
    moment[m, :m] = moment[:m, m] = x.sum(0)
    moment[m, m] = count
    return moment.div_(count)


def check_samples(samples: int | None, likelihood: Likelihood) -> None:
    """Refuse anything but a positive number of samples, or None where the likelihood allows it."""
    if samples is None:
        if not callable(getattr(likelihood, "fisher_root", None)):
            raise ValueError(
                f"{type(likelihood).__name__} has no fisher_root, which exact factors (samples=None) need: "
                "implement it, or use samples=1"
            )
    elif isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a positive integer, or None for exact factors; got {samples!r}")


def _directions(
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: Generator | None,
    layers: list[Layer],
) -> Iterator[Tensor]:
    """Vectors `[R, M, n_L]` to back-propagate, in chunks that bound the memory this takes."""
    width = max(layer.weight.shape[0] for layer in layers)
    chunk = max(1, _CHUNK // (len(output) * width))
    if samples is None:
        yield from likelihood.fisher_root(output).split(chunk)
        return
    for done in range(0, samples, chunk):
        yield sampled_score(likelihood, output, min(chunk, samples - done), generator)
