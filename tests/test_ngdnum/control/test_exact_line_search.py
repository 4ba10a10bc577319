"""The exact Fisher as an operator, the step that minimises the quadratic model, and steps that are undone."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from ngdnum import (
    NGD,
    ConjugateGradient,
    Damping,
    ExactLineSearch,
    Factors,
    Fixed,
    FixedStep,
    Gaussian,
    Inverse,
    LevenbergMarquardt,
    Likelihood,
    TrustRegion,
)
from ngdnum.fisher.primal import Call, Fisher
from ngdnum.stack import Stack, stacks
from support.networks import LIKELIHOODS, batch, dense_fisher, network, targets
from support.training import gradient, parameters, same, step, weights

torch.set_num_threads(1)
CONTROLS = [ExactLineSearch(), ExactLineSearch(momentum=False, rows=7), TrustRegion(0.01), ConjugateGradient(4)]


def flat(stacked: list[Stack], vector: list[Tensor], model: nn.Module) -> Tensor:
    """`vector` in the order of `model.parameters()`."""
    named: dict[str, Tensor] = {}
    for stack, u in zip(stacked, vector):
        named.update(stack.named(u))
    return torch.cat([named[name].flatten() for name, _ in model.named_parameters()])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_products_with_the_exact_fisher(likelihood: Likelihood, bias: bool) -> None:
    """Two calls of unequal size; layers 1 and 2 form one stack."""
    model, x = network([4, 3, 3, 3], bias), batch(9, 4)
    stacked = stacks(dict(enumerate(NGD(model, Gaussian()).layers)))
    torch.manual_seed(1)
    vectors = [[torch.randn_like(stack.weight()) for stack in stacked] for _ in range(3)]
    fisher = Fisher(model, likelihood, stacked, [Call((x[:7],), {}, share=7), Call((), {"input": x[7:]}, share=2)])
    F, V = dense_fisher(model, likelihood, x), torch.stack([flat(stacked, v, model) for v in vectors])
    torch.testing.assert_close(torch.tensor(fisher.inner(vectors), dtype=torch.float64), V @ F @ V.T)
    for v, row in zip(vectors, V):
        torch.testing.assert_close(flat(stacked, fisher.times(v), model), F @ row)


def test_the_fisher_leaves_buffers_and_gradients_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, affine=False), nn.Linear(5, 3)).double()
    stacked = stacks(dict(enumerate(NGD(model, Gaussian()).layers)))
    before = copy.deepcopy(model.state_dict())
    u = [stack.weight() for stack in stacked]
    fisher = Fisher(model, Gaussian(), stacked, [Call((batch(9, 4),), {})])
    length = sum((a * b).sum() for a, b in zip(fisher.times(u), u))
    assert fisher.inner([u]) == [[pytest.approx(length.item(), rel=1e-7)]]
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())


def test_the_fisher_sees_what_hooks_of_the_user_do_and_layers_used_twice() -> None:
    """And a frozen bias: the change of the outputs is that of a derivative of the whole model."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 3)).double()
    first, convolution = model[0], model[2]
    first.bias.requires_grad_(False)
    first.register_forward_hook(lambda module, inputs, output: 2 * output)
    first.register_forward_pre_hook(lambda module, inputs: (inputs[0].sin(),))
    model.register_forward_pre_hook(lambda module, inputs: (first(inputs[0]),))
    convolution.register_forward_pre_hook(lambda module, inputs: (inputs[0].unsqueeze(1),))
    stacked = stacks(dict(enumerate(NGD(model, Gaussian()).layers)))
    u, x = [torch.randn_like(stack.weight()) for stack in stacked], batch(6, 4)
    named: dict[str, Tensor] = {}
    for stack, matrices in zip(stacked, u):
        named.update(stack.named(matrices))
    trained = {name: model.get_parameter(name).detach() for name in named}
    _, change = jvp(lambda p: functional_call(model, p, (x,)), (trained,), (named,))
    hooks = [len(module._forward_hooks) for module in model.modules()]
    length = Fisher(model, Gaussian(), stacked, [Call((x,), {})]).inner([u])
    assert length == [[pytest.approx((change.square().sum() / 6).item(), rel=1e-7)]]
    assert hooks == [len(module._forward_hooks) for module in model.modules()]


