"""The rule that remembers: whiten, equalise what the whitened gradients have been, unwhiten."""

from __future__ import annotations

import copy

import pytest
import torch
from sympy import Trace
from torch import Tensor, nn

from ngdnum import NGD, Factors, Fixed, Gaussian, Inverse, kronecker_factors
from ngdnum.rules import RULES
from ngdnum.rules.linalg import leading_congruence
from ngdnum.schedule import due
from ngdsym import Rule
from ngdsym.algebra.symbols import G_0
from ngdsym.symbols import PD, PSD, G, Pinv, Polar, m, n
from ngdsym.zoo import C, fisher_shampoo, half

torch.set_num_threads(1)
LAM, EPS, BETA = 0.04, 0.3, 0.8


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def factor(size: int, seed: int = 0) -> Tensor:
    X = gaussian(2 * size, size, seed=seed) * torch.arange(1, size + 1).double() ** -0.5
    return X.mT @ X / len(X)


def power(A: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(A)
    return (vectors * values**exponent) @ vectors.mT


def roots(Lambda_tilde: Tensor, Lambda: Tensor) -> tuple[Tensor, Tensor]:
    pi = (Lambda.diagonal().mean() / Lambda_tilde.diagonal().mean()).sqrt()
    eye = [torch.eye(len(A)).double() for A in (Lambda_tilde, Lambda)]
    return power(Lambda_tilde + LAM**0.5 / pi * eye[0], -0.5), power(Lambda + LAM**0.5 * pi * eye[1], -0.5)


def renewed(C: Tensor, left: Tensor, G: Tensor, right: Tensor) -> Tensor:
    gram = (left @ G @ right).mT @ (left @ G @ right)
    return BETA * C + (1 - BETA) * (1 - EPS) * gram / gram.diagonal().mean()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def optimizer(model: nn.Module, **options) -> NGD:
    return NGD(model, Gaussian(), lr=0.1, rule="fisher_shampoo", damping=Fixed(LAM), samples=None, **options)


def backward(model: nn.Module, opt: NGD, k: int) -> Tensor:
    x = gaussian(30, 4, seed=k)
    opt.zero_grad()
    Gaussian()(model(x), gaussian(30, 3, seed=100 + k)).backward()
    return x


@pytest.mark.parametrize("every", [1, 3])
def test_steps_follow_the_formulas_and_the_memory_goes_from_one_factorisation_to_the_next(every: int) -> None:
    model = network()
    opt = optimizer(model, inverse=Inverse(every=every))
    layers, memory, states = [model[0], model[2]], [torch.eye(5).double(), torch.eye(6).double()], [None, None]
    for k in range(10):
        x = backward(model, opt, k)
        gradients = [-torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1) for layer in layers]
        if due(k, every):
            for i, (pair, G_i) in enumerate(zip(kronecker_factors(model, Gaussian(), x).values(), gradients)):
                left, right = roots(*pair)
                memory[i] = renewed(memory[i], left, G_i, right)
                inner = power(memory[i] + EPS * torch.eye(len(memory[i])).double(), -0.5)
                states[i] = left @ left, right @ inner @ right
        before = [layer.weight.detach().clone() for layer in layers]
        opt.step()
        for layer, W, (left, right), G_i in zip(layers, before, states, gradients):
            expected = W + 0.1 * (left @ G_i @ right / 2)[:, :-1]
            torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-9, atol=1e-9)


def test_training_goes_on_from_a_checkpoint_with_its_memory() -> None:
    model = network()
    opt = optimizer(model, factors=Factors(every=4, decay=0.5), inverse=Inverse(every=8))
    for k in range(6):
        backward(model, opt, k)
        opt.step()
    other = copy.deepcopy(model)
    again = optimizer(other, factors=Factors(every=4, decay=0.5), inverse=Inverse(every=8))
    again.load_state_dict(copy.deepcopy(opt.state_dict()))
    for k in range(6, 12):
        for m_, o in ((model, opt), (other, again)):
            backward(m_, o, k)
            o.step()
    assert all(a.equal(b) for a, b in zip(model.parameters(), other.parameters()))
    forgetful = optimizer(copy.deepcopy(model), factors=Factors(every=4, decay=0.5), inverse=Inverse(every=8))
    backward(model, opt, 20)
    backward(forgetful.model, forgetful, 20)
    opt.steps = forgetful.steps = 16
    opt.step()
    forgetful.step()
    assert not model[0].weight.equal(forgetful.model[0].weight)


