"""Emitted rules against float64 references: random, batched, ill-conditioned, single precision, refusals."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from ngdnum.rules import RULES, control
from ngdnum.rules import layer as rules
from support.matrices import BATCH, covariance, error, eye, gaussian, inv, polar, power

N, M, LAYERS, DAMPING = 5, 7, 4, 0.3


def call(function, quantities: dict, *first):
    names = list(inspect.signature(function).parameters)[len(first) :]
    return function(*first, **{name: quantities[name] for name in names if name in quantities})


def update(name: str, quantities: dict, gradient: Tensor) -> Tensor:
    factorise, apply = getattr(rules, f"{name}_factorise"), getattr(rules, f"{name}_apply")
    return call(apply, quantities, gradient, call(factorise, quantities))


def quantities() -> dict:
    """Of three layers at once, and the gradient of a rule by its parameter."""
    return {
        "Lambda_tilde": covariance(N, 1),
        "Lambda": covariance(M, 2),
        "lam": DAMPING,
        "L": LAYERS,
        "K_tilde": covariance(N, 5),
        "K": covariance(M, 6),
        "A": gaussian(BATCH, 3, N, seed=7),
        "B": gaussian(BATCH, M, 4, seed=8),
        "Sigma": covariance(4, 9),
        "G": gaussian(BATCH, N, M, seed=10),
        "D": gaussian(BATCH, 3, 4, seed=11),
        "G_0": gaussian(BATCH, N, M, seed=12),
        "C": covariance(M, 13),
    }


@pytest.fixture
def given() -> dict:
    return quantities()


@pytest.fixture(scope="module")
def references() -> dict[str, Tensor]:
    return textbook(quantities())


def formula(name: str) -> str:
    """A rule's name without the solver."""
    return name.removesuffix("_inverse").removesuffix("_low_rank").removesuffix("_cholesky")


def textbook(q: dict) -> dict[str, Tensor]:
    """All formulas, by explicit inverses and SciPy."""
    E, X, G, root = q["Lambda_tilde"], q["Lambda"], q["G"], DAMPING**0.5
    trace = lambda A: A.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    pi = (trace(X) / trace(E)) ** 0.5
    balanced = inv(E + root / pi * eye(N)) @ G @ inv(X + root * pi * eye(M))
    W, V = power(E + DAMPING * eye(N), -0.5), power(X + DAMPING * eye(M), -0.5)
    pinv = torch.linalg.pinv

    def fisher_shampoo(left: Tensor, right: Tensor) -> Tensor:
        whitened = left @ q["G_0"] @ right
        gram = whitened.mT @ whitened
        C = 0.8 * q["C"] + 0.2 * 0.7 * gram / trace(gram)
        return left @ left @ G @ right @ power(C + 0.3 * eye(M), -0.5) @ right / LAYERS

    return {
        "sgd": G,
        "natural": inv(E) @ G @ inv(X) / LAYERS,
        "kronecker": inv(E + root * eye(N)) @ G @ inv(X + root * eye(M)) / LAYERS,
        "kronecker_undamped": inv(E) @ G @ inv(X) / LAYERS,
        "pi_damped": balanced / LAYERS,
        "pi_damped_undamped": inv(E) @ G @ inv(X) / LAYERS,
        "kfac": balanced,
        "kfac_undamped": inv(E) @ G @ inv(X),
        "whitening": W @ G @ V,
        "whitening_undamped": power(E, -0.5) @ G @ power(X, -0.5),
        "foof": G @ inv(X + DAMPING * eye(M)),
        "foof_undamped": G @ inv(X),
        "pseudo_backprop": pinv(q["A"]) @ q["D"] @ inv(q["Sigma"]) @ pinv(q["B"]) / LAYERS,
        "muon": polar(G),
        "fisher_muon": W @ polar(W @ G @ V) @ V,
        "fisher_muon_undamped": power(E, -0.5) @ polar(power(E, -0.5) @ G @ power(X, -0.5)) @ power(X, -0.5),
        "fisher_shampoo": fisher_shampoo(power(E + root / pi * eye(N), -0.5), power(X + root * pi * eye(M), -0.5)),
        "fisher_shampoo_undamped": fisher_shampoo(power(E, -0.5), power(X, -0.5)),
        "running": q["K_tilde"] @ G @ q["K"] / LAYERS,
    }


EMITTED = sorted(name.removesuffix("_apply") for name in vars(rules) if name.endswith("_apply"))


@pytest.mark.parametrize("name", EMITTED)
def test_batched_rule_matches_reference(name, given, references):
    gradient = given["D" if name == "pseudo_backprop" else "G"]
    assert error(update(name, given, gradient), references[formula(name)]) < 1e-12