@pytest.mark.parametrize("damped", [True, False])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_step_and_momentum_minimise_the_quadratic_model(likelihood: Likelihood, damped: bool) -> None:
    """Three steps with G as the direction: the dense model is solved in the plane of G and the last step."""
    model, lam, lr = network([4, 5, 3]), 0.1, 0.7
    opt = NGD(model, likelihood, lr, "sgd", Fixed(lam), control=ExactLineSearch(damped=damped))
    last = None
    for k in range(3):
        x, y = batch(30, 4, k), targets(likelihood, 30, 100 + k)
        g = -gradient(model, likelihood(model(x), y))
        A = dense_fisher(model, likelihood, x) + damped * lam * torch.eye(len(g))
        plane = g[:, None] if last is None else torch.stack([g, last], 1)
        expected = plane @ torch.linalg.solve(plane.T @ A @ plane, plane.T @ g)
        last = step(model, opt, likelihood, x, y)
        torch.testing.assert_close(last, lr * expected)


def test_no_momentum_is_the_line_search_alone() -> None:
    results = []
    for momentum in (False, True):
        model = network([4, 5, 3])
        opt = NGD(model, Gaussian(), rule="sgd", control=ExactLineSearch(momentum=momentum))
        steps = [step(model, opt, Gaussian(), batch(30, 4, k), batch(30, 3, 9 + k)) for k in range(2)]
        results.append(steps)
        assert any("velocity" in kept for kept in opt.state.values()) == momentum
    torch.testing.assert_close(results[0][0], results[1][0])
    assert (results[0][1] - results[1][1]).norm() > 1e-3


def test_rows_measure_the_fisher_on_the_first_examples() -> None:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    g = -gradient(model, Gaussian()(model(x), y))
    F = dense_fisher(model, Gaussian(), x[:6])
    opt = NGD(model, Gaussian(), rule="sgd", control=ExactLineSearch(rows=6, damped=False))
    torch.testing.assert_close(step(model, opt, Gaussian(), x, y), (g @ g / (g @ F @ g)) * g)


@pytest.mark.parametrize("control", [*CONTROLS, ExactLineSearch(rows=17)], ids=repr)
def test_accumulated_passes_are_one_batch(control: object) -> None:
    results = []
    for parts in ([30], [10, 10, 10]):
        model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
        opt = NGD(model, Gaussian(), samples=None, control=control)
        for piece, target in zip(x.split(parts), y.split(parts)):
            (Gaussian()(model(piece), target) / len(parts)).backward()
        opt.step()
        results.append(parameters(model))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["kronecker", "sgd"])
@pytest.mark.parametrize(
    "control", [ExactLineSearch(damped=False), ConjugateGradient(3, damped=False), TrustRegion(0.01)], ids=repr
)
def test_a_quadratic_loss_changes_as_predicted(control: object, rule: str) -> None:
    model, x, y = network([4, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt, ratios = NGD(model, Gaussian(), 0.4, rule, damping=1.0, control=control), []
    opt.damping = type("Spy", (Damping,), {"next": lambda self, lam, rho: ratios.append(rho) or lam})()
    for _ in range(3):
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
    assert ratios == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_nothing_moves_at_a_stationary_point(control: object) -> None:
    model, x = network([4, 5, 3]), batch(30, 4)
    before, opt = weights(model), NGD(model, Gaussian(), control=control)
    output = model(x)
    Gaussian()(output, output.detach()).backward()
    opt.step()
    assert same(before, weights(model))


@pytest.mark.parametrize("control", [*CONTROLS, FixedStep()], ids=repr)
@pytest.mark.parametrize("stop", [1, 4])
def test_a_saved_run_goes_on_to_the_bit(control: object, stop: int) -> None:
    options = {
        "rule": "pi_damped",
        "damping": LevenbergMarquardt(0.1, factor=2.0, reject=True),
        "factors": Factors(every=2, decay=0.9),
        "inverse": Inverse(every=3),
        "control": control,
    }

    def train(model: nn.Module, opt: NGD, steps: range) -> None:
        for k in steps:
            x, y = batch(30, 4, k), batch(30, 3, 1000 + k)
            opt.zero_grad()
            loss = Gaussian()(model(x), y)
            loss.backward()
            opt.step(lambda: Gaussian()(model(x), y), loss=loss)

    model = network([4, 5, 5, 5, 3])
    opt = NGD(model, Gaussian(), **options)
    train(model, opt, range(stop))
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "opt": opt.state_dict()}, buffer)
    train(model, opt, range(stop, 9))
    buffer.seek(0)
    saved, other = torch.load(buffer, weights_only=True), network([4, 5, 5, 5, 3], seed=9)
    resumed = NGD(other, Gaussian(), **options)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["opt"])
    train(other, resumed, range(stop, 9))
    assert same(weights(model), weights(other))


