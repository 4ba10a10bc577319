"""FLOPs as printed, against torch's own counter, for every rule and solver."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sympy import Symbol
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ngdnum.rules import RULES, layer
from ngdsym.algebra.symbols import m, n
from ngdsym.rules.rule import Rule
from ngdsym.rules.zoo import ZOO

N, M = 280, 420
aten = torch.ops.aten


def cholesky(A: Any, **_: Any) -> float:
    return A[-1] ** 3 / 3


def cholesky_solve(B: Any, L: Any, *_: Any, **__: Any) -> float:
    return 2 * L[-1] ** 2 * B[-1]


def cholesky_inverse(L: Any, *_: Any, **__: Any) -> float:
    return 2 * L[-1] ** 3 / 3


def eigh(A: Any, *_: Any, **__: Any) -> float:
    return 9 * A[-1] ** 3


def qr(A: Any, *_: Any, **__: Any) -> float:
    return 4 * A[-2] * A[-1] ** 2 - 4 * A[-1] ** 3 / 3


def svd(A: Any, *_: Any, **__: Any) -> float:
    return 20 * A[-2] * A[-1] * min(A[-2:])


def added_product(A: Any, B: Any, C: Any, *_: Any, **__: Any) -> float:
    return 2 * B[-2] * B[-1] * C[-1]


# torch's counter knows products only, and no product in place; for decompositions these are the counts of the
# textbooks (Golub & Van Loan)
DECOMPOSITIONS = {
    aten.linalg_cholesky_ex: cholesky,
    aten.cholesky_solve: cholesky_solve,
    aten.cholesky_inverse: cholesky_inverse,
    aten._linalg_eigh: eigh,
    aten.linalg_qr: qr,
    aten._linalg_svd: svd,
    aten.addmm_: added_product,
}
ALL = [(name, solver) for name, rule in RULES.items() for solver in rule.solvers]
BY_NAME = {rule.name: rule for rule in ZOO}


def factor(size: int, seed: int) -> Tensor:
    Q = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)).double()).Q
    return (Q * (torch.exp(-0.1 * torch.arange(size)) + 1e-3)) @ Q.mT


GIVEN = {
    "Lambda_tilde": factor(N, 1),
    "Lambda": factor(M, 2),
    "K_tilde": factor(N, 3),
    "K": factor(M, 4),
    "G_0": torch.randn(N, M).double(),
    "C": torch.eye(M).double(),
    "lam": 1e-3,
    "L": 3,
}


def call(function: Callable, *first: Any) -> Any:
    names = list(inspect.signature(function).parameters)[len(first) :]
    return function(*first, **{name: GIVEN[name] for name in names if name in GIVEN})


def counted(run: Callable[[], Any]) -> tuple[float, Any]:
    with FlopCounterMode(display=False, custom_mapping=DECOMPOSITIONS) as counter:
        result = run()
    return float(counter.get_total_flops()), result


def check(rule: Rule, solver: str | None, functions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts within 10 % of the printed polynomials, with the ranks that were kept."""
    kept: list[int] = []
    pairs = layer.leading_pairs

    def recorded(*arguments: Any) -> Any:
        found = pairs(*arguments)
        kept.append(found[1].shape[-1])
        return found

    monkeypatch.setattr(layer, "leading_pairs", recorded)
    slow, state = counted(lambda: call(functions.factorise))
    names = re.findall(r"pairs_(\w+) = leading_pairs", inspect.getsource(functions.factorise))
    ranks = {Symbol(f"r_{name}", positive=True): rank for name, rank in zip(names, kept, strict=True)}
    joined = Symbol("r_Lambda_C", positive=True)
    ranks |= {joined: state[3].shape[-1]} if "C" in names else {}
    candidates = {Symbol(f"c_{size}", positive=True): 24 + width // 24 for size, width in ((n, N), (m, M))}
    sizes = {n: N, m: M} | ranks | candidates
    expected = [float(flops.subs(sizes)) for flops in rule.flops(solver)]
    fast, _ = counted(lambda: call(functions.apply, GIVEN["G_0"], state))
    assert slow == pytest.approx(expected[0], rel=0.1)
    assert fast == pytest.approx(expected[1], rel=0.1)


@pytest.mark.parametrize("name, solver", ALL)
def test_flops_are_those_that_torch_counts(name: str, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(BY_NAME[name], solver, RULES[name].by(solver), monkeypatch)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.undamped])
def test_flops_without_damping_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = BY_NAME[name].undamped
    assert limit is not None
    check(limit, None, RULES[name].undamped, monkeypatch)


def test_another_count_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check(BY_NAME["foof"], "inverse", RULES["kronecker"].by("inverse"), monkeypatch)
    with pytest.raises(AssertionError):
        check(BY_NAME["kronecker"], "cholesky", RULES["kronecker"].by("low_rank"), monkeypatch)
