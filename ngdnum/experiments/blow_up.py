"""How often a random start meets the blow-up of the flow of (10) in a square network.

The straight line from W(0) to W* meets a singular matrix when W* W(0)⁻¹ has a negative real eigenvalue b, at the time
t* = log((b − 1)/b).
"""

from __future__ import annotations

import os

import numpy as np

from .measurements import Measurements, Row, measure_rows

WIDTHS = (1, 2, 3, 5, 10, 20)
DEPTHS = (1, 2, 4)  # with more layers, products are too near to singular for float64
STARTS = 1_000
REAL = 1e-9  # imaginary parts below this share of the modulus are rounding


def blow_up_time(start: np.ndarray, target: np.ndarray) -> float:
    """The first time at which W(t) = W* + e^{-t}(W(0) − W*) is singular; infinite if it never is.

    Examples
    --------
    >>> round(blow_up_time(np.eye(1), -np.eye(1)), 4)
    0.6931
    >>> blow_up_time(np.eye(2), 3 * np.eye(2))
    inf
    """
    b = np.linalg.eigvals(target @ np.linalg.inv(start))
    negative = b.real[(abs(b.imag) <= REAL * abs(b)) & (b.real < 0)]
    return float(np.log((negative - 1) / negative).min()) if len(negative) else float("inf")


def count_blow_ups(
    *,
    widths: tuple[int, ...] = WIDTHS,
    depths: tuple[int, ...] = DEPTHS,
    starts: int = STARTS,
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """`share` of `starts` random starts that meet the blow-up, and the median `time` of those that do.

    W* and W(0) are products of `depth` matrices of independent normal numbers, `width` × `width`.
    """

    def measure(case: Row) -> Row:
        width, depth, seed = (int(str(case[name])) for name in ("width", "depth", "seed"))
        generator = np.random.default_rng([seed, width, depth])
        times = [blow_up_time(*(_product(width, depth, generator) for _ in range(2))) for _ in range(starts)]
        met = [time for time in times if time < np.inf]
        return {"share": len(met) / starts, "time": float(np.median(met)) if met else None}

    cases: list[Row] = [
        {"width": width, "depth": depth, "seed": seed} for width in widths for depth in depths for seed in range(seeds)
    ]
    return measure_rows(
        "blow-up",
        "Random starts that meet a singular matrix",
        cases,
        measure,
        progress=progress,
        output=output,
        resume=resume,
        within=starts,
    )


def _product(width: int, depth: int, generator: np.random.Generator) -> np.ndarray:
    product = generator.standard_normal((width, width))
    for _ in range(depth - 1):
        product = generator.standard_normal((width, width)) @ product / width**0.5
    return product