@pytest.mark.parametrize("name", EMITTED)
def test_batch_is_the_layers_one_by_one(name, given):
    key = "D" if name == "pseudo_backprop" else "G"
    together = update(name, given, given[key])
    for b in range(BATCH):
        one = {k: v[b] if isinstance(v, Tensor) else v for k, v in given.items()}
        assert error(update(name, one, one[key]), together[b]) < 1e-12


@pytest.mark.parametrize("name", EMITTED)
def test_single_precision_stays_single_under_any_default(name, given, references):
    single = {k: v.float() if isinstance(v, Tensor) else v for k, v in given.items()}
    key = "D" if name == "pseudo_backprop" else "G"
    torch.set_default_dtype(torch.float64)
    try:
        found = update(name, single, single[key])
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert error(found.double(), references[formula(name)]) < 2e-3


@pytest.mark.parametrize("name", [name for name in EMITTED if name != "pseudo_backprop"])
def test_a_wrong_reference_is_noticed(name, given, references):
    """The comparison above can fail: any other rule is at least 1 % away."""
    found = update(name, given, given["G"])
    others = {other: error(found, reference) for other, reference in references.items() if other != "pseudo_backprop"}
    same = [other for other, distance in others.items() if distance < 1e-2]
    assert formula(name) in same
    assert set(same) <= (WITHOUT_DAMPING if name in WITHOUT_DAMPING else {formula(name)})


WITHOUT_DAMPING = {"natural", "kronecker_undamped", "pi_damped_undamped"}


# --- ill-conditioned ------------------------------------------------------------------------------


def conditioned(size: int, condition: float, seed: int) -> Tensor:
    Q = torch.linalg.qr(gaussian(BATCH, size, size, seed=seed)).Q
    return (Q * torch.logspace(0, -torch.log10(torch.tensor(condition)), size, dtype=torch.float64)) @ Q.mT


def test_ill_conditioned_solve_is_backward_stable():
    """Condition 1e8: A ΔW = R holds to 1e-12 of ‖A‖‖ΔW‖, the sense in which a solve can be exact.

    The forward error is the condition number times that; it is checked against the bound.
    """
    E, X, G = conditioned(20, 1e8, 1), conditioned(30, 1e8, 2), gaussian(BATCH, 20, 30)
    step = rules.natural_apply(G, rules.natural_factorise(E, X), 1)
    norm = lambda A: torch.linalg.matrix_norm(A, 2)
    right = torch.linalg.solve(X, G, left=False)
    assert (norm(E @ step - right) / (norm(E) * norm(step))).max() < 1e-12
    single_sided = rules.foof_apply(G, rules.foof_factorise(X, 0.0))
    assert (norm(single_sided @ X - G) / (norm(single_sided) * norm(X))).max() < 1e-12
    assert error(single_sided, G @ inv_extended(X)) < 1e8 * 1e-14


def inv_extended(A: Tensor) -> Tensor:
    """Inverse in 50 digits."""
    import mpmath

    with mpmath.workdps(50):
        inverses = [(mpmath.matrix(a.tolist()) ** -1).tolist() for a in A]
    return torch.tensor([[[float(x) for x in row] for row in rows] for rows in inverses], dtype=torch.float64)


def test_damped_solve_at_condition_1e8_agrees_with_extended_precision():
    """At condition 1e8 and √λ = 1e-2 the damped factors have condition 1e2, and 1e-12 holds for ΔW itself."""
    E, X, G = conditioned(20, 1e8, 1), conditioned(30, 1e8, 2), gaussian(BATCH, 20, 30)
    found = rules.kronecker_apply(G, rules.kronecker_factorise(E, X, 1e-4), 1)
    reference = inv_extended(E + 1e-2 * eye(20)) @ G @ inv_extended(X + 1e-2 * eye(30))
    assert error(found, reference) < 1e-12


@pytest.mark.parametrize("name", ["whitening", "fisher_muon"])
def test_damped_roots_at_condition_1e8(name):
    q = {
        "Lambda_tilde": conditioned(N, 1e8, 1),
        "Lambda": conditioned(M, 1e8, 2),
        "lam": DAMPING,
        "L": 1,
        "G": gaussian(BATCH, N, M),
        "K": eye(M),
        "K_tilde": eye(N),
        "G_0": gaussian(BATCH, N, M),
        "C": covariance(M, 5),
        "A": eye(N),
        "B": eye(M),
        "D": gaussian(N, M),
        "Sigma": eye(M),
    }
    assert error(update(name, q, q["G"]), textbook(q)[formula(name)]) < 1e-12


