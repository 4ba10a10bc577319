"""Muon in the benchmark: torch's, in the arithmetic that is fast here, beside AdamW."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from ngdnum import Gaussian
from ngdnum.data import linear_teacher
from ngdnum.experiments import muon
from ngdnum.experiments.method import method
from ngdnum.experiments.muon import Float32Muon, MuonWithAdamW, newton_schulz
from ngdnum.experiments.training import Budget, Run
from ngdnum.experiments.tuning import environment

pytestmark = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has no Muon")

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDING = 2.0**-9  # of a number to the 8 significant bits of bfloat16
SHAPES = [(20, 60), (60, 20), (30, 30)]

Timed = Callable[[float, float], list[torch.dtype]]


@pytest.fixture
def timed(monkeypatch) -> Iterator[Timed]:
    """Pretend that products take so many seconds in bfloat16 and in float32; returns what was timed."""

    def pretend(bfloat16: float, float32: float) -> list[torch.dtype]:
        asked = []

        def seconds(dtype: torch.dtype, device: torch.device) -> float:
            asked.append(dtype)
            return {torch.bfloat16: bfloat16, torch.float32: float32}[dtype]

        monkeypatch.setattr(muon, "product_seconds", seconds)
        muon.arithmetic.cache_clear()
        return asked

    yield pretend
    muon.arithmetic.cache_clear()


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalising_changes_singular_values_alone(shape: tuple[int, int]) -> None:
    """Against the polynomial of the singular values in float64."""
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    a, b, c = COEFFICIENTS
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    found = newton_schulz(matrix, COEFFICIENTS, steps=5, eps=1e-7)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), u * s @ vh, rtol=0, atol=1e-5)
    assert not newton_schulz(torch.zeros(shape), COEFFICIENTS, steps=5, eps=1e-7).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("iterations", [0, 5])
@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"momentum": 0.5, "adjust_lr_fn": "match_rms_adamw"}])
def test_steps_are_those_of_torch_but_for_bfloat16(
    shape: tuple[int, int], dtype: torch.dtype, iterations: int, options: dict[str, object]
) -> None:
    """Within the roundings of torch: without iterations of the matrix, twice, of its norm, and of their ratio.

    An iteration rounds A, b A + c A² and the result: errors of 0.7, 2.7 and 0.7 near singular values of 1, where
    the result is 3.4 − 2.7 = 0.7, so that six roundings are added.
    """
    roundings = 4 + 6 * iterations
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape, dtype=dtype))
    theirs, idle = nn.Parameter(ours.detach().clone()), nn.Parameter(torch.ones(2, 2))
    opt = Float32Muon([ours, idle], 0.1, weight_decay=2.0, ns_steps=iterations, **options)
    twin = torch.optim.Muon([theirs, idle], 0.1, weight_decay=2.0, ns_steps=iterations, **options)
    assert opt.defaults == twin.defaults
    for _ in range(5):
        ours.grad = torch.randn(shape, dtype=dtype)
        theirs.grad = ours.grad.clone()
        before = ours.detach().clone()
        theirs.data.copy_(before)
        opt.step()
        twin.step()
        decayed = before * (1 - 0.1 * 2.0)
        assert (ours - theirs).norm() < roundings * ROUNDING * (theirs - decayed).norm()
        assert opt.state[ours]["momentum_buffer"].equal(twin.state[theirs]["momentum_buffer"])
    assert idle.equal(torch.ones(2, 2)) and idle not in opt.state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_any_precision_are_orthogonalised_in_float32(dtype: torch.dtype, monkeypatch) -> None:
    seen = []

    def noted(matrix: torch.Tensor, *options: object) -> torch.Tensor:
        seen.append(matrix.dtype)
        return newton_schulz(matrix, *options)

    monkeypatch.setattr(muon, "newton_schulz", noted)
    weight = nn.Parameter(torch.ones(3, 2, dtype=dtype))
    weight.grad = torch.eye(3, 2, dtype=dtype)
    Float32Muon([weight]).step()
    assert seen == [torch.float32] and weight.dtype == dtype


def test_a_closure_computes_the_loss_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    opt = Float32Muon([weight])

    def closure() -> torch.Tensor:
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert opt.step(closure) == 4.0 and (weight < 1).all()


@pytest.mark.parametrize(("bfloat16", "kind"), [(0.5, "Muon"), (1.0, "Muon"), (1.5, "Float32Muon")])
def test_the_faster_arithmetic_is_taken_and_told(timed: Timed, bfloat16: float, kind: str) -> None:
    asked = timed(bfloat16, 1.0)
    layer = nn.Linear(3, 2)
    names = [type(part).__name__ for _ in range(2) for part in MuonWithAdamW(layer.parameters(), 0.1, 0.1).parts]
    assert names == [kind, "AdamW"] * 2
    assert environment()["muon_arithmetic"] == {"Muon": "bfloat16", "Float32Muon": "float32"}[kind]
    assert sorted(asked, key=str) == [torch.bfloat16, torch.float32]  # once each, however often it is asked


def test_products_are_timed_for_what_they_are(monkeypatch) -> None:
    timed = []

    class Noting(muon.Timer):
        def __init__(self, statement: str, globals: dict[str, torch.Tensor]) -> None:
            timed.append((statement, globals["x"].dtype, tuple(globals["x"].shape)))
            super().__init__(statement, globals=globals)

    monkeypatch.setattr(muon, "Timer", Noting)
    assert muon.product_seconds(torch.float32, torch.device("cpu")) > 0
    assert timed == [("x @ x", torch.float32, (256, 256))]


@pytest.mark.parametrize(("bfloat16", "kind"), [(0.5, "Muon"), (1.5, "Float32Muon")])
def test_muon_takes_matrices_and_adamw_the_rest(timed: Timed, bfloat16: float, kind: str) -> None:
    timed(bfloat16, 1.0)
    torch.manual_seed(0)
    model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    twin.load_state_dict(model.state_dict())
    ours = MuonWithAdamW(model.parameters(), lr=0.1, bias_lr=0.01)
    matrices = {"Muon": torch.optim.Muon, "Float32Muon": Float32Muon}[kind]
    theirs = (matrices([twin.weight], 0.1, weight_decay=0.0), torch.optim.AdamW([twin.bias], 0.01, weight_decay=0.0))
    x, y, likelihood = torch.randn(8, 4), torch.randn(8, 3), Gaussian()
    for _ in range(3):
        for net, parts in ((model, [ours]), (twin, theirs)):
            for part in parts:
                part.zero_grad()
            likelihood(net(x), y).backward()
            for part in parts:
                part.step()
    assert torch.equal(model.weight, twin.weight) and torch.equal(model.bias, twin.bias)


def test_a_schedule_reaches_the_rates_of_both() -> None:
    rates = []

    class Recording(MuonWithAdamW):
        def step(self) -> None:
            rates.append([group["lr"] for group in self.param_groups])
            super().step()

    problem = linear_teacher((4, 3), train=100, dtype=torch.float32)._replace(model=nn.Linear(4, 3))
    m = method(
        "m",
        lambda model, likelihood, settings, seed: Recording(model.parameters(), settings["lr"], 0.01),
        (0.1,),
        (20,),
        schedule=("constant", "linear"),
    )
    Run(problem, m, m.grid[1], 0).advance(Budget(samples=40), 1.0)
    assert rates == [[0.1, 0.01], [0.05, 0.005]]


@pytest.mark.parametrize("bfloat16", [0.5, 1.5])
def test_a_state_brings_back_the_steps_of_both(timed: Timed, bfloat16: float) -> None:
    timed(bfloat16, 1.0)
    torch.manual_seed(0)
    model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    x, y, likelihood = torch.randn(8, 4), torch.randn(8, 3), Gaussian()
    ours, theirs = (MuonWithAdamW(net.parameters(), 0.1, 0.01) for net in (model, twin))
    for step in range(4):
        if step == 2:
            twin.load_state_dict(model.state_dict())
            theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
        for net, opt in ((model, ours), (twin, theirs)):
            opt.zero_grad()
            likelihood(net(x), y).backward()
            opt.step()
    assert torch.equal(model.weight, twin.weight) and torch.equal(model.bias, twin.bias)
