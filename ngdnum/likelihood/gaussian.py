"""Real numbers: squared errors."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .likelihood import Likelihood, check_shapes


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
        self._precision = None if covariance.ndim else 1 / float(covariance)

    def __repr__(self) -> str:
        scalar = self.covariance.ndim == 0
        return f"Gaussian(covariance={self.covariance.item() if scalar else list(self.covariance.shape)})"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """−½ (y−f)ᵀΣ̃⁻¹(y−f) of each example, `[M]`."""
        check_shapes(output, target)
        if self._precision is not None:
            square = F.mse_loss(output, target.to(output), reduction="none")  # one pass forward, one back
            return square.sum(-1) * (-0.5 * self._precision)
        precision_root = self._fitted(self._precision_root, output)
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

    def fisher_root(self, output: Tensor, part: slice = slice(None)) -> Tensor:
        """The columns of P with P Pᵀ = Σ̃⁻¹, the same for every example, `[n, M, n]`, or those in `part`."""
        n = output.shape[-1]
        eye = torch.eye(n, dtype=output.dtype, device=output.device)
        columns = _times_transpose(eye, self._fitted(self._precision_root, output))[part]
        return columns.view(-1, *[1] * (output.ndim - 1), n).expand(-1, *output.shape)

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """Σ̃⁻¹c for each row c of `change`, `[M, n]`."""
        return self._precision_times(output, change)

    def _precision_times(self, output: Tensor, rows: Tensor) -> Tensor:
        if self._precision is not None:
            return rows * self._precision
        precision_root = self._fitted(self._precision_root, output)
        if precision_root.ndim < 2:
            return rows * precision_root.square()
        return rows @ precision_root @ precision_root.mT

    def _fitted(self, root: Tensor, output: Tensor) -> Tensor:
        if root.ndim and root.shape[-1] != output.shape[-1]:
            raise ValueError(f"the covariance is for {root.shape[-1]} outputs, but the model has {output.shape[-1]}")
        return root.to(output)


def _difference(output: Tensor, target: Tensor) -> Tensor:
    check_shapes(output, target)
    return target - output


def _times_transpose(z: Tensor, root: Tensor) -> Tensor:
    """z Rᵀ for a matrix R, or the scale or diagonal that stands for one."""
    return z * root if root.ndim < 2 else z @ root.mT
