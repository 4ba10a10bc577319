"""Inverses of factors: digits in single precision, cost, and what sampling does to the inverse of a mean."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ..curvature.factors import kronecker_factors
from ..data import correlated_inputs, input_deviations, linear_network
from ..likelihood import Gaussian
from .measurements import Measurements, Row, measure_rows
from .solvers import SOLVERS, cholesky, factor

WIDTHS, BATCHES = (50, 100, 200, 400), (20, 100, 1_000)
CONDITIONS = tuple(10.0**power for power in range(1, 9))
PER_DIMENSION, DAMPINGS = (2, 3, 5, 10, 30, 100), (0.0, 0.01, 0.1)
TARGETS, EXAMPLES = (1, 4, 16), (50, 200, 800)
DEPTHS = (1, 2, 4, 8, 16)
WIDTH = 20
REPEATS = 3


def relative_error(found: Tensor, right: Tensor) -> float:
    """‖found − right‖/‖right‖ in float64.

    Examples
    --------
    >>> relative_error(torch.tensor([3.0]), torch.tensor([2.0]))
    0.5
    """
    right = right.double()
    return float((found.double() - right).norm() / right.norm())


def error_and_length(Lambda: Tensor, estimate: Tensor) -> tuple[float, float]:
    r"""How the inverse of an estimate Λ̂ differs from Λ⁻¹, in the metric Λ.

    .. math::

        \frac{\|\Lambda^{1/2} \hat\Lambda^{-1} \Lambda^{1/2} - I\|_F}{\sqrt n}, \qquad
        \frac{\operatorname{tr} \Lambda \hat\Lambda^{-1}}{n}

    The second is the length of a step with Λ̂ in place of Λ, in the mean over gradients whose covariance is Λ.

    Examples
    --------
    >>> error_and_length(torch.eye(4), torch.eye(4) / 2)
    (1.0, 2.0)
    """
    L = torch.linalg.cholesky(Lambda)
    ratio = torch.linalg.solve(estimate, L).mT @ L
    one = torch.eye(len(L), dtype=L.dtype)
    return float((ratio - one).norm() / len(L) ** 0.5), float(ratio.trace() / len(L))


def predicted_error_and_length(n: int, M: int) -> tuple[float, float]:
    r"""What to expect without damping from M > n + 3 normal examples, from the moments of the inverse Wishart law.

    .. math::

        \text{length} = \frac{M}{M - n - 1}, \qquad
        \text{error}^2 = \frac{M^2\,(M - 1)}{(M-n)(M-n-1)(M-n-3)} - 2\,\text{length} + 1

    Examples
    --------
    >>> [round(value, 3) for value in predicted_error_and_length(1_000, 10_000)]
    [0.387, 1.111]
    """
    rest = M - n
    length = M / (rest - 1)
    second = M**2 * (M - 1) / (rest * (rest - 1) * (rest - 3))
    return math.sqrt(second - 2 * length + 1), length


def compare_inverses(
    *,
    parts: tuple[str, ...] = (),
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """All `parts`, by default those of `PARTS`: each has cases of its own, and `seeds` draws of each.

    Columns are explained where they are filled: `digits`, `solvers`, `sampled`, `targets`, `depth`.
    """
    cases: list[Row] = [
        {"part": part, **case, "seed": seed}
        for part in parts or PARTS
        for case in PARTS[part][0]
        for seed in range(seeds)
    ]

    def measure(case: Row) -> Row:
        generator = torch.Generator().manual_seed(int(str(case["seed"])))
        return PARTS[str(case["part"])][1](case, generator)

    return measure_rows(
        "inverses", "Inverses of factors", cases, measure, progress=progress, output=output, resume=resume
    )


def digits(case: Row, generator: torch.Generator) -> Row:
    """`digits`: right decimal digits of (Λ + cI)⁻¹b in single precision, None if there is no result.

    Λ has eigenvalues from 1 to 1e-12, and c = 1/condition.
    """
    M, n = 3 * WIDTH, WIDTH
    U, V = (torch.linalg.qr(_normal(m, n, generator)).Q for m in (M, n))
    X = (U * (M * torch.logspace(0, -12, n, dtype=torch.float64)).sqrt() @ V.mT).float()
    b, c = _normal(n, 5, generator).float(), 1 / float(str(case["condition"]))
    right = torch.linalg.solve(factor(X.double(), c), b.double())
    try:
        error = relative_error(SOLVERS[str(case["solver"])](X, c, b), right)
    except torch.linalg.LinAlgError:
        return {"digits": None}
    return {"digits": max(0.0, -math.log10(error)) if math.isfinite(error) else None}


def solvers(case: Row, generator: torch.Generator) -> Row:
    """`error`: relative, in double precision; `cost`: processor time over that of Cholesky's method for the same."""
    n, M = int(str(case["width"])), int(str(case["M"]))
    X, b = _inputs(M, n, generator), _normal(n, 20, generator)
    c = 0.01 * float(X.square().mean())
    solver = SOLVERS[str(case["solver"])]
    seconds = {solve: min(_seconds(lambda: solve(X, c, b)) for _ in range(REPEATS)) for solve in (solver, cholesky)}
    right = torch.linalg.solve(factor(X, c), b)
    return {"error": relative_error(solver(X, c, b), right), "cost": seconds[solver] / seconds[cholesky]}


