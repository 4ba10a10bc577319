"""The rule from leading eigenpairs against the emitted one that keeps all of them."""

from __future__ import annotations

import pytest
import torch
from sympy import Identity
from torch import Tensor, nn

from ngdnum import NGD, Gaussian, Inverse
from ngdnum.rules import RULES
from ngdnum.rules.linalg import leading_pairs, leading_root, leading_scale, leading_solve, leading_solve_right
from ngdsym import Rule
from ngdsym.algebra.symbols import PD, G, Lambda, lam, m

torch.set_num_threads(1)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def factor(size: int, decay: float, seed: int, *lead: int) -> Tensor:
    """Eigenvalues 1, e^{−decay}, e^{−2 decay}, …"""
    Q = torch.linalg.qr(gaussian(*lead, size, size, seed=seed)).Q
    return (Q * torch.exp(-decay * torch.arange(size, dtype=torch.float64))) @ Q.mT


def difference(n: int, m: int, decay: float, lam: float, *lead: int) -> float:
    factors = factor(n, decay, 1, *lead), factor(m, decay, 2, *lead)
    G = gaussian(*lead, n, m, seed=3)
    rules = (RULES["pi_damped"].by(solver) for solver in ("low_rank", "cholesky"))
    found, expected = (rule.apply(G, rule.factorise(*factors, lam), L=1) for rule in rules)
    return float((found - expected).norm() / expected.norm())


def damped_inverse(A: Tensor, c: float) -> Tensor:
    """(A + c I)⁻¹, applied to the identity from either side."""
    pairs = leading_pairs(A, c)
    parts = leading_root(pairs, c), leading_scale(pairs, c)
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    left, right = leading_solve(*parts, eye), leading_solve_right(eye, *parts)
    torch.testing.assert_close(left, right)
    return left


def test_small_layers_keep_all_eigenpairs() -> None:
    assert difference(20, 24, 0.3, 1e-2) < 1e-10
    assert difference(20, 24, 0.3, 1e-2, 4) < 1e-10
    assert difference(20, 24, 0.3, 1e-2, 2, 3) < 1e-10


def test_wide_layers_keep_what_exceeds_the_damping() -> None:
    """A few eigenvalues are left out that are like c = 0.03; the others are far from it."""
    assert difference(300, 320, 0.5, 1e-3) < 0.1
    assert difference(300, 320, 0.5, 1e-3, 2) < 0.1


@pytest.mark.parametrize("sizes", [(300, 20), (20, 300)])
def test_a_narrow_side_beside_a_wide_one_is_exact(sizes: tuple[int, int]) -> None:
    """So all error is that of the wide side, which one product with its inverse has as well."""
    n, m = sizes
    factors, G, lam = (factor(n, 0.3, 1), factor(m, 0.3, 2)), gaussian(n, m, seed=3), 1e-3
    rule = RULES["pi_damped"].by("low_rank")
    c = rule.damping(*factors, lam)
    left, right = (damped_inverse(A, float(c[name])) for name, A in zip(("Lambda_tilde", "Lambda"), factors))
    torch.testing.assert_close(rule.apply(G, rule.factorise(*factors, lam), L=1), left @ G @ right)
    narrow, A, name = (right, factors[1], "Lambda") if m < n else (left, factors[0], "Lambda_tilde")
    torch.testing.assert_close(narrow, torch.linalg.inv(A + float(c[name]) * torch.eye(20)))


def test_wide_layers_lose_what_is_left_out() -> None:
    """The comparison above can fail: with a slow decay, the mean eigenvalue is not the spectrum."""
    assert difference(300, 320, 0.03, 1e-3) > 0.5


def test_a_flat_spectrum_is_exact_as_well() -> None:
    """A = σI has no leading pairs; the mean of what is left out stands for it."""
    for size in (100, 300):
        eye = torch.eye(size).double()
        torch.testing.assert_close(damped_inverse(2 * eye, 0.5), eye / 2.5)


def test_the_approximation_has_the_right_trace_and_is_definite() -> None:
    full, c = factor(300, 0.05, 1), 0.1
    restored = torch.linalg.inv(damped_inverse(full, c)) - c * torch.eye(300).double()
    torch.testing.assert_close(restored.trace(), full.trace())
    assert torch.linalg.eigvalsh(restored).min() > 0


def test_low_rank_eigenvalues() -> None:
    """Two products with A leave an error of (s_{k+1}/s)^4 in an eigenvalue s."""
    values, vectors, _ = leading_pairs(factor(300, 0.5, 1), 0.0)
    expected = torch.exp(-0.5 * torch.arange(36, dtype=torch.float64)).flip(0)
    torch.testing.assert_close(values[0, -20:], expected[-20:], rtol=1e-8, atol=0)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(36).double())


def test_eigenpairs_that_damping_hides_are_left_out() -> None:
    """s + c < 2 (σ + c): what is left out changes the inverse by less than a factor of 2."""
    A, c = factor(300, 0.5, 1), 0.01
    values, _, rest = leading_pairs(A, c)
    exact = torch.exp(-0.5 * torch.arange(300, dtype=torch.float64))
    assert values.shape[-1] == int((exact + c > 2 * c).sum()) == 10
    assert values.min() + c > 2 * (rest.item() + c) * 0.9
    ratio = torch.linalg.eigvals(damped_inverse(A, c) @ (A + c * torch.eye(300).double())).real
    assert 0.5 < ratio.min() and 1.4 < ratio.max() < 2


def test_a_rule_of_ones_own_brings_all_it_calls() -> None:
    mine = Rule("mine", G * (Lambda + lam * Identity(m)).I)
    namespace: dict = {}
    exec(mine.emit("low_rank"), namespace)
    X, step = factor(8, 0.3, 1), gaussian(4, 8)
    found = namespace["apply"](step, namespace["factorise"](X, 0.1))
    torch.testing.assert_close(found, step @ torch.linalg.inv(X + 0.1 * torch.eye(8).double()))


def test_low_rank_pairs_need_damping() -> None:
    with pytest.raises(ValueError, match="need damping"):
        Rule("mine", G * PD("Lambda", m, m).I).emit("low_rank")


@pytest.mark.parametrize("solver", [None, "low_rank"])
@pytest.mark.parametrize("rule", ["pi_damped", "kfac", "fisher_shampoo"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_that_nothing_passes_stay_as_they_are_and_do_not_stop_the_others(
    rule: str, solver: str | None, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).to(dtype)
    with torch.no_grad():
        model[2].bias.fill_(-1e3)  # no unit of the second layer is ever on
    before = [p.clone() for p in model.parameters()]
    opt, x = NGD(model, Gaussian(), rule=rule, inverse=Inverse(solver=solver)), torch.randn(20, 4, dtype=dtype)
    Gaussian()(model(x), torch.ones(20, 3, dtype=dtype)).backward()
    opt.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, model.parameters())]
    assert moved == [False, False, False, False, False, True]
