"""Tasks beyond the autoencoder: their data and networks, and what is measured on them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.func import hessian, vmap

from ngdnum import NGD, Categorical, Gaussian
from ngdnum.data import Examples, Problem
from ngdnum.errors import accuracy, cross_entropy
from ngdnum.experiments.chars import ALPHABET, Transformer, chars_problem, windows
from ngdnum.experiments.classifiers import classification, cnn, mlp, relu20, relu20_he
from ngdnum.experiments.compare import compare
from ngdnum.experiments.fits import friedman, function_problem, tabular_problem
from ngdnum.experiments.method import method, natural, nesterov
from ngdnum.experiments.poisson import UNIT, Poisson, exact, poisson_problem, relative_error
from ngdnum.experiments.rivals import DEEP, FULL_BATCH, OTHERS, SEQUENCES, STRONG
from ngdnum.experiments.task import Benchmark, unscaled
from ngdnum.experiments.tasks import TASKS
from ngdnum.experiments.tuned import load_tuned
from ngdnum.experiments.tuning import tune_task


@pytest.mark.parametrize(
    "problem", [classification(mlp), chars_problem, tabular_problem, function_problem, poisson_problem]
)
def test_a_seed_decides_the_initial_weights_and_nothing_else(problem) -> None:
    first, again, other = problem(0, None), problem(0, None), problem(1, None)
    weights, same, others = (list(p.model.parameters()) for p in (first, again, other))
    assert all(map(torch.equal, weights, same)) and not torch.equal(weights[0], others[0])
    for part in ("train", "validation", "test"):
        examples = getattr(first, part)
        assert all(map(torch.equal, examples, getattr(other, part)))
        assert len(examples.x) == len(examples.y) == first.source[part]
    few = Examples(first.test.x[:50], first.test.y[:50])
    assert first.likelihood(first.model(first.train.x[:3]), first.train.y[:3]).isfinite()
    assert 0 < first.error(first.model, *few) < math.inf
    assert (first.accuracy is None) == isinstance(first.likelihood, Gaussian)


def test_what_draws_its_own_data_refuses_a_folder(tmp_path) -> None:
    for problem in (chars_problem, tabular_problem, function_problem, poisson_problem):
        with pytest.raises(ValueError, match="leave the data folder out"):
            problem(0, tmp_path)


def test_cross_entropy_and_accuracy_are_those_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    f, y = torch.randn(5, 3, 4, generator=generator), torch.randint(4, (5, 3), generator=generator)
    p = f.exp() / f.exp().sum(-1, keepdim=True)
    rows = [(p[i, j], int(y[i, j])) for i in range(5) for j in range(3)]
    assert cross_entropy(nn.Identity(), f, y) == pytest.approx(-sum(q[k].log().item() for q, k in rows) / 15)
    assert accuracy(nn.Identity(), f, y) == sum(int(q.argmax()) == k for q, k in rows) / 15


def test_errors_are_those_of_predictions_and_leave_the_norms_alone() -> None:
    torch.manual_seed(0)
    model = cnn()
    x, y = torch.rand(6, 784), torch.arange(6)
    for _ in range(3):
        model(x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    whole = cross_entropy(model, x, y)
    assert whole == pytest.approx(sum(cross_entropy(model, x[i : i + 1], y[i : i + 1]) for i in range(6)) / 6)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items()) and model.training


def test_he_weights_keep_the_size_of_what_passes_and_those_of_torch_do_not() -> None:
    torch.manual_seed(0)
    x = torch.rand(50, 784)
    spread = {network: network()[:-1](x).std().item() for network in (relu20, relu20_he)}
    assert 10 * spread[relu20] < spread[relu20_he]


def test_windows_are_followed_by_their_next_characters() -> None:
    read = windows("abc\nλ" * 50)
    assert read.x.shape == read.y.shape == (7, 32)
    assert torch.equal(read.x.flatten()[1:], read.y.flatten()[:-1])
    assert [int(i) for i in read.x[0, :5]] == [*map(ALPHABET.index, "abc\n"), len(ALPHABET)]


def test_a_character_is_predicted_from_those_before_alone() -> None:
    torch.manual_seed(0)
    model, x = Transformer(), torch.randint(90, (2, 12))
    later = x.clone()
    later[:, 7:] = (later[:, 7:] + 1) % 90
    changed = (model(x) - model(later)).abs().amax((0, 2)) > 1e-6
    assert changed.tolist() == [False] * 7 + [True] * 5


def test_friedmans_function_at_a_point_and_its_noise() -> None:
    x = torch.tensor([[0.5, 1.0, 0.75, 0.2, 0.4, 0.9, 0.9, 0.9, 0.9, 0.9]])
    assert friedman(x).item() == pytest.approx(10 * math.sin(math.pi / 2) + 20 / 16 + 2 + 2)
    problem = tabular_problem(0, None)
    assert problem.floor == pytest.approx(problem.source["noise"], rel=0.1)


def test_the_poisson_networks_outputs_are_the_laplacian_and_the_value_on_the_edge() -> None:
    model = Poisson(5, 2, torch.Generator().manual_seed(0))
    points = torch.rand(7, 4, dtype=torch.float64)

    def u(point: torch.Tensor) -> torch.Tensor:
        h = point
        for i, layer in enumerate(model.layers):
            h = layer.weight @ torch.cat([h.tanh() if i else h, torch.ones(1, dtype=torch.float64)])
        return h.squeeze(0)

    laplacian = vmap(hessian(u))(points[:, :2]).diagonal(dim1=1, dim2=2).sum(1)
    expected = torch.stack([-laplacian / UNIT, vmap(u)(points[:, 2:])], 1)
    assert torch.allclose(model(points), expected, atol=1e-12)
    assert torch.allclose(model.solution(points[:, :2]).squeeze(1), vmap(u)(points[:, :2]), atol=1e-12)


def test_the_poisson_targets_are_those_of_the_exact_solution() -> None:
    problem = poisson_problem(0, None)
    inside, edge = problem.train.x[:20, :2], problem.train.x[:, 2:]
    laplacian = vmap(hessian(lambda p: exact(p.unsqueeze(0)).squeeze()))(inside).diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(problem.train.y[:20, 0], -laplacian / UNIT)
    assert not problem.train.y[:, 1].any()
    for side, value in ((0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)):
        assert (edge[:, side] == value).sum() == 500
    assert ((edge == 0) | (edge == 1)).any(1).all()
    assert relative_error(Zero(4, 1, torch.Generator()), *problem.test) == pytest.approx(1.0)


class Zero(Poisson):
    def solution(self, points: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(points), 1, dtype=torch.float64)


def test_natural_gradient_descent_solves_the_poisson_equation() -> None:
    problem = poisson_problem(0, None)
    optimizer = NGD.sample_efficient(problem.model, Gaussian())
    before = problem.error(problem.model, *problem.test)
    for rows in torch.arange(1_000).split(50):
        x, y = problem.train.x[rows], problem.train.y[rows]
        optimizer.zero_grad()
        loss = Gaussian()(problem.model(x), y)
        loss.backward()
        optimizer.step(lambda: Gaussian()(problem.model(x), y), loss=loss)
    assert problem.error(problem.model, *problem.test) < 0.1 * before


def _tiny(**changes) -> Benchmark:
    """Three classes on a line, told apart by a layer."""

    def problem(seed: int, data: object) -> Problem:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(300, 1, generator=generator)
        y = (3 * x[:, 0]).long()
        torch.manual_seed(seed)
        parts = [Examples(x[rows], y[rows]) for rows in torch.arange(300).split(100)]
        return Problem(*parts, nn.Linear(1, 3), None, {"kind": "line"}, Categorical(), cross_entropy, accuracy)

    methods = (
        method("SGD+momentum", nesterov, (1e-4, 0.1, 0.2), (10,), schedule=("linear",)),
        method("NGD.fast", natural(NGD.fast), (0.2, 0.4), (10,), schedule=("linear",)),
    )
    return Benchmark(
        "tiny",
        "Tiny",
        problem,
        methods,
        points=5,
        budgets=(400,),
        unit="samples",
        targets={"0.5": 0.5},
        measure="loss",
        scale=unscaled,
        tuning_shares=(0.25, 0.5),
    )


def test_a_classifier_is_tuned_for_part_of_the_budget_and_its_accuracy_is_told(tmp_path, monkeypatch) -> None:
    task = _tiny()
    tune_task(task, tmp_path / "trials.json", progress=False)
    found = load_tuned(tmp_path / "trials.json")
    report = compare(task, found.winners(), seeds=2, progress=False, output=tmp_path / "report.json")
    assert report.environment["load"] is None or report.environment["load"] >= 0
    stored = json.loads((tmp_path / "report.json").read_text())
    for m in stored["methods"]:
        ends = m["accuracy_at"]["0.4k"]
        assert len(ends) == 2 and all(1 / 3 < end <= 1 for end in ends)
        assert all(early > late for early, late in zip(m["error_on_the_way"]["1/4"], m["error_at"]["0.4k"]))
    assert [column.header for column in report.table().columns][-3] == "accuracy at 0.4k"


def test_a_grid_trains_for_a_quarter_and_its_best_two_settings_for_half_of_the_budget(tmp_path) -> None:
    task = _tiny()
    found = tune_task(task, tmp_path / "trials.json", progress=False).methods["SGD+momentum"]
    grid, problem = task.methods[0].grid, task.problem(1_000, None)
    rungs = {"0.25 of 0.4k": (100, grid), "0.4k": (200, grid[1:])}
    assert [(t["budget"], t["settings"]["lr"]) for t in found.trials[:3]] == [
        ("0.25 of 0.4k", settings["lr"]) for settings in grid
    ]
    assert len(found.trials) == 5 and list(found.winners) == ["0.4k"]
    for trial in found.trials:
        samples, settings = rungs[trial["budget"]]
        assert trial["settings"] in settings
        assert trial["validation_error"] == [pytest.approx(_trained(problem, task, trial["settings"], samples))]
    best = min((t for t in found.trials if t["budget"] == "0.4k"), key=lambda t: t["score"])
    assert found.winners["0.4k"] == best["settings"]


@pytest.mark.parametrize(
    "crossed", [m for m in (*STRONG, *DEEP, *SEQUENCES) if "auxiliary" in m.grid[0]], ids=lambda m: m.name
)
def test_a_second_knob_takes_no_more_trials(crossed) -> None:
    rates = {settings["lr"] for settings in crossed.grid}
    assert len(crossed.grid) == 2 * len(rates) == 10
    pairs = [(s["batch_size"], s["auxiliary"]) for s in crossed.grid]
    assert {pairs.count(pair) for pair in pairs} == {2, 3} and len(set(pairs)) == 4
    for rate in rates:
        sizes, values = zip(*[pair for pair, s in zip(pairs, crossed.grid) if s["lr"] == rate])
        assert len(set(sizes)) == len(set(values)) == 2


def test_all_grids_of_a_task_are_equally_large() -> None:
    for methods in (STRONG, DEEP, OTHERS, SEQUENCES, (*STRONG, *FULL_BATCH)):
        assert {len(m.grid) for m in methods} == {10}


def test_all_methods_of_sequences_choose_among_the_same_batches_and_auxiliary_rates() -> None:
    assert TASKS["chars"].methods == SEQUENCES
    for m in SEQUENCES:
        assert {settings["batch_size"] for settings in m.grid} == {32, 128}
        rates = {settings["auxiliary"] for settings in m.grid if "auxiliary" in settings}
        assert rates == ({3e-3, 3e-2} if m.name.startswith(("NGD", "Muon")) else set())


def test_the_auxiliary_rate_is_that_of_what_is_no_layer() -> None:
    build = natural(NGD.fast)
    settings = {"lr": 0.5, "batch_size": 10, "auxiliary": 0.02}
    groups = build(cnn(), Categorical(), settings, 0).param_groups
    assert [group["lr"] for group in groups] == [0.5, 0.02]
    assert build(cnn(), Categorical(), {"lr": 0.5}, 0).param_groups[1]["lr"] == 1e-3


def _trained(problem: Problem, task: Benchmark, settings, samples: int) -> float:
    from ngdnum.experiments.training import Budget, Run

    run = Run(problem, task.methods[0], settings, 1_000)
    run.advance(Budget(samples=samples), 1.0)
    return run.error(problem.validation)
