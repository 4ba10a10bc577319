"""Continuous time: flows of the weights, followed by a solver, against the closed forms of what the map W does."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .blow_up import blow_up_time
from .linear_flow import (
    Moments,
    Path,
    Rule,
    Weights,
    exact_rule,
    factors,
    follow,
    gradient,
    normal,
    paper_rule,
    product,
    random_moments,
    random_weights,
    sides,
    smallest_speed,
    some_inverse,
)
from .measurements import Measurements, Row, measure_rows

WIDE, NARROWING, BOTTLENECK, SQUARE = (3, 4, 5, 2), (4, 3, 2), (4, 3, 2, 3, 4), (2, 2, 2)
RULES: dict[str, Rule] = {"Eq. 10": paper_rule, "exact rule": exact_rule, "F⁺": smallest_speed}
TIMES = np.linspace(0, 4, 41)
LATE = np.linspace(0, 30, 61)
SINGULAR = 1e-5  # least over greatest singular value of W at which a flow counts as having met a singular map
SMALL = 1e-3  # singular values of W at the start, for the plateaus
MODES = (4.0, 2.0, 1.0)  # of W*, for the plateaus


def straight(moments: Moments, start: Tensor, times: np.ndarray) -> np.ndarray:
    """(18), integrated: W* + e^{-t} (W(0) − W*), `[T, n_L, n_0]`.

    Examples
    --------
    >>> one = torch.eye(1, dtype=torch.float64)
    >>> straight(Moments(one, one, one), 3 * one, np.array([0.0, np.log(2)])).ravel().tolist()
    [3.0, 2.0]
    """
    end = moments.W_star.numpy()
    return end + np.exp(-times)[:, None, None] * (start.numpy() - end)


def projected(rank: int) -> Rule:
    """P_a Z + Z P_b − P_a Z P_b as a rule for the only layer of a network, with projectors of rank `rank`."""

    def rule(weights: Weights, moments: Moments) -> Weights:
        (W,) = weights
        U, _, Vh = torch.linalg.svd(moments.whiten(W))
        P_a, P_b = U[:, :rank] @ U[:, :rank].mT, Vh[:rank].mT @ Vh[:rank]
        Z = moments.whiten(moments.W_star - W)
        return [moments.unwhiten(P_a @ Z + Z @ P_b - P_a @ Z @ P_b)]

    return rule


def pseudo_inverse_law(weights: Weights, moments: Moments) -> Tensor:
    """(19): dW/dt = −W + (1/L) Σ_i P_i^a W* P_i^b, with pseudo-inverses of the factors."""
    total = torch.zeros_like(moments.W_star)
    for a, b, Lambda_tilde, Lambda in zip(*sides(weights), *factors(weights, moments)):
        left = a @ torch.linalg.pinv(Lambda_tilde) @ torch.linalg.solve(moments.Sigma_tilde, a).mT
        total += left @ moments.W_star @ moments.Sigma @ b.mT @ torch.linalg.pinv(Lambda) @ b
    return total / len(weights) - product(weights)


def logistic(mode: float, start: float, times: np.ndarray) -> np.ndarray:
    """Saxe's plateau: a mode of W under gradient descent with two balanced layers, ds/dt = 2 s (s* − s).

    Examples
    --------
    >>> logistic(1.0, 0.5, np.array([0.0, 100.0])).tolist()
    [0.5, 1.0]
    """
    return mode / (1 + (mode / start - 1) * np.exp(-2 * mode * times))


def follow_flows(
    *,
    laws: tuple[str, ...] = (),
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """Each law in networks of some sizes, under each rule that it is about or that is compared with it.

    `laws` are keys of `LAWS`, by default all.

    `deviation` is the largest distance of W(t) from the law over that of W(0) from W*; `weights` how far apart two
    rules took the weights; `measured` and `predicted` a number that the law names: a rate, or a time.
    """
    cases: list[Row] = [
        {"law": law, "sizes": "–".join(map(str, sizes)), "rule": rule, "seed": seed}
        for law in laws or LAWS
        for sizes, rules, _ in [LAWS[law]]
        for rule in rules
        for seed in range(seeds)
    ]

    def measure(case: Row) -> Row:
        sizes, _, law = LAWS[str(case["law"])]
        return law(sizes, str(case["rule"]), torch.Generator().manual_seed(int(str(case["seed"]))))

    return measure_rows(
        "flow", "Continuous time against closed forms", cases, measure, progress=progress, output=output, resume=resume
    )


def _drawn(sizes: tuple[int, ...], generator: torch.Generator) -> tuple[Weights, Moments]:
    return random_weights(sizes, generator), random_moments(sizes[0], sizes[-1], generator)


def _distance(path: Path, law: np.ndarray, moments: Moments) -> float:
    apart = np.linalg.norm(path.maps - law, axis=(1, 2)).max()
    return float(apart / np.linalg.norm(moments.W_star.numpy() - path.maps[0]))


def _straight(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    weights, moments = _drawn(sizes, generator)
    path = follow(RULES[rule], weights, moments, TIMES)
    return {"deviation": _distance(path, straight(moments, product(weights), TIMES), moments)}


def _projected(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    weights, moments = _drawn(sizes, generator)
    path = follow(RULES[rule], weights, moments, TIMES)
    law = follow(projected(min(sizes)), [product(weights)], moments, TIMES)
    return {"deviation": _distance(path, law.maps, moments)}


def _pseudo_inverse(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    """(19) is integrated along the path of the weights, as a last layer of its own."""
    weights, moments = _drawn(sizes, generator)

    def both(state: Weights, moments: Moments) -> Weights:
        return [*RULES[rule](state[:-1], moments), pseudo_inverse_law(state[:-1], moments)]

    path = follow(both, [*weights, product(weights)], moments, TIMES)
    own = Path(TIMES, [state[:-1] for state in path.weights])
    law = torch.stack([state[-1] for state in path.weights]).numpy()
    return {"deviation": _distance(own, law, moments)}


def _inverses(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    weights, moments = _drawn(sizes, generator)
    chosen = some_inverse(int(rule.rpartition(" ")[2])) if rule.startswith("inverse") else RULES[rule]
    path, reference = (follow(r, weights, moments, TIMES) for r in (chosen, smallest_speed))
    apart = sum(float((W - V).square().sum()) for W, V in zip(path.weights[-1], reference.weights[-1])) ** 0.5
    moved = sum(float((W - V).square().sum()) for W, V in zip(reference.weights[-1], weights)) ** 0.5
    return {"deviation": _distance(path, reference.maps, moments), "weights": apart / moved}


def _late_rate(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    """In whitened coordinates, W* has the singular values 1, 0.6, then a share of that, and half of it."""
    weights, moments = _drawn(sizes, generator)
    rank, gap = min(sizes), 0.3 + 0.4 * float(torch.rand((), generator=generator))
    values = torch.cat([torch.linspace(1, 0.6, rank), 0.6 * gap * 0.5 ** torch.arange(min(sizes[0], sizes[-1]) - rank)])
    U, V = (torch.linalg.qr(normal(n, n, generator)).Q for n in (sizes[-1], sizes[0]))
    target = U[:, : len(values)] * values.double() @ V[:, : len(values)].mT
    best = moments.unwhiten(U[:, :rank] * values[:rank].double() @ V[:, :rank].mT).numpy()
    moments = Moments(moments.unwhiten(target), moments.Sigma, moments.Sigma_tilde)
    path = follow(RULES[rule], weights, moments, LATE)
    late = slice(len(LATE) * 2 // 3, None)
    distance = np.linalg.norm(path.maps - best, axis=(1, 2))
    rate = -np.polyfit(LATE[late], np.log(distance[late]), 1)[0]
    return {"measured": float(rate), "predicted": 1 - gap}


def _blow_up(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    """The first start whose straight line meets a singular map before t = 2; `measured` is when the flow does."""
    crossing = np.inf
    while not crossing < 2:
        weights, moments = _drawn(sizes, generator)
        crossing = blow_up_time(product(weights).numpy(), moments.W_star.numpy())
    times = np.linspace(0, 2 * crossing, 41)
    if rule != "Eq. 10":
        path = follow(RULES[rule], weights, moments, times)
        return {
            "predicted": crossing,
            "deviation": _distance(path, straight(moments, product(weights), times), moments),
        }

    def nearly_singular(weights: Weights) -> float:
        values = torch.linalg.svdvals(product(weights))
        return float(values[-1] / values[0]) - SINGULAR

    path = follow(RULES[rule], weights, moments, times, nearly_singular)
    law = straight(moments, product(weights), path.times)
    return {
        "measured": float(path.times[-1]),
        "predicted": crossing,
        "deviation": _distance(path, law, moments),
    }


def plateaus(rule: Rule, generator: torch.Generator, times: np.ndarray) -> np.ndarray:
    """Modes of W(t) `[T, 3]` in the basis of W*, two layers that begin small, balanced and aligned with it."""
    one = torch.eye(len(MODES), dtype=torch.float64)
    U, V = (torch.linalg.qr(normal(len(MODES), len(MODES), generator)).Q for _ in range(2))
    moments = Moments(U * torch.tensor(MODES, dtype=torch.float64) @ V.mT, one, one)
    maps = follow(rule, [SMALL**0.5 * V.mT, SMALL**0.5 * U], moments, times).maps
    return np.einsum("oi,toj,jk->tik", U.numpy(), maps, V.numpy()).diagonal(axis1=1, axis2=2)


def _plateaus(sizes: tuple[int, ...], rule: str, generator: torch.Generator) -> Row:
    natural = rule != "gradient"
    modes = plateaus(RULES[rule] if natural else gradient, generator, TIMES)
    law = [mode + (SMALL - mode) * np.exp(-TIMES) if natural else logistic(mode, SMALL, TIMES) for mode in MODES]
    return {"deviation": float(abs(modes - np.stack(law, 1)).max() / MODES[0])}


Law = Callable[[tuple[int, ...], str, torch.Generator], Row]
LAWS: dict[str, tuple[tuple[int, ...], tuple[str, ...], Law]] = {
    "(18), wide": (WIDE, tuple(RULES), _straight),
    "(18), narrowing": (NARROWING, tuple(RULES), _straight),
    "(19)": (BOTTLENECK, tuple(RULES), _pseudo_inverse),
    "exact flow": (BOTTLENECK, tuple(RULES), _projected),
    "one curve, wide": (WIDE, ("Eq. 10", "exact rule", "inverse 1", "inverse 2"), _inverses),
    "one curve, bottleneck": (BOTTLENECK, ("Eq. 10", "exact rule", "inverse 1", "inverse 2"), _inverses),
    "late rate": ((4, 2, 4), ("Eq. 10", "exact rule"), _late_rate),
    "blow-up": (SQUARE, ("Eq. 10", "F⁺"), _blow_up),
    "plateaus": ((3, 3, 3), ("gradient", "Eq. 10"), _plateaus),
}
"""Sizes, rules, and what is measured, for each law."""
