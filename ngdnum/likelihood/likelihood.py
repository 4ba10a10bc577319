"""The base of all likelihoods, with the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor

from ..record.row_weights import telling
from .density import log_density, score


class Likelihood(ABC):
    """A likelihood of your own: implement `log_density` and `sample`, scores and Fisher follow from them.

    `fisher_product` and `fisher_root`, if you implement them too, take the place of estimates from sampled scores
    (`density.fisher_product`); `fisher_root` is needed for exact factors (`samples=None`): it
    returns s `[R, M, n]`, Σ_r s_r s_rᵀ the Fisher of each row. One that takes a second argument `part`, a slice, is
    asked for these r only, so that many outputs need no more memory than a few.

    Examples
    --------
    >>> class Poisson(Likelihood):
    ...     def log_density(self, output, target):
    ...         return (target * output - output.exp()).sum(-1)
    ...     def sample(self, output, generator=None):
    ...         return torch.poisson(output.exp(), generator=generator)
    >>> Poisson()(torch.zeros(4, 2), torch.ones(4, 2))
    tensor(2.)

    Rows that do not count, such as padding, have weight 0; a mask will do:

    >>> output, target = torch.zeros(3, 1), torch.tensor([[1.0], [1.0], [torch.nan]])
    >>> Poisson()(output, target, weight=torch.tensor([True, True, False]))
    tensor(1.)
    """

    fisher_root: Callable[..., Tensor]
    outputs_are_numbers: ClassVar[bool] = False
    """Whether outputs have no units, as logits have none: what a relative λ takes errors for (`curvature.units`)."""

    @abstractmethod
    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """log q(y | f) of each example up to a constant, `[M]`, differentiable in `output`."""

    @abstractmethod
    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """One target for each row of `output`, drawn from q(y | f)."""

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """−Σ w log q(y | f) / Σ w, a scalar: a mean over examples, a sum over outputs.

        `NGD` learns the w from it, so that rows of weight 0 enter nothing that it measures, and the others as much as
        they enter the loss. Where you compute the loss yourself, it counts rows alike, but those whose gradient at
        the output is exactly 0 not at all. That is right for masks and for `ignore_index`, not for other weights; and
        it leaves out what a model is certain of (in float32, a Bernoulli output of 17 or more with target 1 is).

        Parameters
        ----------
        output : Tensor
            f, `[M, …, n]`.
        target : Tensor
            y, `[M, …, n]`, or as the likelihood says. Of rows with weight 0, neither target nor output is looked at.
        weight : Tensor, optional
            w ≥ 0, `[M, …]`, or a mask. None: all are 1.

        Raises
        ------
        ValueError
            For shapes that do not fit, impossible targets, negative or infinite weights, and if no row counts.
        """
        weights = self.row_weights(output, target)
        if weight is not None:
            if weight.shape != output.shape[:-1] or weight.is_complex():
                raise ValueError(
                    f"weight must have one real number for each row, shape {tuple(output.shape[:-1])}; got "
                    f"{weight.dtype} of shape {tuple(weight.shape)}"
                )
            weights = weight.to(output) if weights is None else weight.to(weights) * weights
        if weights is None:
            loss, shape = -log_density(self, output, target).mean(), output.shape[:-1]
            return telling(loss, output, 1 / max(1, shape.numel()))
        least, total = torch.stack([weights.min(), weights.sum()]).tolist()
        if not (least >= 0 and 0 < total < torch.inf):
            raise ValueError(
                "weights of rows must be ≥ 0 and finite, and one of them positive; the least is "
                f"{least}, their sum {total}"
            )
        if target.shape[: weights.ndim] != weights.shape:
            raise ValueError(
                f"targets must have one row for each of the output, {tuple(weights.shape)}; got {tuple(target.shape)}"
            )
        counted = weights > 0
        terms = weights[counted] * log_density(self, output[counted], target[counted])
        return telling(-terms.sum() / total, output, weights / total)

    def row_weights(self, output: Tensor, target: Tensor) -> Tensor | None:
        """How much each row counts by its target, `[M, …]`; None if all count alike."""
        return None

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """∂ log q(y | f)/∂f of each example, `[M, n]`, not divided by M."""
        return score(self, output, target)


def check_finite(output: Tensor) -> None:
    """Refuse outputs from which no target can be drawn."""
    if not output.isfinite().all():
        raise ValueError("the model's output is not finite: look for NaN or infinity in the batch and in the weights")


def check_shapes(output: Tensor, target: Tensor) -> None:
    """Refuse targets that are not of the shape of the outputs, or not real."""
    if output.shape != target.shape:
        raise ValueError(
            f"output and target must have the same shape [M, n]; got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    if target.is_complex():
        raise ValueError(f"targets must be real numbers; got {target.dtype}")