def rising(reject: bool) -> tuple[nn.Module, NGD, Tensor, Tensor, dict[str, Tensor]]:
    """After a good step, one that raises the loss: ten times too long."""
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    damping = LevenbergMarquardt(0.1, factor=4.0, reject=reject)
    opt = NGD(model, Gaussian(), damping=damping, control=ExactLineSearch())
    for lr in (0.5, 10.0):
        before = weights(model)
        opt.param_groups[0]["lr"] = lr
        opt.zero_grad()
        Gaussian()(model(x), y).backward()
        opt.step(lambda: Gaussian()(model(x), y))
    return model, opt, x, y, before


def test_a_step_that_raises_the_loss_is_undone_if_asked() -> None:
    model, opt, x, y, before = rising(reject=True)
    assert same(before, weights(model)) and not any("velocity" in kept for kept in opt.state.values())
    lam = opt.param_groups[0]["damping"]
    kept, free, *_ = rising(reject=False)
    assert not same(before, weights(kept)) and any("velocity" in kept for kept in free.state.values())
    assert lam == free.param_groups[0]["damping"]
    opt.param_groups[0]["lr"] = 0.5
    loss = Gaussian()(model(x), y).item()
    step(model, opt, Gaussian(), x, y)
    assert Gaussian()(model(x), y).item() < loss


def test_damping_moves_by_its_factor() -> None:
    damping = LevenbergMarquardt(1.0, floor=0.2, factor=3.0)
    moves = [damping.next(1.0, rho) for rho in (-float("inf"), 0.2, 0.5, 0.8, None)]
    assert moves == pytest.approx([3.0, 3.0, 1.0, 1 / 3, 1.0])
    assert damping.next(0.3, 1.0) == 0.2


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_a_refused_step_leaves_weights_and_past_alone(control: object) -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian(), damping=LevenbergMarquardt(0.1), control=control)
    step(model, opt, Gaussian(), batch(30, 4), batch(30, 3, seed=2))
    before, past = weights(model), copy.deepcopy(opt.state_dict()["state"])
    Gaussian()(model(batch(30, 4)), batch(30, 3) * float("nan")).backward()
    with pytest.raises(ValueError, match="not finite"):
        opt.step()
    assert same(before, weights(model))
    torch.testing.assert_close(opt.state_dict()["state"], past, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ExactLineSearch(rows=0), "rows"),
        (lambda: ExactLineSearch(rows=True), "rows"),
        (lambda: TrustRegion(0.0), "kl"),
        (lambda: TrustRegion(float("inf")), "kl"),
        (lambda: TrustRegion(0.1, rows=1.5), "rows"),
        (lambda: ConjugateGradient(steps=0), "steps"),
        (lambda: ConjugateGradient(tolerance=1.0), "tolerance"),
        (lambda: ConjugateGradient(rows=-1), "rows"),
        (lambda: LevenbergMarquardt(0.1, factor=1.0), "factor"),
        (lambda: LevenbergMarquardt(0.0, reject=True), "reject"),
    ],
)
def test_options_out_of_range_are_refused(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
