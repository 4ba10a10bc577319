"""Likelihoods q(y | f) of a target y given the model's output f.

One object serves three purposes: it is the training loss −⟨log q⟩ (without the additive constant), it draws
the targets from which the Fisher is estimated, and it knows a square root of the Fisher of the outputs, from
which the Kronecker factors are computed exactly.

Layout everywhere: outputs are `[M, n]`, one row per example, or `[M, …, n]`, one per position of an example: all
axes but the last count examples. Scores ∂ log q/∂f are `[M, n]`; a square root of the output Fisher is
`[R, M, n]`, R directions s_r per example with Σ_r s_r s_rᵀ = ⟨(∂ log q/∂f)(∂ log q/∂f)ᵀ⟩.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


class Likelihood(ABC):
    """A likelihood of your own: implement `log_density` and `sample`, the score follows by autograd.

    Calling the object gives the loss −(1/M) Σ log q(y | f). `fisher_root` is only needed for exact factors
    (`samples=None`).

    Examples
    --------
    >>> class Poisson(Likelihood):
    ...     def log_density(self, output, target):
    ...         return (target * output - output.exp()).sum(-1)
    ...     def sample(self, output, generator=None):
    ...         return torch.poisson(output.exp(), generator=generator)
    >>> Poisson()(torch.zeros(4, 2), torch.ones(4, 2))
    tensor(2.)
    """

    fisher_root: Callable[[Tensor], Tensor]

    @abstractmethod
    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """log q(y | f) of each example up to a constant, `[M]`, differentiable in `output`."""

    @abstractmethod
    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """One target for each row of `output`, drawn from q(y | f)."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """−(1/M) Σ log q(y | f), a scalar: a mean over examples, a sum over outputs."""
        return -self.log_density(output, target).mean()

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """∂ log q(y | f)/∂f of each example, `[M, n]`, not divided by M."""
        return score(self, output, target)


def score(likelihood: Likelihood, output: Tensor, target: Tensor) -> Tensor:
    """∂ log q(y | f)/∂f of each example by autograd, `[M, n]`, for anything that has a `log_density`."""
    with torch.enable_grad():
        output = output.detach().requires_grad_()
        log_density = likelihood.log_density(output, target)
        if log_density.shape != output.shape[:-1]:
            raise ValueError(
                f"log_density of {type(likelihood).__name__} must return one value per example, shape "
                f"{tuple(output.shape[:-1])}; it returned shape {tuple(log_density.shape)}: sum over outputs, "
                "not over examples"
            )
        return torch.autograd.grad(log_density.sum(), output)[0]


def fisher_product(likelihood: Likelihood, output: Tensor, change: Tensor) -> Tensor:
    """F c for each row c of `change` `[M, n]`, with F the Fisher of that example's output.

    Σ cᵀF c over the rows is twice the Kullback–Leibler divergence that the change causes, to second order.
    """
    own = getattr(likelihood, "fisher_product", None)
    if own:
        return own(output, change)
    root = likelihood.fisher_root(output)
    return (root * (root * change).sum(-1, keepdim=True)).sum(0)


def sampled_score(likelihood: Likelihood, output: Tensor, samples: int, generator: Generator | None) -> Tensor:
    """Scores of `samples` targets per example drawn from the model, `[K, M, n]`."""
    short = getattr(likelihood, "sampled_score", None)
    own = getattr(likelihood, "score", None)
    scores = []
    for _ in range(samples):
        if short:
            scores.append(short(output, generator))
            continue
        target = likelihood.sample(output, generator)
        scores.append(own(output, target) if own else score(likelihood, output, target))
    return torch.stack(scores) if samples > 1 else scores[0].unsqueeze(0)


def check_likelihood(likelihood: object) -> None:
    """Refuse what cannot serve as a likelihood, with the list of what can."""
    if isinstance(likelihood, type) or not all(
        callable(getattr(likelihood, name, None)) for name in ("log_density", "sample")
    ):
        raise TypeError(
            f"unknown likelihood {likelihood!r}: use Gaussian(), Categorical(), Bernoulli(), or an object with "
            "the methods log_density(output, target) and sample(output, generator)"
        )


class Gaussian(Likelihood):
    r"""y = f + ξ, ξ ~ N(0, Σ̃): the likelihood of the paper (Eq. 6).

    The loss is ½ (y−f)ᵀΣ̃⁻¹(y−f), summed over outputs and averaged over the batch, without constant. With Σ̃
    = I that is n/2 times `torch.nn.MSELoss`, which averages over the n outputs as well.

    Parameters
    ----------
    covariance : float or Tensor, default 1.0
        Σ̃: a variance, the n variances `[n]`, or a positive definite matrix `[n, n]`.

    Raises
    ------
    ValueError
        If Σ̃ is not positive definite, not symmetric or not finite.

    Examples
    --------
    >>> Gaussian()(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    tensor(2.5000)
    >>> Gaussian(covariance=0.25)(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    tensor(10.)
    """

    def __init__(self, covariance: float | Tensor = 1.0) -> None:
        if not isinstance(covariance, Tensor):
            covariance = torch.tensor(covariance, dtype=torch.float64)
        if covariance.ndim > 2 or (covariance.ndim == 2 and covariance.shape[0] != covariance.shape[1]):
            raise ValueError(
                f"covariance must be a number, n variances or an n × n matrix; it has shape {tuple(covariance.shape)}"
            )
        if not covariance.isfinite().all():
            raise ValueError("covariance has entries that are not finite")
        if covariance.ndim < 2:
            if not (covariance > 0).all():
                raise ValueError(f"variances must be positive, got {covariance.tolist()}")
            self._root = covariance.sqrt()
            self._precision_root = self._root.reciprocal()
        else:
            if not torch.allclose(covariance, covariance.mT):
                raise ValueError("covariance must be symmetric")
            self._root, failed = torch.linalg.cholesky_ex(covariance)
            if failed:
                raise ValueError("covariance must be positive definite")
            eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
            self._precision_root = torch.linalg.solve_triangular(self._root, eye, upper=False).mT
        self.covariance = covariance

    def __repr__(self) -> str:
        scalar = self.covariance.ndim == 0
        return f"Gaussian(covariance={self.covariance.item() if scalar else list(self.covariance.shape)})"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """−½ (y−f)ᵀΣ̃⁻¹(y−f) of each example, `[M]`."""
        _check_shapes(output, target)
        precision_root = self._fitted(self._precision_root, output)
        if not precision_root.ndim:
            square = F.mse_loss(output, target.to(output), reduction="none")  # one pass forward, one back
            return -0.5 * precision_root.square() * square.sum(-1)
        residual = target - output
        white = residual * precision_root if precision_root.ndim < 2 else residual @ precision_root
        return -0.5 * white.square().sum(-1)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """f + Σ̃^{1/2} z with z ~ N(0, I), `[M, n]`."""
        z = torch.randn(output.shape, generator=generator, dtype=output.dtype, device=output.device)
        return output + _times_transpose(z, self._fitted(self._root, output))

    def sampled_score(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """Σ̃^{-1/2} z, the score of a target drawn from the model, without the way by the target."""
        z = torch.randn(output.shape, generator=generator, dtype=output.dtype, device=output.device)
        return _times_transpose(z, self._fitted(self._precision_root, output))

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Σ̃⁻¹(y − f), `[M, n]`."""
        return self._precision_times(output, _difference(output, target))

    def fisher_root(self, output: Tensor) -> Tensor:
        """The columns of P with P Pᵀ = Σ̃⁻¹, the same for every example, `[n, M, n]`."""
        n = output.shape[-1]
        eye = torch.eye(n, dtype=output.dtype, device=output.device)
        columns = _times_transpose(eye, self._fitted(self._precision_root, output))
        return columns.view(n, *[1] * (output.ndim - 1), n).expand(n, *output.shape)

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """Σ̃⁻¹c for each row c of `change`, `[M, n]`."""
        return self._precision_times(output, change)

    def _precision_times(self, output: Tensor, rows: Tensor) -> Tensor:
        precision_root = self._fitted(self._precision_root, output)
        if precision_root.ndim < 2:
            return rows * precision_root.square()
        return rows @ precision_root @ precision_root.mT

    def _fitted(self, root: Tensor, output: Tensor) -> Tensor:
        if root.ndim and root.shape[-1] != output.shape[-1]:
            raise ValueError(f"the covariance is for {root.shape[-1]} outputs, but the model has {output.shape[-1]}")
        return root.to(output)


class Categorical(Likelihood):
    """One of n classes with probabilities p = softmax(f): the loss is the cross entropy of logits, in nats.

    Targets are class numbers `[M]` or `[M, …]` (int64). The loss is a mean over examples.

    Examples
    --------
    >>> Categorical()(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
    tensor(1.3863)
    """

    def __repr__(self) -> str:
        return "Categorical()"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """log p_y of each example, `[M]`."""
        classes = self._classes(output, target)
        losses = F.cross_entropy(output.flatten(0, -2), classes.flatten(), reduction="none")
        return -losses.view(classes.shape)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """A class number for each example, `[M]` (int64)."""
        p = output.flatten(0, -2).softmax(-1)
        return torch.multinomial(p, 1, generator=generator).view(output.shape[:-1])

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """onehot(y) − p, `[M, n]`."""
        target = self._classes(output, target).unsqueeze(-1)
        return (-output.softmax(-1)).scatter_add(-1, target, torch.ones_like(output[..., :1]))

    def fisher_root(self, output: Tensor) -> Tensor:
        """s_r = √p_r (onehot(r) − p), `[n, M, n]`: Σ_r s_r s_rᵀ = diag p − p pᵀ."""
        p = output.softmax(-1)
        n = p.shape[-1]
        eye = torch.eye(n, dtype=p.dtype, device=p.device).view(n, *[1] * (p.ndim - 1), n)
        return p.movedim(-1, 0).sqrt().unsqueeze(-1) * (eye - p)

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """(diag p − ppᵀ)c for each row c of `change`, `[M, n]`."""
        p = output.softmax(-1)
        return p * (change - (p * change).sum(-1, keepdim=True))

    @staticmethod
    def _classes(output: Tensor, target: Tensor) -> Tensor:
        if target.shape != output.shape[:-1] or target.is_floating_point():
            raise ValueError(
                f"targets must be class numbers (int64) of shape {tuple(output.shape[:-1])}; "
                f"got {target.dtype} of shape {tuple(target.shape)}"
            )
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < output.shape[-1]:
            raise ValueError(
                f"class numbers must lie in 0 … {output.shape[-1] - 1}; got {int(target.min())} … {int(target.max())}"
            )
        return target.long()


class Bernoulli(Likelihood):
    """n independent binary outputs with probabilities σ(f): cross entropy of logits, summed over outputs.

    Targets are `[M, n]`, in [0, 1]. The loss is a mean over examples, in nats.

    Examples
    --------
    >>> Bernoulli()(torch.zeros(3, 2), torch.ones(3, 2))
    tensor(1.3863)
    """

    def __repr__(self) -> str:
        return "Bernoulli()"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """Σ y log σ(f) + (1−y) log σ(−f) of each example, `[M]`."""
        target = target.to(output.dtype)
        _check_shapes(output, target)
        return -F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(-1)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """0 or 1 for each output, `[M, n]`."""
        return torch.bernoulli(output.sigmoid(), generator=generator)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """y − σ(f), `[M, n]`."""
        return _difference(output.sigmoid(), target.to(output.dtype))

    def fisher_root(self, output: Tensor) -> Tensor:
        """s_r = √(p_r(1−p_r)) onehot(r), `[n, M, n]`."""
        return (output.sigmoid() * (-output).sigmoid()).sqrt().diag_embed().movedim(-1, 0)

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """p(1−p) c for each row c of `change`, `[M, n]`."""
        return output.sigmoid() * (-output).sigmoid() * change


def _check_shapes(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ValueError(
            f"output and target must have the same shape [M, n]; got {tuple(output.shape)} and {tuple(target.shape)}"
        )


def _difference(output: Tensor, target: Tensor) -> Tensor:
    _check_shapes(output, target)
    return target - output


def _times_transpose(z: Tensor, root: Tensor) -> Tensor:
    """z Rᵀ for a matrix R, or the scale or diagonal that stands for one."""
    return z * root if root.ndim < 2 else z @ root.mT