def sampled(case: Row, generator: torch.Generator) -> Row:
    """`error` and `length` of the inverse of a Λ̂ from M = `per_dimension` × n examples.

    It is damped by the share `damping` of its mean eigenvalue.
    """
    n, M = WIDTH, WIDTH * int(str(case["per_dimension"]))
    deviations = input_deviations(n)
    X = correlated_inputs(M, deviations, torch.eye(n, dtype=torch.float64), generator)
    c = float(str(case["damping"])) * float(deviations.square().mean())
    error, length = error_and_length(deviations.square().diag(), factor(X, c))
    return {"error": error, "length": length}


def targets(case: Row, generator: torch.Generator) -> Row:
    """`error` and `length` of Λ̃⁻¹ in the first of four layers, from K sampled targets for each of M examples."""
    model = linear_network((WIDTH,) * 5, generator)
    x = _inputs(int(str(case["M"])), WIDTH, generator)
    K = int(str(case["K"]))
    exact, _ = next(iter(kronecker_factors(model, Gaussian(), x).values()))
    estimate, _ = next(iter(kronecker_factors(model, Gaussian(), x, K, generator).values()))
    error, length = error_and_length(exact, estimate)
    return {"error": error, "length": length}


def depth(case: Row, generator: torch.Generator) -> Row:
    """`condition` of Λ behind `layers` − 1 layers of 20 units; `digits` of Cholesky's method in single precision."""
    model = linear_network((WIDTH,) * int(str(case["layers"])), generator)
    with torch.no_grad():
        X = model(_inputs(1_000, WIDTH, generator))
    values = torch.linalg.eigvalsh(factor(X, 0.0))
    X, b = X.float(), _normal(WIDTH, 5, generator).float()
    row: Row = {"condition": float(values[-1] / values[0]) if values[0] > 0 else None, "digits": None}
    try:
        error = relative_error(cholesky(X, 0.0, b), torch.linalg.solve(factor(X.double(), 0.0), b.double()))
    except torch.linalg.LinAlgError:
        return row
    return {**row, "digits": max(0.0, -math.log10(error)) if math.isfinite(error) else None}


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def _inputs(M: int, n: int, generator: torch.Generator) -> Tensor:
    """Inputs as in Figure 1 A–C."""
    basis = torch.linalg.qr(_normal(n, n, generator)).Q
    return correlated_inputs(M, input_deviations(n), basis, generator)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


Part = Callable[[Row, torch.Generator], Row]
PARTS: dict[str, tuple[list[Row], Part]] = {
    "digits": (
        [
            {"solver": solver, "condition": condition}
            for solver in SOLVERS
            if solver != "randomised SVD"
            for condition in CONDITIONS
        ],
        digits,
    ),
    "solvers": ([{"solver": s, "width": n, "M": M} for s in SOLVERS for n in WIDTHS for M in BATCHES], solvers),
    "sampled": ([{"per_dimension": m, "damping": c} for m in PER_DIMENSION for c in DAMPINGS], sampled),
    "targets": ([{"K": K, "M": M} for K in TARGETS for M in EXAMPLES], targets),
    "depth": ([{"layers": layers} for layers in DEPTHS], depth),
}
"""Cases, and what is measured in one, for each part."""