def test_where_the_memory_is_the_identity_the_rule_is_kfac() -> None:
    """With G̃ᵀG̃ = c I and C = (1 − ε) I, C stays, and C + ε I = I."""
    Lambda_tilde, Lambda = factor(6, 1), factor(6, 2)
    left, right = roots(Lambda_tilde, Lambda)
    whitened = torch.linalg.qr(gaussian(6, 6, seed=3)).Q
    step = torch.linalg.inv(left) @ whitened @ torch.linalg.inv(right)
    rule, kfac = RULES["fisher_shampoo"], RULES["pi_damped"]
    state = rule.factorise(Lambda_tilde, Lambda, (1 - EPS) * torch.eye(6).double(), step, LAM)
    torch.testing.assert_close(state[-1], (1 - EPS) * torch.eye(6).double())
    expected = kfac.apply(step, kfac.factorise(Lambda_tilde, Lambda, LAM), L=3)
    torch.testing.assert_close(rule.apply(step, state, L=3), expected)


def test_with_no_more_than_the_present_gradient_in_memory_it_is_muon_in_the_metric_of_the_factors() -> None:
    A, B = PD("Lambda_tilde", n, n) ** -half, PD("Lambda", m, m) ** -half
    gram = (A * G_0 * B).T * A * G_0 * B
    singular = PSD("C", m, m)
    mine = Rule("mine", A**2 * G * B * Pinv(singular) ** half * B, memory=(singular, m * gram / Trace(gram)))
    muon = Rule("muon", A * Polar(A * G * B) * B)
    given = {"Lambda_tilde": factor(7, 1), "Lambda": factor(5, 2), "G_0": gaussian(7, 5, seed=3), "C": torch.eye(5)}
    found, expected = (run(rule, given) for rule in (mine, muon))
    scale = (found * expected).sum() / expected.square().sum()
    torch.testing.assert_close(found, scale * expected)
    other = run(mine, given | {"G": gaussian(7, 5, seed=4)})
    assert (other - scale * run(muon, given | {"G": gaussian(7, 5, seed=4)})).norm() > 0.1 * other.norm()


def run(rule: Rule, given: dict[str, Tensor]) -> Tensor:
    """ΔW by the emitted code, G being G_0 if it is not given."""
    namespace: dict = {}
    exec(rule.emit(), namespace)
    factorise, apply = namespace["factorise"], namespace["apply"]
    count = factorise.__code__.co_argcount
    state = factorise(**{name: given[name] for name in factorise.__code__.co_varnames[:count]})
    return apply(given.get("G", given["G_0"]), state)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_low_rank_eigenpairs_of_wide_layers_are_near_all_of_them(lead: tuple[int, ...]) -> None:
    """Gradients of rank 8 in factors with few large eigenvalues, against the same formula with all of them."""
    whole: dict = {}
    exec(fisher_shampoo.emit("cholesky"), whole)
    inputs, errors = (gaussian(*lead, 900, size, seed=size) for size in (300, 280))
    inputs, errors = (X * torch.exp(-0.5 * torch.arange(X.shape[-1])).clamp(min=0.03) for X in (inputs, errors))
    step = errors[..., :8, :].mT @ inputs[..., :8, :] / 8
    given = (
        errors.mT @ errors / 900,
        inputs.mT @ inputs / 900,
        torch.eye(300).double().expand(*lead, 300, 300),
        step,
        1e-3,
    )
    rule, state = RULES["fisher_shampoo"], RULES["fisher_shampoo"].factorise(*given)
    assert state[3].shape[-1] < 60
    found, expected = rule.apply(step, state, L=1), whole["apply"](step, whole["factorise"](*given), L=1)
    assert (found - expected).norm() < 0.25 * expected.norm()
    kfac = RULES["pi_damped"].by("low_rank")
    other = kfac.apply(step, kfac.factorise(*given[:2], 1e-3), L=1)
    assert (other - expected).norm() > 0.5 * expected.norm()


