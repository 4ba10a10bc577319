"""Likelihoods: the loss, the score and the Fisher of the outputs against torch's own and against each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ngdnum import NGD, Bernoulli, Categorical, Gaussian, Likelihood
from ngdnum.likelihood import fisher_product, sampled_score, score

torch.set_num_threads(1)
N = 3
A = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FULL = A @ A.mT + torch.eye(N, dtype=torch.float64)
ALL = {
    "unit": Gaussian(),
    "scalar": Gaussian(0.3),
    "diagonal": Gaussian(torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)),
    "full": Gaussian(FULL),
    "categorical": Categorical(),
    "bernoulli": Bernoulli(),
}


@pytest.fixture(params=ALL)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    return ALL[request.param]


def outputs(count: int = 5) -> Tensor:
    return torch.randn(count, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_losses_are_those_of_torch() -> None:
    f = outputs()
    y = torch.randn_like(f)
    r = y - f
    torch.testing.assert_close(Gaussian()(f, y), N / 2 * F.mse_loss(f, y))
    torch.testing.assert_close(Gaussian(FULL)(f, y), 0.5 * (r @ FULL.inverse() * r).sum(1).mean())
    torch.testing.assert_close(Gaussian(FULL.diagonal())(f, y), Gaussian(FULL.diagonal().diag())(f, y))
    classes, bits = torch.tensor([0, 2, 1, 1, 0]), (y > 0).double()
    torch.testing.assert_close(Categorical()(f, classes), F.cross_entropy(f, classes))
    torch.testing.assert_close(Bernoulli()(f, bits), N * F.binary_cross_entropy_with_logits(f, bits))


def test_gaussian_log_density_is_torchs_up_to_the_constant() -> None:
    f, y = outputs(), outputs().flip(0)
    reference = torch.distributions.MultivariateNormal(f, FULL)
    constant = reference.log_prob(f)
    torch.testing.assert_close(Gaussian(FULL).log_density(f, y), reference.log_prob(y) - constant)


def test_score_is_the_derivative_of_the_log_density(likelihood: Likelihood) -> None:
    f = outputs()
    y = likelihood.sample(f, torch.Generator().manual_seed(2))
    torch.testing.assert_close(likelihood.score(f, y), score(likelihood, f, y))


def test_sampled_scores_have_mean_zero_and_the_output_fisher_as_covariance(likelihood: Likelihood) -> None:
    """Both within five standard errors of 20,000 samples per example, entry by entry."""
    f = outputs(2)
    s = sampled_score(likelihood, f, 20_000, torch.Generator().manual_seed(3))
    products = s.unsqueeze(-1) * s.unsqueeze(-2)
    root = likelihood.fisher_root(f)
    fisher = torch.einsum("rmi,rmj->mij", root, root)
    for estimate, expected in ((s, torch.zeros_like(f)), (products, fisher)):
        error = (estimate.mean(0) - expected).abs()
        assert (error <= 5 * estimate.std(0) / len(s) ** 0.5 + 1e-12).all()


def test_output_fisher_is_the_expected_hessian(likelihood: Likelihood) -> None:
    """For these likelihoods the Hessian of −log q in f does not depend on y."""
    f = outputs()
    y = likelihood.sample(f, torch.Generator().manual_seed(2))
    root = likelihood.fisher_root(f)
    for m in range(len(f)):
        hessian = torch.autograd.functional.hessian(lambda v: likelihood(v[None], y[m : m + 1]), f[m])
        torch.testing.assert_close(root[:, m].mT @ root[:, m], hessian)


def test_sampling_is_reproducible(likelihood: Likelihood) -> None:
    draw = [likelihood.sample(outputs(50), torch.Generator().manual_seed(k)) for k in (4, 4, 5)]
    assert draw[0].equal(draw[1])
    assert not draw[0].equal(draw[2])


def test_float32_output_with_a_float64_covariance_stays_float32() -> None:
    f = outputs().float()
    likelihood = Gaussian(FULL)
    for value in (likelihood(f, f), likelihood.sample(f), likelihood.score(f, f), likelihood.fisher_root(f)):
        assert value.dtype == torch.float32


@pytest.mark.what_if(
    "batches", "the covariance of a Gaussian is not positive definite", "ValueError: “positive definite”"
)
@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (0.0, "positive"),
        (-1, "positive"),
        (float("nan"), "finite"),
        (torch.tensor([1.0, -1.0]), "positive"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (torch.ones(2, 3), "n × n"),
    ],
)
def test_impossible_covariances_are_refused(covariance: float | Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gaussian(covariance)


@pytest.mark.what_if("batches", "a class number is too large", "ValueError: “0 … 2”, the classes there are")
def test_wrong_shapes_are_refused_instead_of_broadcast() -> None:
    f = outputs()
    with pytest.raises(ValueError, match="same shape"):
        Gaussian()(f, f[:, :1])
    with pytest.raises(ValueError, match="same shape"):
        Bernoulli()(f, f[0])
    with pytest.raises(ValueError, match="2 outputs, but the model has 3"):
        Gaussian(torch.ones(2))(f, f)
    with pytest.raises(ValueError, match="class numbers"):
        Categorical()(f, f)
    with pytest.raises(ValueError, match="0 … 2"):
        Categorical()(f, torch.tensor([0, 1, 2, 3, 0]))


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 0.0, 2.0])])
def test_classes_are_weighted_and_ignored_as_by_torch(weight: Tensor | None) -> None:
    options = {"weight": weight if weight is None else weight.double(), "ignore_index": 1}
    for shape in ((5,), (4, 5)):
        f = torch.randn(*shape, N, dtype=torch.float64, requires_grad=True)
        y = torch.arange(f[..., 0].numel()).remainder(N).view(shape)
        losses = Categorical(**options)(f, y), F.cross_entropy(f.flatten(0, -2), y.flatten(), **options)
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*[torch.autograd.grad(loss, f)[0] for loss in losses])
    assert not Categorical(**options).score(f.detach(), y)[y == 1].any()
    assert Categorical()(f, y.masked_fill(y == 1, -100)) == Categorical(ignore_index=1)(f, y)


def test_scores_of_sampled_classes_are_whole_where_the_class_is_ignored() -> None:
    f, generators = outputs(50), [torch.Generator().manual_seed(0) for _ in range(2)]
    drawn = [
        sampled_score(likelihood, f, 2, g) for likelihood, g in zip([Categorical(), Categorical(None, 1)], generators)
    ]
    torch.testing.assert_close(*drawn)


def test_a_weighted_loss_is_the_weighted_mean(likelihood: Likelihood) -> None:
    f, w = outputs(), torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0])
    y = likelihood.sample(f, torch.Generator().manual_seed(2))
    expected = -(w * likelihood.log_density(f, y)).sum() / w.sum()
    torch.testing.assert_close(likelihood(f, y, weight=w), expected)
    torch.testing.assert_close(likelihood(f, y, weight=w > 0), likelihood(f[1:], y[1:]))
    assert likelihood(torch.cat([f[:1] * torch.nan, f[1:]]), y, weight=w) == likelihood(f, y, weight=w)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f: Bernoulli()(f, 255 * f.sigmoid()), r"in \[0, 1\]; got .*divide pixels by 255"),
        (lambda f: Bernoulli()(f, -f.sigmoid()), r"in \[0, 1\]"),
        (lambda f: Bernoulli()(f, f * torch.nan), r"in \[0, 1\]; got nan"),
        (lambda f: Bernoulli().score(f, 1 + f.sigmoid()), r"in \[0, 1\]"),
        (lambda f: Gaussian()(f, f.to(torch.complex128)), "real"),
        (lambda f: Gaussian()(f.to(torch.complex128), f), "outputs must be real floating-point numbers"),
        (lambda f: Categorical()(f, torch.tensor([0, -1, 1, 1, 1])), "0 … 2; got -1 … 1"),
        (lambda f: Categorical()(f, torch.zeros(4, dtype=torch.int64)), "class numbers"),
        (lambda f: Categorical()(f, torch.full((5,), -100)), "one of them positive"),
        (lambda f: Categorical(weight=torch.ones(2))(f, torch.ones(5).long()), "2 class weights.* 3 outputs"),
        (lambda f: Categorical(weight=-torch.ones(3)), "≥ 0"),
        (lambda f: Categorical(weight=torch.zeros(3)), "not all 0"),
        (lambda f: Categorical(ignore_index=1.0), "integer"),
        (lambda f: Gaussian()(f, f, weight=torch.ones(5, 3)), r"one real number for each row, shape \(5,\)"),
        (lambda f: Gaussian()(f, f, weight=-torch.ones(5)), "≥ 0 and finite"),
        (lambda f: Gaussian()(f, f, weight=torch.full((5,), torch.nan)), "≥ 0 and finite"),
        (lambda f: Gaussian()(f, f, weight=torch.full((5,), torch.inf)), "≥ 0 and finite"),
        (lambda f: Gaussian()(f, f, weight=torch.zeros(5)), "one of them positive"),
        (lambda f: Gaussian()(f, f[:4], weight=torch.ones(5)), r"one row for each"),
        (lambda f: Categorical().sample(f * torch.nan), "output is not finite"),
        (lambda f: Bernoulli().sample(f * torch.inf), "output is not finite"),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(outputs())


class TwoMethods:
    """What a likelihood must have, and no more."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.log_density, self.sample = likelihood.log_density, likelihood.sample