# --- singular -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_undamped_rule_ignores_null_directions(dtype):
    """Gram matrices of rank 3 as rounding leaves them: the inverse acts on their range only."""
    errors, inputs = gaussian(3, 40, seed=1), gaussian(3, 60, seed=2)
    Lambda_tilde, Lambda = (errors.mT @ errors / 3).to(dtype), (inputs.mT @ inputs / 3).to(dtype)
    state = rules.kronecker_undamped_factorise(Lambda_tilde, Lambda)
    G = (errors.mT @ inputs / 3).to(dtype)
    step = rules.kronecker_undamped_apply(G, state, 1).double()
    pinv = torch.linalg.pinv
    reference = pinv(errors.mT @ errors / 3) @ G.double() @ pinv(inputs.mT @ inputs / 3)
    assert error(step, reference) < (1e-4 if dtype == torch.float32 else 1e-11)
    assert torch.linalg.matrix_rank(state[0]) == 3


def test_zero_factors_give_a_zero_step():
    state = rules.kronecker_undamped_factorise(torch.zeros(N, N), torch.zeros(M, M))
    assert torch.equal(rules.kronecker_undamped_apply(torch.ones(N, M), state, 1), torch.zeros(N, M))


def test_singular_factor_is_refused_where_it_must_be_definite():
    with pytest.raises(torch.linalg.LinAlgError):
        rules.natural_factorise(-eye(N), eye(M))


def test_polar_of_a_rank_deficient_matrix_is_a_partial_isometry():
    Q = rules.muon_apply(gaussian(6, 2) @ gaussian(2, 5, seed=1), ())
    values = torch.linalg.svdvals(Q)
    assert torch.allclose(values, torch.tensor([1, 1, 0, 0, 0], dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.damping])
def test_damping_is_what_makes_the_undamped_rule_the_damped_one(name, given):
    rule = RULES[name]
    added = call(rule.damping, given)
    damped = given | {factor: given[factor] + c * eye(given[factor].shape[-1]) for factor, c in added.items()}
    expected = call(rule.undamped.apply, damped, given["G"], call(rule.undamped.factorise, damped))
    assert error(update(name, given, given["G"]), expected) < 1e-10


def test_every_damped_rule_states_its_damping():
    for name, rule in RULES.items():
        assert (rule.damping is None) == (rule.undamped is None), name


# --- running inverses -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 4])
def test_woodbury_follows_the_forgetting_covariance(rows):
    """500 updates stay an inverse; one row is Sherman–Morrison's formula."""
    Lambda, K = eye(M), eye(M)
    gamma = 0.9
    for step in range(500):
        X = gaussian(rows, M, seed=step)
        Lambda = gamma * Lambda + (1 - gamma) / rows * X.mT @ X
        if rows == 1:
            x = X[0]
            Kx = K @ x
            sherman = (K - torch.outer(Kx, Kx) / (gamma / (1 - gamma) + x @ Kx)) / gamma
        K = rules.woodbury_update(K, X, eta=(1 - gamma) / rows, gamma=gamma)
        if rows == 1:
            assert error(K, sherman) < 1e-12
    assert error(K @ Lambda, eye(M)) < 1e-10


# --- control --------------------------------------------------------------------------------------


def test_predicted_change_is_minimal_at_one():
    assert control.predicted_change(1.0, 4.0) == -2.0
    assert control.predicted_change(0.0, 4.0) == control.predicted_change(2.0, 4.0) == 0.0


def test_damping_schedule():
    assert control.levenberg_marquardt(0.6, 0.1) == pytest.approx(0.9)
    assert control.levenberg_marquardt(0.6, 0.9) == pytest.approx(0.4)
    assert [control.levenberg_marquardt(0.6, rho) for rho in (0.25, 0.5, 0.75)] == [0.6] * 3


def test_step_and_momentum_minimise_the_quadratic():
    J, g, d, v = gaussian(30, 12), gaussian(12, seed=1), gaussian(12, seed=2), gaussian(12, seed=3)
    F = J.mT @ J
    basis = torch.stack([d, v], 1)
    best = torch.linalg.solve(basis.mT @ F @ basis, basis.mT @ g)
    found = control.step_and_momentum(*map(float, (g @ d, g @ v, d @ F @ d, d @ F @ v, v @ F @ v)))
    assert torch.allclose(torch.tensor(found, dtype=torch.float64), best, rtol=1e-12)


@pytest.mark.parametrize("multiple", [0.0, 3.0])
def test_momentum_is_zero_along_the_direction_itself(multiple):
    gd, dFd = 2.0, 5.0
    assert control.step_and_momentum(gd, multiple * gd, dFd, multiple * dFd, multiple**2 * dFd) == (gd / dFd, 0)
