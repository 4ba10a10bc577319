"""Rivals: by name from packages, L-BFGS on full batches, and Muon with Polar Express."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from ngdnum import Gaussian
from ngdnum.__main__ import main
from ngdnum.data import linear_teacher
from ngdnum.experiments.packages import lbfgs, packaged
from ngdnum.experiments.polar_express import MuonExpress, PolarExpress, best_quintic, polar, polar_express
from ngdnum.experiments.rivals import FULL_BATCH, OTHERS, STRONG
from ngdnum.experiments.training import Budget, Run


def test_a_missing_package_is_named_with_what_to_install(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "tabular", "--tune", "--methods", "SOAP"]) == 2
    said = capfd.readouterr().err
    assert "SOAP comes with pytorch_optimizer" in said and "ngd[rivals]" in said and "--methods" in said


def test_a_package_that_lacks_something_itself_is_not_called_missing(monkeypatch, tmp_path) -> None:
    (tmp_path / "broken_package.py").write_text("import certainly_absent")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'certainly_absent'"):
        packaged("broken_package", "SOAP")(nn.Linear(1, 1), Gaussian(), {}, 0)


def test_settings_are_options_but_for_those_of_the_run(monkeypatch) -> None:
    given = {}

    def optimizer(parameters, **options):
        given.update(options, count=len(list(parameters)))

    module = ModuleType("some_package")
    module.Best = optimizer
    monkeypatch.setitem(sys.modules, "some_package", module)
    settings = {"lr": 0.1, "beta": 0.5, "batch_size": 20, "schedule": "linear"}
    packaged("some_package", "Best", eps=1e-3)(nn.Linear(2, 1), Gaussian(), settings, 0)
    assert given == {"lr": 0.1, "beta": 0.5, "eps": 1e-3, "count": 2}


@pytest.mark.parametrize("rival", [*STRONG, *OTHERS, *FULL_BATCH], ids=lambda rival: rival.name)
def test_every_rival_lowers_a_loss(rival) -> None:
    problem = linear_teacher((4, 6, 3), train=2_000, dtype=torch.float32)
    run = Run(problem, rival, rival.grid[len(rival.grid) // 2], 0)
    before = run.error(problem.test)
    run.advance(Budget(samples=4_000), 1.0)
    assert run.error(problem.test) < before


def test_lbfgs_solves_a_quadratic_problem_on_its_full_batch() -> None:
    problem = linear_teacher((4, 3), train=200)
    settings = {"lr": 1.0, "batch_size": 200, "history": 20, "iterations": 20}
    model = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    optimizer = lbfgs(model, Gaussian(), settings, 0)
    x, y = problem.train
    for _ in range(10):
        optimizer.step(lambda: Gaussian()(model(x), y), loss=Gaussian()(model(x), y))
    best = torch.linalg.lstsq(x, y).solution.T
    assert torch.allclose(model.weight, best, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1.0), (0.1, 1.9), (0.5, 1.5)])
def test_the_best_quintic_has_four_extrema_of_equal_size(low: float, high: float) -> None:
    a, b, c = best_quintic(low, high)
    s = np.linspace(low, high, 200_001)
    error = 1 - (a * s + b * s**3 + c * s**5)
    extrema = [error[0], *error[1:-1][(np.diff(error)[:-1] * np.diff(error)[1:]) < 0], error[-1]]
    assert len(extrema) == 4 and np.allclose(np.array(extrema) * [1, -1, 1, -1], error[0], rtol=1e-4)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_the_polar_factor_is_approached_with_each_step(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    gaps = [(polar(matrix, steps) - u @ v).norm().item() for steps in (2, 4, 6, 9)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-5


def test_a_step_is_the_polar_factor_of_nesterovs_momentum() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(4, 2, 3, 1, dtype=torch.float64))
    opt = PolarExpress([weight], lr=0.1, momentum=0.9, steps=9)
    mean, expected = torch.zeros(4, 6, dtype=torch.float64), torch.zeros(4, 6, dtype=torch.float64)
    for _ in range(3):
        weight.grad = torch.randn_like(weight)
        gradient = weight.grad.view(4, 6)
        mean = 0.9 * mean + 0.1 * gradient
        u, _, v = torch.linalg.svd(0.9 * mean + 0.1 * gradient, full_matrices=False)
        expected -= 0.1 * u @ v
        opt.step()
    assert torch.allclose(weight.detach().view(4, 6), expected, atol=1e-4)


def test_muon_takes_the_weights_of_layers_and_adamw_the_rest() -> None:
    model = nn.ModuleDict(
        {"e": nn.Embedding(5, 4), "c": nn.Conv2d(1, 2, 3), "n": nn.BatchNorm2d(2), "l": nn.Linear(4, 3)}
    )
    opt = MuonExpress(model, lr=0.02, auxiliary=0.003)
    muon, adamw = ([p for group in part.param_groups for p in group["params"]] for part in opt.parts)
    assert muon == [model["c"].weight, model["l"].weight] and len(adamw) == 5
    assert [group["lr"] for group in opt.param_groups] == [0.02, 0.003]


def test_steps_share_what_is_left_of_the_interval() -> None:
    (a, b, c), second = polar_express(2)
    low = a * 1e-3 + b * 1e-9 + c * 1e-15
    assert second == best_quintic(low, 2 - low)