class Laplace:
    """Of which the second derivative is 0, and the Fisher 1."""

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        return -(output - target).abs().sum(-1)

    def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(output.shape, generator=generator, dtype=output.dtype) - 0.5
        return output - u.sign() * (1 - 2 * u.abs()).log()


def test_estimated_fisher_of_two_methods(likelihood: Likelihood) -> None:
    """Five standard errors from the closed form at most, in each entry: 25,600 rows of a sample, two rows of 128."""

    def fisher(likelihood: object, f: Tensor) -> Tensor:
        eye = torch.eye(N, dtype=f.dtype)
        return torch.stack([fisher_product(likelihood, f, e.expand(len(f), N)) for e in eye], 1)

    f = outputs(2)
    closed, few = fisher(likelihood, f), fisher(TwoMethods(likelihood), f)
    many = fisher(TwoMethods(likelihood), f.repeat(25_600, 1)).unflatten(0, (25_600, 2))
    for estimate, samples in ((many.mean(0), 25_600), (few, 128)):
        assert ((estimate - closed).abs() <= 5 * many.std(0) / samples**0.5 + 1e-9).all()
    assert few.equal(fisher(TwoMethods(likelihood), f))
    torch.testing.assert_close(few, few.mT)


def test_estimated_fisher_where_the_hessian_is_not_the_fisher() -> None:
    f = outputs(1000)
    torch.testing.assert_close(
        fisher_product(Laplace(), f, torch.ones_like(f)).mean(), torch.ones(()).double(), rtol=0.1, atol=0
    )


