"""Every solver against a dense inverse; the bias of inverses of sampled factors against the inverse Wishart law."""

from __future__ import annotations

import math

import pytest
import torch

from ngdnum.experiments.inverses import (
    PARTS,
    compare_inverses,
    error_and_length,
    predicted_error_and_length,
)
from ngdnum.experiments.solvers import SOLVERS, randomised


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rows", [4, 30])
def test_every_solver_applies_the_inverse_of_the_damped_factor(solver: str, rows: int) -> None:
    X, b = normal(rows, 9), normal(9, 2, seed=1)
    dense = torch.linalg.inv(X.mT @ X / rows + 0.1 * torch.eye(9, dtype=torch.float64))
    assert torch.allclose(SOLVERS[solver](X, 0.1, b), dense @ b, atol=1e-10)  # 9 ≤ 20 eigenvalues: all of them


def test_the_randomised_one_keeps_what_leads_and_the_mean_of_the_rest() -> None:
    basis = torch.linalg.qr(normal(200, 40)).Q
    values = torch.cat([torch.full((20,), 1e4), torch.full((20,), 1.0)]).double()
    V = torch.linalg.qr(normal(40, 40, seed=2)).Q
    X, b = basis * (200 * values).sqrt() @ V.mT, normal(40, 1, seed=3)
    dense = torch.linalg.inv(X.mT @ X / 200 + 0.1 * torch.eye(40, dtype=torch.float64))
    assert torch.allclose(randomised(X, 0.1, b), dense @ b, rtol=1e-3)


def test_the_law_of_sampled_inverses_is_their_mean() -> None:
    n, M, draws = 5, 20, 2_000
    Lambda = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.1], dtype=torch.float64))
    pairs = []
    for seed in range(draws):
        X = normal(M, n, seed) * Lambda.diagonal().sqrt()
        pairs.append(error_and_length(Lambda, X.mT @ X / M))
    error, length = predicted_error_and_length(n, M)
    assert sum(pair[1] for pair in pairs) / draws == pytest.approx(length, rel=0.02)
    assert math.sqrt(sum(pair[0] ** 2 for pair in pairs) / draws) == pytest.approx(error, rel=0.05)


def test_short_measurements_show_what_they_are_about() -> None:
    result = compare_inverses(parts=("digits", "sampled", "targets", "depth"), seeds=1, progress=False)
    assert result.complete and {row["part"] for row in result.rows} == set(PARTS) - {"solvers"}
    for condition in (1e3, 1e6):
        (few,) = result.values("digits", solver="Cholesky", condition=condition)
        (many,) = result.values("digits", solver="SVD", condition=condition)
        assert abs(few - (7.6 - math.log10(condition))) < 1 and many > 5
    few, many = (result.values("length", per_dimension=m, damping=0.0)[0] for m in (2, 100))
    assert few > 1.5 > 1.1 > many
    with_more = [result.values("error", K=K, M=50)[0] for K in (1, 4, 16)]
    assert sorted(with_more, reverse=True) == with_more
    conditions = [result.values("condition", layers=layers)[0] for layers in (1, 2, 4)]
    assert conditions[0] < conditions[1] / 10 < conditions[2] / 100


def test_costs_are_told_against_one_method() -> None:
    case = {"solver": "Cholesky", "width": 50, "M": 20}
    row = PARTS["solvers"][1](case, torch.Generator().manual_seed(0))
    assert row["error"] < 1e-10 and row["cost"] == 1.0