@pytest.mark.parametrize("lead", [(), (3,)])
def test_a_congruence_of_leading_roots_leaves_out_no_change_of_a_quarter(lead: tuple[int, ...]) -> None:
    Y, Z = (
        torch.linalg.qr(gaussian(*lead, 90, columns, seed=columns)).Q * torch.linspace(0, 0.99, columns).double()
        for columns in (20, 15)
    )
    eye = torch.eye(90).double()
    product = (eye - Y @ Y.mT) @ (eye - Z @ Z.mT) @ (eye - Y @ Y.mT)
    X = leading_congruence(Y, Z)
    left_out = torch.linalg.matrix_norm(product - (eye - X @ X.mT), 2)
    assert X.shape[-1] < 35 and (0.05 < left_out).all() and (left_out < 0.25).all()


def test_a_rule_of_ones_own_may_remember() -> None:
    mine = """
def factorise(G_0, C):
    C = C + G_0.mT @ G_0
    return torch.linalg.inv(C), C
def apply(G, state):
    inverse, nothing = state
    assert nothing is None
    return G @ inverse
"""
    model = nn.Linear(3, 2, bias=False).double()
    opt, C = NGD(model, Gaussian(), lr=0.1, rule=mine), torch.eye(3).double()
    for k in range(4):
        opt.zero_grad()
        Gaussian()(model(gaussian(20, 3, seed=k)), gaussian(20, 2, seed=9 + k)).backward()
        g, W = -model.weight.grad, model.weight.detach().clone()
        C = C + g.mT @ g
        opt.step()
        torch.testing.assert_close(model.weight.detach(), W + 0.1 * g @ torch.linalg.inv(C))


@pytest.mark.parametrize("returned, found", [("()", "None"), ("(Lambda, G_0)", r"\(2, 3\)"), ("(C, 1.0)", "1.0")])
def test_a_rule_that_asks_for_a_memory_must_leave_one(returned: str, found: str) -> None:
    source = f"def factorise(Lambda, G_0, C): return {returned}\ndef apply(G, state): return G\n"
    model = nn.Linear(3, 2, bias=False).double()
    opt, before = NGD(model, Gaussian(), rule=source), model.weight.detach().clone()
    Gaussian()(model(gaussian(20, 3)), gaussian(20, 2)).backward()
    with pytest.raises(ValueError, match=rf"must be the next C, of shape \(3, 3\); it is {found}"):
        opt.step()
    assert model.weight.equal(before)


def test_what_is_remembered_is_for_the_slow_part_only() -> None:
    source = "def factorise(Lambda): return ()\ndef apply(G, state, C): return G @ C\n"
    with pytest.raises(ValueError, match="unknown C: after G and state it may take Lambda_tilde"):
        NGD(nn.Linear(3, 2), Gaussian(), rule=source)


@pytest.mark.parametrize(
    "memory, message",
    [
        ((C, C + G.T * G), "use G_0 for G"),
        ((C, G_0), "the memory C is m×m, but its new value is n×m"),
        ((C, C + PD("Lambda_tilde", n, n)), "sizes differ"),
    ],
)
def test_memories_that_cannot_be_are_refused(memory: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rule("mine", G * C**-half, memory=memory)


def test_a_step_that_is_refused_leaves_the_memory_as_it_was() -> None:
    model = network()
    opt = optimizer(model)
    backward(model, opt, 0)
    opt.step()
    before = copy.deepcopy(opt.state_dict()["state"])
    backward(model, opt, 1)
    model[0].weight.grad[0, 0] = float("nan")
    with pytest.raises(ValueError, match="the gradient of layer '0' is not finite"):
        opt.step()
    assert "factorisation" in before[0]
    torch.testing.assert_close(opt.state_dict()["state"], before, rtol=0, atol=0)