@pytest.mark.parametrize(
    "preset, starts, bounds",
    [(NGD.fast, 12, (1.35, 1.35)), (NGD.sample_efficient, 4, (1.02, 1.2))],
    ids=["fast", "sample_efficient"],
)
@pytest.mark.parametrize("base", [Gaussian(0.3), Categorical(), Bernoulli()], ids=repr)
def test_two_methods_train_as_well_as_the_closed_form(
    base: Likelihood, preset: Callable[..., NGD], starts: int, bounds: tuple[float, float]
) -> None:
    """Over 120 starts, means of `NGD.fast` with classes differ by 5 %; over 12, chance moves their ratio by 14 %.

    Over 4, those of `NGD.sample_efficient` differ by less than 1 % with a Gaussian. A likelihood of two methods does
    not say that its outputs are logits, so that λ has other units (`curvature.units`), and they differ by 9 and 15 %.
    """

    def loss(likelihood: object, seed: int) -> float:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, N)).double()
        x = torch.randn(100, 4).double()
        y = base.sample(3 * x[:, :N].sin(), torch.Generator().manual_seed(0))
        opt = preset(model, likelihood)
        for _ in range(30):
            opt.zero_grad()
            (-base.log_density(model(x), y).mean()).backward()
            opt.step()
        return base(model(x), y).item()

    closed, estimated = (sum(loss(likelihood, k) for k in range(starts)) for likelihood in (base, TwoMethods(base)))
    assert estimated < bounds[base.outputs_are_numbers] * closed


def test_log_density_that_sums_over_examples_is_refused() -> None:
    class Summed(Likelihood):
        def log_density(self, output: Tensor, target: Tensor) -> Tensor:
            return -(output - target).square().sum()

        def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
            return output

    for use in (Summed().score, Summed()):
        with pytest.raises(ValueError, match="one value per example"):
            use(outputs(), outputs())


def test_product_with_the_fisher_of_the_output(likelihood: Likelihood) -> None:
    output, change = outputs(), outputs().flip(0)
    root = likelihood.fisher_root(output)
    expected = torch.einsum("rmi,rmj,mj->mi", root, root, change)
    torch.testing.assert_close(likelihood.fisher_product(output, change), expected)

    class OnlyRoot:
        fisher_root = staticmethod(likelihood.fisher_root)

    torch.testing.assert_close(fisher_product(OnlyRoot(), output, change), expected)


def test_lengths_of_errors_keep_their_digits_where_outputs_are_certain() -> None:
    f, lengths = 20 * outputs(200), []
    for own in (f.float(), f.float().double()):
        e = score(Categorical(), own, torch.zeros(len(f), dtype=torch.int64))
        lengths.append((e * fisher_product(Categorical(), own, e)).sum(-1).double())
    certain_and_wrong = f[:, 1:].amax(-1) - f[:, 0] > 10
    assert certain_and_wrong.sum() > 50
    torch.testing.assert_close(lengths[0][certain_and_wrong], lengths[1][certain_and_wrong], rtol=1e-4, atol=0)
