"""Binary outputs: cross entropy of logits, one by one."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .likelihood import Likelihood, check_finite, check_shapes


class Bernoulli(Likelihood):
    """n independent binary outputs with probabilities σ(f): cross entropy of logits, summed over outputs.

    Targets are `[M, n]`, in [0, 1]. The loss is a mean over examples, in nats.

    Examples
    --------
    >>> Bernoulli()(torch.zeros(3, 2), torch.ones(3, 2))
    tensor(1.3863)

    Targets out of [0, 1] are refused, since of these the log density has no upper bound:

    >>> Bernoulli()(torch.zeros(1, 2), torch.tensor([[0.0, 255.0]]))
    Traceback (most recent call last):
    ValueError: targets must lie in [0, 1]; got 0.0 … 255.0: divide pixels by 255
    """

    outputs_are_numbers = True

    def __repr__(self) -> str:
        return "Bernoulli()"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """Σ y log σ(f) + (1−y) log σ(−f) of each example, `[M]`."""
        target = _checked(output, target)
        return -F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(-1)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """0 or 1 for each output, `[M, n]`."""
        check_finite(output)
        return torch.bernoulli(output.sigmoid(), generator=generator)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """y − σ(f), `[M, n]`."""
        return _checked(output, target) - output.sigmoid()

    def fisher_root(self, output: Tensor, part: slice = slice(None)) -> Tensor:
        """s_r = √(p_r(1−p_r)) onehot(r), `[n, M, n]`, or those of the r in `part`."""
        n = output.shape[-1]
        onehot = torch.eye(n, dtype=output.dtype, device=output.device)[part]
        return onehot.view(-1, *[1] * (output.ndim - 1), n) * (output.sigmoid() * (-output).sigmoid()).sqrt()

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """p(1−p) c for each row c of `change`, `[M, n]`."""
        return output.sigmoid() * (-output).sigmoid() * change


def _checked(output: Tensor, target: Tensor) -> Tensor:
    """The targets, in [0, 1], in the dtype of the outputs."""
    check_shapes(output, target)
    target = target.to(output.dtype)
    if target.numel() and not torch._C._are_functorch_transforms_active():
        low, high = torch.stack(target.aminmax()).tolist()
        if not (low >= 0 and high <= 1):
            advice = ": divide pixels by 255" if 1 < high <= 255 else ""
            raise ValueError(f"targets must lie in [0, 1]; got {low} … {high}{advice}")
    return target
