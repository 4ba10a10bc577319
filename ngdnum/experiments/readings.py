"""Each difference between the paper's text and its authors' code, one at a time, on Figure 1 A and C.

Everything starts from the text, with λ = 0.01 at the first step as in the code, since the text names none.
The same seed means the same teacher, the same starting weights and the same normal numbers in every reading.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..data import Problem, linear_teacher
from ..results import Curve
from .authors import code_ngd, normalised_deviations
from .entry import Entry
from .measurements import Measurements, Row, measure_rows
from .method import method
from .training import Budget, Run

SIZES = {"A": (20,) * 17, "C": (200, 80, 34, 20, 10, 5, 2, 5, 10, 20, 34, 80, 200)}
BUDGET = Budget(samples=80_000)
POINTS = 80
NEAR = 1.5  # multiples of the floor


@dataclass(frozen=True)
class Reading:
    """One way to read the paper; by default that of its text."""

    biases: bool = False
    normalised: bool = False
    batches: str = "passes"
    rho: str = "text"
    inverse: str = "whole"

    def problem(self, figure: str, seed: int) -> Problem:
        """Figure 1A or C."""
        sizes = SIZES[figure]
        deviations = normalised_deviations(sizes[0]) if self.normalised else None
        return linear_teacher(sizes, seed, deviations=deviations, bias=self.biases)


READINGS: dict[str, Reading] = {
    "text": Reading(),
    "biases": Reading(biases=True),
    "normalised inputs": Reading(normalised=True),
    "batches anew": Reading(batches="anew"),
    "ρ with α/L": Reading(rho="code"),
    "inverse in the span": Reading(inverse="span"),
    "code": Reading(True, True, "anew", "code", "span"),
}


def compare_readings(
    *,
    figures: tuple[str, ...] = ("A", "C"),
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """Train by (20) under each of `READINGS`, from `seeds` seeds.

    A row holds `samples`, after which the test error is within 1.5 times the floor (None: never within 80,000), `end`,
    the last test error in multiples of the floor (None: diverged), and `lam`, the last λ.
    """
    cases: list[Row] = [
        {"figure": figure, "reading": reading, "seed": seed}
        for figure in figures
        for reading in READINGS
        for seed in range(seeds)
    ]
    return measure_rows(
        "readings", "The paper's text and its code", cases, _measure, progress=progress, output=output, resume=resume
    )


def _measure(case: Row) -> Row:
    reading, seed = READINGS[str(case["reading"])], int(str(case["seed"]))
    problem = reading.problem(str(case["figure"]), seed)
    ngd = method(
        "NGD",
        code_ngd,
        (1.0,),
        (1_000,),
        True,
        damping=(1e-2,),
        rho=(reading.rho,),
        inverse=(reading.inverse,),
        batches=(reading.batches,),
    )
    entry = Entry(Run(problem, ngd, ngd.grid[0], seed), BUDGET, 1.0, Curve("NGD", ngd.grid[0]))
    for point in range(1, POINTS + 1):
        entry.advance(point / POINTS)
    assert problem.floor is not None
    return {
        "samples": entry.curve.samples_to(NEAR * problem.floor),
        "end": None if entry.run.diverged else entry.curve.test_error[-1] / problem.floor,
        "lam": float(entry.run.optimizer.param_groups[0]["damping"]),
    }
