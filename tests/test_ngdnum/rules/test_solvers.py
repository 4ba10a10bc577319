"""How a rule's inverses are applied, and the constants in its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Gaussian, Inverse
from ngdnum.rule import resolve
from ngdnum.rules import RULES, Rule, linalg

torch.set_num_threads(1)


def factor(size: int, seed: int) -> Tensor:
    X = torch.randn(2 * size, size, generator=torch.Generator().manual_seed(seed)).double()
    return X.mT @ X / len(X)


def weights(**options: object) -> list[Tensor]:
    """After one step of a small network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    opt, x = NGD(model, Gaussian(), lr=0.1, samples=None, **options), torch.randn(20, 4).double()
    Gaussian()(model(x), torch.ones(20, 3).double()).backward()
    opt.step()
    return list(model.parameters())


@pytest.mark.parametrize("old, solver", [("pi_damped_cached", "inverse"), ("pi_damped_leading", "low_rank")])
def test_old_names_say_what_to_write_and_do_the_same(old: str, solver: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"write rule='pi_damped' with Inverse\(solver='{solver}'\)"):
        found = weights(rule=old)
    expected = weights(rule="pi_damped", inverse=Inverse(solver=solver))
    assert all(map(torch.equal, found, expected))
    assert not all(map(torch.equal, found, weights(rule="pi_damped", inverse=Inverse(solver="cholesky"))))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.variants])
def test_all_solvers_have_the_same_result_in_narrow_layers(name: str) -> None:
    one, *others = (weights(rule=name, inverse=Inverse(solver=solver)) for solver in RULES[name].solvers)
    for other in others:
        for a, b in zip(one, other):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.variants])
def test_a_variant_is_undamped_and_damped_like_the_rule(name: str) -> None:
    for solver in RULES[name].solvers:
        variant = RULES[name].by(solver)
        assert variant.undamped == RULES[name].undamped and variant.damping is RULES[name].damping
        assert resolve(name, solver).solver == solver


def test_a_solver_that_a_rule_is_not_written_for_is_refused() -> None:
    with pytest.raises(ValueError, match="rule 'muon' has no solver 'low_rank': choose from cholesky"):
        weights(rule="muon", inverse=Inverse(solver="low_rank"))
    with pytest.raises(ValueError, match="solver must be one of cholesky, inverse, low_rank, or None; got 'lu'"):
        Inverse(solver="lu")


# --- constants ------------------------------------------------------------------------------------


def step(rule: Rule) -> tuple[Tensor, Tensor]:
    """ΔW and the new memory C of a rule."""
    G = torch.randn(6, 4, generator=torch.Generator().manual_seed(3)).double()
    state = rule.factorise(factor(6, 1), factor(4, 2), 2 * torch.eye(4).double(), G, 0.1)
    return rule.apply(G, state, L=1), state[-1]


@pytest.mark.parametrize("solver", RULES["fisher_shampoo"].solvers)
def test_constants_are_arguments_with_defaults(solver: str) -> None:
    rule = RULES["fisher_shampoo"].by(solver)
    assert rule.constants == {"beta": 0.8, "epsilon": 0.3}
    for a, b in zip(step(rule), step(rule.given(beta=0.8, epsilon=0.3))):
        assert torch.equal(a, b)
    beta = 0.5
    (_, old), (_, new) = step(rule), step(rule.given(beta=beta))
    C = 2 * torch.eye(4).double()
    torch.testing.assert_close((new - beta * C) / (1 - beta), (old - 0.8 * C) / (1 - 0.8))
    assert not torch.allclose(step(rule)[0], step(rule.given(epsilon=0.1))[0])


def test_an_optimizer_takes_a_rule_with_other_constants() -> None:
    given = RULES["fisher_shampoo"].given(epsilon=0.1)
    plain, same = weights(rule="fisher_shampoo"), weights(rule=RULES["fisher_shampoo"].given(epsilon=0.3))
    assert all(map(torch.equal, plain, same))
    assert not all(map(torch.equal, plain, weights(rule=given)))
    assert given.undamped.constants["epsilon"] == given.by("cholesky").constants["epsilon"] == 0.1


@pytest.mark.parametrize(
    "constants, message",
    [
        ({"gamma": 0.5}, "has no constant 'gamma'; it has beta, epsilon"),
        ({"epsilon": 1.5}, "epsilon of rule 'fisher_shampoo' must be a number between 0 and 1; got 1.5"),
        ({"epsilon": True}, "got True"),
        ({"beta": float("nan")}, "got nan"),
    ],
)
def test_wrong_constants_are_refused(constants: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RULES["fisher_shampoo"].given(**constants)


@pytest.mark.parametrize("raises", [False, True])
def test_a_finite_factor_on_which_eigh_fails_is_solved_in_double_precision(monkeypatch, raises) -> None:
    """LAPACK makes NaN of some float32 factors of deep ReLU networks, and does not converge on others."""
    own = torch.linalg.eigh

    def broken(A):
        values, vectors = own(A)
        if A.dtype == torch.float32 and raises:
            raise torch.linalg.LinAlgError("did not converge")
        return (values * torch.nan, vectors * torch.nan) if A.dtype == torch.float32 else (values, vectors)

    X = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    expected = linalg.definite_power(X.mT @ X, -0.5)
    monkeypatch.setattr(torch.linalg, "eigh", broken)
    torch.testing.assert_close(linalg.definite_power(X.mT @ X, -0.5), expected)
    monkeypatch.undo()
    assert linalg.definite_power(torch.full((2, 2), torch.inf), -0.5).isnan().any()
