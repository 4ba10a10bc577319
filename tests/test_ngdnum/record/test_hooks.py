"""What the optimizer leaves on a model, and what it takes no notice of."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch

from ngdnum import NGD, Factors, Gaussian
from ngdnum.record.capture import Record
from support.networks import network
from support.problem import SIZES, problem, train
from support.training import expect_nothing_collected, measured

torch.set_num_threads(1)


def test_hooks_vanish_with_the_optimizer_and_nothing_else_was_written() -> None:
    model = network(SIZES)
    attributes = {name: sorted(vars(module)) for name, module in model.named_modules()}
    opt = NGD(model, Gaussian())
    train(model, opt, 2)
    assert attributes == {name: sorted(vars(module)) for name, module in model.named_modules()}
    assert any(module._forward_hooks for module in model.modules())
    gone = weakref.ref(opt)
    del opt
    gc.collect()
    assert gone() is None
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


@pytest.mark.what_if("training loops", "the optimizer is deleted between forward and backward pass", "it works as ever")
def test_backward_after_the_optimizer_is_gone_works() -> None:
    model, opt, x, y = problem()
    loss = Gaussian()(model(x), y)
    del opt
    gc.collect()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_copies_and_pickles_of_the_model_are_free_of_the_optimizer() -> None:
    model, opt, x, y = problem()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        Gaussian()(twin(x), y).backward()
        expect_nothing_collected(opt)
        torch.testing.assert_close(twin(x), model(x))


def test_gradients_are_those_of_the_plain_model() -> None:
    model, opt, x, y = problem(samples=3)
    twin = network(SIZES)
    for m in (model, twin):
        Gaussian()(m(x), y).backward()
    assert all(p.grad.equal(q.grad) for p, q in zip(model.parameters(), twin.parameters()))
    opt.step()


@pytest.mark.what_if(
    "training loops", "two optimizers share a model", "the factors of each are those that it has alone"
)
def test_two_optimizers_on_one_model_do_not_disturb_each_other() -> None:
    """Each measures what it would alone."""
    found = []
    for together in ((1,), (4,), (1, 4)):
        model, opt, x, y = problem()
        del opt
        opts = [NGD(model, Gaussian(), samples=k, factors=Factors(decay=0.5)) for k in together]
        Gaussian()(model(x), y).backward()
        for opt in opts:
            opt.step()
            found.append(measured(opt))
    torch.testing.assert_close(found[2:], found[:2], rtol=0, atol=0)


def test_evaluation_leaves_no_trace() -> None:
    model, opt, x, _ = problem()
    with torch.no_grad():
        model(x)
    expect_nothing_collected(opt)


@pytest.mark.parametrize("backward", [True, False])
def test_what_a_forward_pass_recorded_dies_with_its_output(backward: bool) -> None:
    model, opt, x, y = problem()
    for _ in range(3):
        output = model(x)
        if backward:
            Gaussian()(output, y).backward()
            opt.step()
    assert [type(o) for o in gc.get_objects() if isinstance(o, Record)] == [Record]
    del output
    assert not [o for o in gc.get_objects() if isinstance(o, Record)]


def test_functional_transforms_of_the_model_go_unnoticed() -> None:
    model, opt, x, _ = problem()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(parameters)
    torch.func.jvp(lambda p: torch.func.functional_call(model, p, (x,)), (parameters,), (parameters,))
    jacobians = torch.func.vmap(torch.func.jacrev(lambda v: model(v[None])[0]))(x)
    assert jacobians.shape == (30, 3, 4)
    torch.func.functional_call(model, parameters, (x.clone().requires_grad_(),)).sum().backward()
    expect_nothing_collected(opt)
