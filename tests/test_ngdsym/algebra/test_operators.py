"""Operators of one file each: what they must say, and rules made of them against dense algebra."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from sympy import HadamardProduct, MatrixSymbol, Max, OneMatrix, Rational, Symbol, Trace, exp, latex, log, sqrt
from torch import Tensor

from ngdsym import Rule
from ngdsym.algebra.operators import (
    Eigenbasis,
    Eigenvalues,
    EntrywisePower,
    Exp,
    Hadamard,
    Maximum,
    Operator,
    Pinv,
    Polar,
    Sign,
)
from ngdsym.algebra.symbols import G, Lambda, Lambda_tilde, lam, m, n
from ngdsym.algebra.transformation import NotCovariant
from ngdsym.rules.equivariance import check_covariant, degree, r, t
from ngdsym.rules.evaluate import evaluate
from ngdsym.rules.limits import overdamp
from ngdsym.rules.zoo import FOR_NGD, ZOO

N, M, LAM, LAYERS = 4, 6, 0.3, 3
SQUARES = {"U": 5, "U_F": 6, "U_S": 7, "U_0": 8, "U_W": 9}
OTHERS = {rule.name: rule for rule in ZOO if rule not in FOR_NGD}


def gaussian(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(size: int, seed: int, *lead: int) -> Tensor:
    X = gaussian(*lead, 2 * size, size, seed=seed)
    return X.mT @ X / (2 * size)


def quantities(*lead: int) -> dict:
    return {
        "G": gaussian(*lead, N, M, seed=0),
        "Lambda_tilde": covariance(N, 1, *lead),
        "Lambda": covariance(M, 2, *lead),
        "S_tilde": covariance(N, 3, *lead),
        "S": covariance(M, 4, *lead),
        "lam": LAM,
        "L": LAYERS,
        "p": 0.5,
        **{name: gaussian(*lead, N, M, seed=seed) ** 2 for name, seed in SQUARES.items()},
    }


def run(rule: Rule, given: dict) -> Tensor:
    module: dict = {}
    exec(rule.emit(), module)

    def call(name: str, *first: object) -> Tensor:
        names = list(inspect.signature(module[name]).parameters)[len(first) :]
        return module[name](*first, **{key: given[key] for key in names})

    return call("apply", given["G"], call("factorise"))


def power(A: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(A)
    return vectors @ torch.diag(values**exponent) @ vectors.mT


def polar(A: Tensor) -> Tensor:
    U, _, V = torch.linalg.svd(A, full_matrices=False)
    return U @ V


def textbook(q: dict) -> dict[str, Tensor]:
    """The formulas for one layer, by loops and Kronecker products."""
    step, E, X, S = q["G"], q["Lambda_tilde"], q["Lambda"], q["S"]
    one = lambda A: torch.eye(len(A)).double()
    damped = torch.kron(X, E) + LAM * torch.eye(N * M).double()
    stacked = torch.linalg.solve(damped, step.mT.reshape(-1)).reshape(M, N).mT

    def in_basis(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
        """Σ of q_i (q_iᵀ G r_j) r_jᵀ / scale_ij."""
        Q, R = torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1]
        return sum(
            torch.outer(Q[:, i], R[:, j]) * (Q[:, i] @ step @ R[:, j]) / scale[i, j] for i in range(N) for j in range(M)
        )

    def roots(exponent: float) -> tuple[Tensor, Tensor]:
        return power(q["S_tilde"] + LAM * one(E), -exponent), power(S + LAM * one(S), -exponent)

    left, right = roots(0.5)
    left_eighth, right_eighth = roots(1 / 8)
    Q, R = (torch.linalg.eigh(A)[1] for A in (q["S_tilde"], S))
    largest = [[max(a, b) for a, b in zip(*rows)] for rows in zip(q["U"].tolist(), q["U_0"].tolist())]
    return {
        "shampoo": power(q["S_tilde"] + LAM * one(E), -0.25) @ step @ power(S + LAM * one(S), -0.25),
        "asgo": step @ right,
        "newton_muon": polar(step @ torch.linalg.inv(X + LAM * one(X))),
        "fismo": left @ polar(left @ step @ right) @ right,
        "mousse": left_eighth @ polar(left_eighth @ step @ right_eighth) @ right_eighth,
        "pmuon": polar(left @ step @ right),
        "splus": Q @ (Q.mT @ step @ R).sign() @ R.mT,
        "sign_descent": step / step.abs(),
        "amsgrad": step / (torch.tensor(largest, dtype=step.dtype).sqrt() + LAM),
        "adadelta": step * ((q["U_W"] + LAM) / (q["U"] + LAM)).sqrt(),
        "adagrad": step / (q["U"].sqrt() + LAM),
        "ekfac": in_basis(E, X, q["U_F"] + LAM),
        "soap": in_basis(q["S_tilde"], S, q["U_S"].sqrt() + LAM),
        "tikhonov": stacked / LAYERS,
    }


@pytest.mark.parametrize("name", OTHERS)
def test_rules_are_what_dense_algebra_says(name: str) -> None:
    q = quantities()
    references = textbook(q)
    found = run(OTHERS[name], q)
    torch.testing.assert_close(found, references.pop(name), rtol=1e-11, atol=1e-12)
    for other in references.values():
        assert (found - other).norm() > 1e-2 * found.norm()


@pytest.mark.parametrize("name", OTHERS)
def test_low_rank_axes_are_a_batch(name: str) -> None:
    q = quantities(2, 3)
    together = run(OTHERS[name], q)
    alone = {key: value[1, 2] if isinstance(value, Tensor) else value for key, value in q.items()}
    torch.testing.assert_close(together[1, 2], run(OTHERS[name], alone), rtol=1e-11, atol=1e-12)


def test_the_optimizer_takes_a_rule_that_is_not_written_for_it() -> None:
    from ngdnum import NGD, Gaussian

    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)), torch.randn(50, 3)
    y = x @ torch.randn(3, 2)
    opt, losses = NGD(model, Gaussian(), lr=0.3, rule=OTHERS["tikhonov"].emit(), damping=0.1), []
    for _ in range(30):
        opt.zero_grad()
        loss = Gaussian()(model(x), y)
        loss.backward()
        opt.step()
        losses.append(float(loss))
    assert losses[-1] < 0.1 * losses[0]


def test_eigenvectors_and_eigenvalues_share_a_decomposition() -> None:
    assert OTHERS["tikhonov"].emit().count("torch.linalg.eigh") == 2


# --- readings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", Operator.READINGS)
def test_an_operator_without_one_of_its_readings_cannot_be_defined(missing: str) -> None:
    namespace = {name: vars(Polar)[name] for name in Operator.READINGS if name != missing}
    with pytest.raises(TypeError, match=f"the operator Half does not say its {missing}: see Operator"):
        type("Half", (Operator,), namespace)
    type("Whole", (Operator,), namespace | {missing: vars(Polar)[missing]})


H, V = MatrixSymbol("H", n, m), MatrixSymbol("U", n, m)
EXAMPLES = [
    Pinv(G),
    Polar(G),
    Sign(G),
    Hadamard(G, V),
    EntrywisePower(V, Rational(1, 3)),
    Maximum(G, 2 * G),
    Eigenbasis(Lambda_tilde),
    Eigenvalues(Lambda_tilde),
]


@pytest.mark.parametrize("operator", EXAMPLES, ids=str)
def test_values_and_code_agree(operator: Operator) -> None:
    q = quantities()
    arrays = {name: q[name].numpy() for name in ("G", "U", "Lambda_tilde", "Lambda")}
    expected = evaluate(operator, arrays, {n: N, m: M})
    rows = (int(size.subs({n: N, m: M})) for size in operator.shape)
    assert expected.shape == tuple(rows)
    left = operator if operator.shape[0] == n else operator.T
    square = left * left.T * G
    torch.testing.assert_close(
        run(Rule("mine", square), q), torch.from_numpy(evaluate(square, arrays, {n: N, m: M})), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("operator", EXAMPLES, ids=str)
def test_degrees_and_limits_are_those_of_the_values(operator: Operator) -> None:
    """Degree in the scale of W; and for a large λ the operator of M + λ 1 1ᵀ."""
    q = quantities()
    arrays = {name: q[name].numpy() for name in ("G", "U", "Lambda_tilde", "Lambda")}
    tau = 1.7
    powers = {"G": -1, "U": -2, "Lambda_tilde": -2, "Lambda": 0}
    scaled = {name: tau ** powers[name] * value for name, value in arrays.items()}
    exponent = float(degree(operator, t).coeff(t))
    values = [np.abs(evaluate(operator, given, {n: N, m: M})) for given in (scaled, arrays)]
    np.testing.assert_allclose(values[0], tau**exponent * values[1])
    assert degree(operator, r).coeff(t) == 0
    if isinstance(operator, Hadamard | EntrywisePower | Maximum):
        ones = lam * OneMatrix(n, m)
        others = operator.args[1] + ones if isinstance(operator, Maximum) else operator.args[1]
        raised = operator.func(operator.args[0] + ones, others)
        scale, leading = overdamp(raised)
        found = evaluate(raised, arrays, {n: N, m: M, lam: 1e9})
        limit = float(scale.subs(lam, 1e9)) * evaluate(leading, arrays, {n: N, m: M})
        np.testing.assert_allclose(found, limit, rtol=1e-6)


def test_entries_follow_no_change_of_basis_but_in_an_eigenbasis() -> None:
    with pytest.raises(NotCovariant, match="entries of"):
        check_covariant(Sign(G), orthogonal=True)
    Q, R = Eigenbasis(Lambda_tilde), Eigenbasis(Lambda)
    check_covariant(Q * Sign(Q.T * G * R) * R.T, orthogonal=True)
    with pytest.raises(NotCovariant, match="eigenvectors follow orthogonal changes of basis only"):
        check_covariant(Q * Q.T * G, orthogonal=False)


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: Hadamard(G, Lambda), ValueError, "entry by entry"),
        (lambda: Eigenbasis(G), ValueError, "must be symmetric"),
        (
            lambda: Rule("r", Eigenbasis(MatrixSymbol("Q", n, n)) * G).emit(),
            ValueError,
            "not known to be positive semi",
        ),
        (lambda: Maximum(G, Lambda), ValueError, "cannot compare"),
        (lambda: degree(Maximum(G, V), t), NotCovariant, "scale differently"),
        (lambda: degree(Exp(G), t), NotCovariant, "no power of a scale"),
        (lambda: overdamp(Maximum(lam * G, V)), ValueError, "no limit known"),
        (lambda: overdamp(Max(1, lam) * G + V), ValueError, "no limit known"),
        (lambda: Rule("r", HadamardProduct(G, G)).emit(), TypeError, "Hadamard and EntrywisePower"),
        (lambda: Rule("r", log(lam) * G).emit(), TypeError, "Max, exp and Trace"),
        (
            lambda: evaluate(EntrywisePower(V, lam), {"U": np.ones((N, M))}, {}),
            ValueError,
            "no value: make it a constant",
        ),
        (lambda: Rule("r", Hadamard(G, H)).properties(), ValueError, "what H means is not known"),
    ],
)
def test_what_makes_no_sense_is_refused(make, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_zero_to_a_negative_power_is_zero_as_in_a_pseudo_inverse() -> None:
    Q, R = Eigenbasis(Lambda_tilde), Eigenbasis(Lambda)
    quotient = EntrywisePower(Eigenvalues(Lambda_tilde) * Eigenvalues(Lambda).T, -1)
    X = gaussian(N, 2, seed=3)
    q = quantities() | {"Lambda_tilde": X @ X.mT}
    found = run(Rule("mine", Q * Hadamard(Q.T * G * R, quotient) * R.T), q)
    torch.testing.assert_close(found, torch.linalg.pinv(X @ X.mT) @ q["G"] @ torch.linalg.inv(q["Lambda"]))


def test_powers_and_products_of_entries_print_in_brackets() -> None:
    """Two superscripts in a row are an error of LaTeX, and A ∘ B² is not (A ∘ B)²."""
    root = EntrywisePower(V, Rational(1, 2))
    assert latex(EntrywisePower(root, -1)) == rf"\left({latex(root)}\right)^{{\circ -1}}"
    for inner in (Hadamard(G, V), Pinv(G).T, V + G):
        assert latex(EntrywisePower(inner, 2)).startswith(r"\left(") and latex(root).startswith("U")
    assert latex(Lambda_tilde * Hadamard(G, V)) == rf"{latex(Lambda_tilde)} \left({latex(Hadamard(G, V))}\right)"


# --- scalars and exponents ------------------------------------------------------------------------


def test_exponential_function_of_entries() -> None:
    q = quantities()
    found = run(Rule("mine", Hadamard(G, Exp(-V))), q)
    torch.testing.assert_close(found, q["G"] * torch.exp(-q["U"]))
    np.testing.assert_allclose(evaluate(Exp(-V), {"U": q["U"].numpy()}, {n: N, m: M}), np.exp(-q["U"].numpy()))


@pytest.mark.parametrize("p", [0.3, 2.0])
def test_a_power_of_entries_may_be_a_symbol(p: float) -> None:
    """A constant of the rule: the emitted code takes it as an argument, properties take its value."""
    exponent = Symbol("q", positive=True)
    rule = Rule("mine", Hadamard(G, EntrywisePower(V, exponent)), constants=((exponent, Rational(1, 3)),))
    q = quantities()
    torch.testing.assert_close(run(rule, q | {"q": p}), q["G"] * q["U"] ** p)
    assert rule.properties().loss_degree.answer == 1 + 2 * Rational(1, 3)


@pytest.mark.parametrize("size", [0.1, 10.0])
def test_clipping(size: float) -> None:
    """No longer than 1, alone and in a batch."""
    rule = Rule("mine", G / Max(1, sqrt(Trace(G.T * G))))
    for lead in ((), (3,)):
        step = gaussian(*lead, N, M, seed=0)
        step = size * step / step.norm(dim=(-2, -1), keepdim=True)
        torch.testing.assert_close(run(rule, {"G": step}), step / max(1.0, size))


def test_scalars_with_exp_and_max() -> None:
    q = quantities()
    found = run(Rule("mine", exp(-lam) * Max(2, lam, 3 * lam) * G), q)
    torch.testing.assert_close(found, np.exp(-LAM) * 2 * q["G"])
    traces = q["Lambda"].trace(), q["Lambda_tilde"].trace()
    assert traces[0] > traces[1]
    for one, other in ((Lambda, Lambda_tilde), (Lambda_tilde, Lambda)):
        found = run(Rule("mine", Max(Trace(one), Trace(other)) * G), q)
        torch.testing.assert_close(found, traces[0] * q["G"])


def test_undamped_adadelta_has_the_units_of_weights() -> None:
    from ngdsym.zoo import adadelta, adagrad

    assert adadelta.undamped.properties().scalar.answer
    assert not adagrad.undamped.properties().scalar.answer
