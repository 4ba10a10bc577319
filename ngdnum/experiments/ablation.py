"""The paper's algorithm with one part changed at a time, on Figure 1 A–C.

Everything starts from (20) with K = 1, M = 1,000 and λ = 0.01 at first, adapted by (21), and α = 1. The same seed means
the same teacher, starting weights and order of examples in every variant.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import NGD, ConjugateGradient, Decay, ExactLineSearch, Factors, Fixed, Inverse, LevenbergMarquardt
from ..results import Curve
from .entry import Entry
from .linear import FIG1A, FIG1B, FIG1C
from .measurements import Measurements, Row, measure_rows
from .method import method, natural
from .training import Budget, Run

FIGURES = {"A": FIG1A, "B": FIG1B, "C": FIG1C}
SAMPLES = 80_000
POINTS = 80
NEAR = 1.5  # multiples of the floor
LAM = 1e-2  # of the first step


@dataclass(frozen=True)
class Variant:
    """A part of the algorithm, and the `options` of `NGD` and the batch size M that stand for another choice of it."""

    part: str
    options: Mapping[str, Any] = field(default_factory=dict)
    M: int = 1_000


VARIANTS: dict[str, Variant] = {
    "as in the paper": Variant("–"),
    "K = 4": Variant("K", {"samples": 4}),
    "K = 16": Variant("K", {"samples": 16}),
    "M = 200": Variant("M", M=200),
    "M = 500": Variant("M", M=500),
    "M = 2000": Variant("M", M=2_000),
    "decay 0.5": Variant("running means", {"factors": Factors(decay=0.5)}),
    "decay 0.9": Variant("running means", {"factors": Factors(decay=0.9)}),
    "every 2nd step": Variant("refresh", {"inverse": Inverse(every=2)}),
    "every 5th step": Variant("refresh", {"inverse": Inverse(every=5)}),
    "λ = 1 at first": Variant("damping", {"damping": LevenbergMarquardt(1.0)}),
    "λ = 1e-6 at first": Variant("damping", {"damping": LevenbergMarquardt(1e-6)}),
    "ω = 4": Variant("damping", {"damping": LevenbergMarquardt(LAM, factor=4.0)}),
    "ω = 4, bad steps undone": Variant("damping", {"damping": LevenbergMarquardt(LAM, factor=4.0, reject=True)}),
    "λ = 1e-2 for ever": Variant("damping", {"damping": Fixed(LAM)}),
    "λ = 1e-6 for ever": Variant("damping", {"damping": Fixed(1e-6)}),
    "λ falls like exp(-t/3)": Variant("damping", {"damping": Decay(LAM, steps=3.0, floor=1e-16)}),
    "π": Variant("split of the damping", {"rule": "pi_damped"}),
    "best length": Variant("step control", {"control": ExactLineSearch(momentum=False)}),
    "best length, momentum": Variant("step control", {"control": ExactLineSearch()}),
    "3 steps of CG": Variant("step control", {"control": ConjugateGradient(steps=3)}),
    "all that helps": Variant(
        "together",
        {
            "rule": "pi_damped",
            "damping": LevenbergMarquardt(LAM, factor=4.0, reject=True),
            "control": ExactLineSearch(),
            "factors": Factors(decay=0.5),
        },
        M=200,
    ),
}


def ablate(
    *,
    figures: tuple[str, ...] = tuple(FIGURES),
    variants: tuple[str, ...] = tuple(VARIANTS),
    samples: int = SAMPLES,
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """Train every variant on every figure, from `seeds` seeds, for `samples` training examples.

    A row holds `samples`, after which the test error is within 1.5 times the floor (None: never), `end`, the last test
    error in multiples of the floor (None: diverged), and `worst`, the largest one on the way over that at the start.
    """
    cases: list[Row] = [
        {"figure": figure, "part": VARIANTS[name].part, "variant": name, "seed": seed}
        for figure in figures
        for name in variants
        for seed in range(seeds)
    ]

    def measure(case: Row) -> Row:
        return _measure(str(case["figure"]), VARIANTS[str(case["variant"])], int(str(case["seed"])), samples)

    return measure_rows(
        "ablation",
        "One part changed at a time",
        cases,
        measure,
        progress=progress,
        output=output,
        resume=resume,
        within=samples,
    )


def _measure(figure: str, variant: Variant, seed: int, samples: int) -> Row:
    problem = FIGURES[figure].problem(seed, None)
    options = {"damping": LevenbergMarquardt(LAM), **variant.options}
    trained = method("NGD", natural(NGD.paper, **options), (1.0,), (variant.M,), True)
    settings = trained.grid[0]
    entry = Entry(Run(problem, trained, settings, seed), Budget(samples=samples), 1.0, Curve("NGD", settings))
    for point in range(POINTS + 1):
        entry.advance(point / POINTS)
    errors = entry.curve.test_error
    assert problem.floor is not None
    return {
        "samples": entry.curve.samples_to(NEAR * problem.floor),
        "end": None if entry.run.diverged else errors[-1] / problem.floor,
        "worst": max(errors) / errors[0],
    }
