"""Figure 1 with the settings of the authors' public code, where these depart from the paper's text.

Read from github.com/hennequin-lab/bernacchia-nips-2018 at commit 77cf142; none of that code was used or run. It works
in single precision, here A–C are in double.

Its SGD divides the gradient by the batch size twice, once in the loss and once in the step, so that a rate α there is
α/20 of the mean loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import NGD
from ..damping import LevenbergMarquardt
from ..data import Examples, Problem, digits, input_deviations, linear_teacher
from ..likelihood import Likelihood
from ..results import Settings
from ..rules import Rule
from .autoencoder import HIDDEN, autoencoder
from .linear import FIG1A, FIG1B, FIG1C
from .method import Method, method, sgd
from .task import Experiment
from .training import Budget

LEAST = 1e-30  # λ, so that it never reaches the 0 that stands for the undamped rule
RANK = 1e-12  # eigenvalues below this part of the largest lie outside the span of the batch
SGD_BATCH = 20
PASSES = 40
LINEAR_TRAIN = 10_000
DIGITS_TRAIN = 4_000
DIGITS_PASSES = {"SGD": 80, "NGD.paper": 20}


def normalised_deviations(n: int) -> Tensor:
    """Roots of the eigenvalues of Σ in the code: 10⁻³ + e^{-5i/n} for i = 0 … n − 1, divided by their mean.

    Examples
    --------
    >>> round(float(normalised_deviations(20).square().mean()), 12)
    1.0
    """
    raw = 1e-3 + math.exp(5 / n) * input_deviations(n).square()
    return (raw / raw.mean()).sqrt()


@dataclass(frozen=True)
class CodeDamping(LevenbergMarquardt):
    """(21) with the ρ of the code, which divides by the change (−α/L + α²/(2L²)) Σ tr N_iᵀG_i at α = 1.

    N_i = L ΔW_i is the step before the factor 1/L.  The text's prediction is (−α + α²/2) Σ tr ΔW_iᵀG_i, so that
    ρ_code = ρ (1 − α/2)/(1 − α/(2L)).

    Examples
    --------
    >>> damping = CodeDamping(1e-2, depth=16)
    >>> damping.next(1e-2, rho=1.0), LevenbergMarquardt(1e-2).next(1e-2, rho=1.0)
    (0.01, 0.006666...)
    """

    depth: int = 1

    def next(self, lam: float, rho: float | None, residual: float = 1.0) -> float:
        """λ of the next step, given the text's ρ of this one."""
        return super().next(lam, None if rho is None else rho * code_ratio(self.depth), residual)


def code_ratio(depth: int) -> float:
    """ρ of the code over ρ of the text, for α = 1 and L = `depth`: 1 for one layer, towards ½ for many.

    Examples
    --------
    >>> code_ratio(1), round(code_ratio(16), 3)
    (1.0, 0.516)
    """
    return 0.5 / (1 - 1 / (2 * depth))


def inverse_in_span(factor: Tensor, lam: float) -> Tensor:
    """(Λ + √λ I)⁻¹ on the range of Λ, 0 outside; Λ is `[..., n, n]`."""
    values, vectors = torch.linalg.eigh(factor)
    inside = values > RANK * values[..., -1:]
    inverse = torch.where(inside, 1 / (values.clamp(min=0) + lam**0.5), 0.0)
    return vectors * inverse[..., None, :] @ vectors.mT


def _factorise(Lambda_tilde: Tensor, Lambda: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    return inverse_in_span(Lambda_tilde, lam), inverse_in_span(Lambda, lam)


def _apply(G: Tensor, state: tuple[Tensor, Tensor], L: int) -> Tensor:
    return state[0] @ G @ state[1] / L


IN_SPAN = Rule("in_span", _factorise, _apply, undamped=None)


def code_ngd(model: nn.Module, likelihood: Likelihood, settings: Settings, seed: int) -> NGD:
    """(20) with each choice of the settings: `rho` "code" or "text", `inverse` "span" or "whole"."""
    lam, depth = float(settings["damping"]), sum(isinstance(layer, nn.Linear) for layer in model.modules())
    options: dict[str, Any] = {"rule": IN_SPAN} if settings["inverse"] == "span" else {}
    damping = (
        CodeDamping(lam, floor=LEAST, depth=depth)
        if settings["rho"] == "code"
        else LevenbergMarquardt(lam, floor=LEAST)
    )
    optimizer = NGD.paper(model, likelihood, damping=damping, **options)
    optimizer.generator.manual_seed(seed)
    return optimizer


def _methods(rates: tuple[float, ...], damping: float, share: float = 1.0) -> tuple[Method, ...]:
    effective = tuple(rate / SGD_BATCH for rate in rates)
    return (
        method("SGD", sgd, effective, (SGD_BATCH,), batches=("anew",)),
        method(
            "NGD.paper",
            code_ngd,
            (1.0,),
            (1_000,),
            True,
            share,
            damping=(damping,),
            rho=("code",),
            inverse=("span",),
            batches=("anew",),
        ),
    )


def _linear(figure: Experiment, sizes: tuple[int, ...]) -> Experiment:
    def problem(seed: int, data: Path | None) -> Problem:
        if data is not None:
            raise ValueError(f"{figure.name} draws its own data; leave the data folder out")
        return linear_teacher(sizes, seed, train=LINEAR_TRAIN, deviations=normalised_deviations(sizes[0]), bias=True)

    return Experiment(
        figure.name,
        f"{figure.title}, authors' settings",
        problem,
        _methods((0.02, 0.04, 0.06, 0.08), 1e-2),
        budget=Budget(samples=PASSES * LINEAR_TRAIN),
        settings="authors",
    )


def standardised_digits(seed: int, data: Path | None) -> Problem:
    """Images less the mean of each pixel, over one standard deviation, both of the training images.

    The mean squared error is then the fraction of variance left.
    """
    train, validation, test, source = digits(data)
    mean = train.mean(0)
    deviation = (train - mean).square().mean().sqrt()
    sets = [Examples(x, x) for x in ((part - mean) / deviation for part in (train, validation, test))]
    model = autoencoder((train.shape[1], *HIDDEN, train.shape[1]), torch.Generator().manual_seed(seed))
    return Problem(sets[0], sets[1], sets[2], model, None, {**source, "pixels": "mean 0, variance 1 over all"})


AUTHORS: dict[str, Experiment] = {
    e.name: e
    for e in (
        _linear(FIG1A, (20,) * 17),
        _linear(FIG1B, (*range(20, 100, 10), *range(100, 10, -10))),
        _linear(FIG1C, (200, 80, 34, 20, 10, 5, 2, 5, 10, 20, 34, 80, 200)),
        Experiment(
            "fig1d",
            "Figure 1D: autoencoder of handwritten digits, authors' settings",
            standardised_digits,
            _methods((0.04, 0.06, 0.08), 1.0, DIGITS_PASSES["NGD.paper"] / DIGITS_PASSES["SGD"]),
            budget=Budget(samples=DIGITS_PASSES["SGD"] * DIGITS_TRAIN),
            settings="authors",
        ),
    )
}
