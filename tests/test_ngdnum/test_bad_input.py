"""Bad input gets an error that says what is wrong, and leaves the weights as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngdnum import (
    NGD,
    Categorical,
    Fixed,
    Gaussian,
    Likelihood,
    kronecker_factors,
)
from ngdnum.layers import trainable_layers
from ngdnum.stack import stacks
from support.networks import TwoMethods, batch, network
from support.training import expect, expect_nothing_collected

torch.set_num_threads(1)


def ready(**options: object) -> tuple[nn.Module, NGD, Tensor, Tensor]:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt = NGD(model, Gaussian(), **options)
    Gaussian()(model(x), y).backward()
    return model, opt, x, y


@pytest.mark.what_if(
    "training loops", "`step` is called before `backward`", "RuntimeError that asks for “backward”; no weight moves"
)
def test_step_before_backward() -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian())
    expect(RuntimeError, "backward", model, opt.step)


@pytest.mark.what_if(
    "training loops",
    "`step` is called twice for one `backward`",
    "RuntimeError that asks for “backward”; no weight moves",
)
def test_second_step_without_backward() -> None:
    model, opt, _, _ = ready()
    opt.step()
    expect(RuntimeError, "backward", model, opt.step)


@pytest.mark.what_if(
    "training loops",
    "`zero_grad` is called between `backward` and `step`",
    "RuntimeError that asks for “backward”; no weight moves",
)
def test_step_after_zero_grad() -> None:
    model, opt, _, _ = ready()
    opt.zero_grad()
    expect(RuntimeError, "backward", model, opt.step)


@pytest.mark.what_if(
    "batches", "inputs or targets are NaN or infinite", "ValueError: “not finite, so no weight was changed…batch”"
)
@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["input", "target"])
def test_batches_that_are_not_finite(where: str, value: float, damping: float) -> None:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt = NGD(model, Gaussian(), damping=damping)
    (x if where == "input" else y)[3, 1] = value
    Gaussian()(model(x), y).backward()
    expect(ValueError, "not finite, so no weight was changed.*batch", model, opt.step)


@pytest.mark.what_if("batches", "a good batch follows one with NaN", "the step is taken")
def test_training_goes_on_after_a_bad_batch() -> None:
    model, opt, x, y = ready()
    opt.zero_grad()
    Gaussian()(model(x * float("nan")), y).backward()
    expect(ValueError, "not finite", model, opt.step)
    opt.zero_grad()
    Gaussian()(model(x), y).backward()
    opt.step()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.what_if(
    "gradients and steps",
    "a step would make a weight infinite",
    "ValueError: “the new weight of layer '2' … lower lr”; no layer moves",
)
def test_a_step_that_overflows_is_not_taken() -> None:
    model, opt, _, _ = ready(lr=1e300, damping=1e-20)
    model[2].weight.grad.mul_(1e15)  # the last layer only: the first must wait for it
    expect(ValueError, "the new weight of layer '2' .* lower lr", model, opt.step)


@pytest.mark.what_if(
    "gradients and steps", "one gradient of one layer is NaN", "ValueError: “the gradient of layer '2'”; no layer moves"
)
def test_one_bad_layer_keeps_all_layers() -> None:
    model, opt, _, _ = ready()
    model[2].weight.grad[0, 0] = float("nan")
    expect(ValueError, "the gradient of layer '2'", model, opt.step)


@pytest.mark.what_if("batches", "a batch has no examples", "ValueError: “empty batch”")
@pytest.mark.what_if("batches", "a single example has no axis for examples", "ValueError: “NGD needs [M, …, 4]”")
@pytest.mark.parametrize("shape", [(4,), (0, 4), (0, 2, 4)], ids=str)
def test_inputs_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    model = network([4, 5, 3])
    opt = NGD(model, Gaussian())
    message = "empty batch" if 0 in shape else r"NGD needs \[M, …, 4\]"
    expect(ValueError, message, model, lambda: model(torch.zeros(shape, dtype=torch.float64)))
    expect(ValueError, message, model, lambda: kronecker_factors(model, Gaussian(), torch.zeros(shape).double()))
    expect_nothing_collected(opt)


@pytest.mark.what_if("batches", "a single image has no axis for examples", "ValueError: “NGD needs [M, 2, …, …]”")
def test_images_without_an_axis_for_examples() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(1))
    opt = NGD(model, Gaussian())
    expect(ValueError, r"NGD needs \[M, 2, …, …\]", model, lambda: model(torch.zeros(2, 5, 5)))
    expect(ValueError, "empty batch", model, lambda: model(torch.zeros(0, 2, 5, 5)))
    assert not opt.steps


@pytest.mark.what_if("batches", "the output of the model is flat", "ValueError: “must be a tensor [M, n_L]”")
def test_output_that_is_no_matrix() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Flatten(0))
    opt = NGD(model, Gaussian())
    expect(ValueError, r"must be a tensor \[M, n_L\]", model, lambda: model(torch.zeros(3, 4)))
    assert not opt.steps


@pytest.mark.what_if(
    "batches", "targets have another shape than outputs", "ValueError: “same shape”; nothing is broadcast"
)
def test_targets_of_the_wrong_shape() -> None:
    model, _, x, y = ready()
    expect(ValueError, "same shape", model, lambda: Gaussian()(model(x), y[:, :1]))
    expect(ValueError, "class numbers", model, lambda: Categorical()(model(x), y))


@pytest.mark.what_if(
    "training loops",
    "the closure calls `backward`, as for LBFGS, or `zero_grad`",
    "RuntimeError: “must only compute the loss”; no weight moves",
)
@pytest.mark.what_if("training loops", "the closure returns nothing", "TypeError: “must return the loss”")
def test_closures_that_do_more_than_compute_the_loss() -> None:
    model, opt, x, y = ready()

    def backward() -> Tensor:
        loss = Gaussian()(model(x), y)
        loss.backward()
        return loss

    def forced() -> Tensor:
        with torch.enable_grad():
            return backward()

    def zeroing() -> Tensor:
        opt.zero_grad()
        return Gaussian()(model(x), y)

    for closure in (backward, forced, zeroing):
        expect(RuntimeError, "must only compute the loss", model, lambda c=closure: opt.step(c))
    expect(TypeError, "must return the loss", model, lambda: opt.step(lambda: None))
    expect(TypeError, "must return the loss", model, lambda: opt.step(lambda: torch.ones(3)))


@pytest.mark.what_if(
    "training loops",
    "the closure fails after the update",
    "its exception goes on, and the weights are those before the step",
)
def test_a_closure_that_fails_after_the_update_takes_it_back() -> None:
    model, opt, _, _ = ready()
    losses = iter([1.0])
    expect(StopIteration, "", model, lambda: opt.step(lambda: next(losses)))


@pytest.mark.what_if(
    "training loops",
    "the loss is NaN before the step",
    "ValueError: “the loss before the step is nan”; no weight moves",
)
def test_a_loss_that_is_not_finite_before_the_step() -> None:
    model, opt, _, _ = ready()
    expect(ValueError, "the loss before the step is nan", model, lambda: opt.step(lambda: float("nan")))


@pytest.mark.what_if(
    "gradients and steps",
    "a rule of your own returns another shape",
    "ValueError: “returned an update of shape”; no weight moves",
)
def test_rules_that_return_the_wrong_shape() -> None:
    model, opt, _, _ = ready(rule="def factorise():\n    return ()\ndef apply(G, state):\n    return G.mT\n")
    expect(ValueError, "returned an update of shape", model, opt.step)


@pytest.mark.what_if(
    "gradients and steps",
    "a factor cannot be factorised",
    "LinAlgError: “layers 2 … raise the damping”; no weight moves",
)
def test_a_factor_that_cannot_be_factorised() -> None:
    source = (
        "def factorise(Lambda, lam):\n"
        "    return (torch.linalg.cholesky(Lambda if len(Lambda) == 5 else -Lambda),)\n"
        "def apply(G, state):\n    return G\n"
    )
    model, opt, _, _ = ready(rule=source, damping=1e-3)
    expect(torch.linalg.LinAlgError, "layers 2 .* raise the damping", model, opt.step)


@pytest.mark.what_if("checkpoints", "the state of another optimizer is loaded", "ValueError: “no entry 'ngd'”")
@pytest.mark.what_if(
    "checkpoints",
    "the state of another model is loaded",
    "ValueError: “is of another model: the model lacks 2.bias, 2.weight”",
)
def test_state_of_another_optimizer_or_model() -> None:
    model, opt, _, _ = ready()
    state = opt.state_dict()
    foreign = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    other = NGD(network([4, 3]), Gaussian())
    with pytest.raises(ValueError, match="no entry 'ngd'"):
        opt.load_state_dict(foreign)
    with pytest.raises(ValueError, match="is of another model: the model lacks 2.bias, 2.weight"):
        other.load_state_dict(state)
    assert other.steps == 0


def test_user_likelihood_of_two_methods_trains() -> None:
    model, x, y = network([4, 5, 3]), batch(30, 4), batch(30, 3, seed=2)
    opt, reference = NGD(model, TwoMethods()), kronecker_factors(model, Gaussian(), x)
    generator = torch.Generator().manual_seed(0)
    draws = [kronecker_factors(model, TwoMethods(), x, 50, generator)["0"][0] for _ in range(20)]
    torch.testing.assert_close(torch.stack(draws).mean(0), reference["0"][0], rtol=0.1, atol=0.1)
    (-TwoMethods().log_density(model(x), y).mean()).backward()
    opt.step()
    assert isinstance(opt.likelihood, TwoMethods) and not isinstance(opt.likelihood, Likelihood)


def test_large_numbers_are_finite() -> None:
    """Their sum overflows, they do not."""
    model = network([4, 5, 3])
    stack = stacks(dict(enumerate(trainable_layers(model)[0])))[0]
    matrices = torch.full((5, 5), torch.finfo(torch.float64).max, dtype=torch.float64)
    stack.check_finite("it", matrices, "")
    matrices[4, 4] = torch.inf
    with pytest.raises(ValueError, match="it of layer '0'"):
        stack.check_finite("it", matrices, "")


class Reused(nn.Module):
    """Its output may lie where its input lay."""

    def forward(self, x: Tensor) -> Tensor:
        x = -x
        return x.sin()


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.first(x))


@pytest.mark.what_if(
    "training loops",
    "the exact rule is used for a network with nonlinear layers",
    "ValueError: “needs a chain of nn.Linear layers”; no weight moves",
)
@pytest.mark.parametrize(
    "model",
    [
        network([4, 4, 4]),
        network([4, 4, 4], activation=lambda: nn.ReLU(inplace=True)),
        nn.Sequential(nn.Linear(4, 4), nn.Tanh()),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)),
        Skip(),
        network([4, 4, 4], activation=Reused),
    ],
    ids=["tanh", "relu in place", "at the end", "in place at the end", "skip", "memory used again"],
)
def test_the_exact_rule_refuses_what_is_no_linear_chain(model: nn.Module) -> None:
    model, x = model.double(), batch(30, 4)
    opt = NGD(model, Gaussian(), rule="exact", samples=None)
    Gaussian()(model(x), x).backward()
    expect(ValueError, "needs a chain of nn.Linear layers", model, opt.step)


@pytest.mark.parametrize("dtype, lr", [(torch.float32, 1e38), (torch.float64, 1e308)])
def test_a_step_that_overflows_the_weights_is_refused(dtype: torch.dtype, lr: float) -> None:
    """Also where lr times the update is still finite in the float64 of Python."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).to(dtype)
    before = [p.detach().clone() for p in model.parameters()]
    opt = NGD(model, Gaussian(), rule="sgd", lr=lr, damping=Fixed(0.01))
    Gaussian()(model(100 * torch.randn(9, 4, dtype=dtype)), torch.randn(9, 2, dtype=dtype)).backward()
    with pytest.raises(ValueError, match="the new weight of layer"):
        opt.step()
    assert all(p.equal(old) for p, old in zip(model.parameters(), before))
