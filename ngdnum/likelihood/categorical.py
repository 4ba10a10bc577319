"""Classes: cross entropy of logits."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from .likelihood import Likelihood, check_finite


class Categorical(Likelihood):
    """One of n classes with probabilities p = softmax(f): the loss is the cross entropy of logits, in nats.

    Targets are class numbers `[M]` or `[M, …]` (integers). The loss is a mean over examples, as that of
    `torch.nn.CrossEntropyLoss` with the same options.

    Parameters
    ----------
    weight : Tensor, optional
        `[n]`, how much a row counts whose target is this class; the mean is weighted.
    ignore_index : int, default -100
        Target of rows that do not count.

    Raises
    ------
    ValueError
        If weights are negative, not finite or all 0.

    Examples
    --------
    >>> Categorical()(torch.zeros(3, 4), torch.tensor([0, 1, 3]))
    tensor(1.3863)
    >>> Categorical(ignore_index=0)(torch.tensor([[9.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.6931)
    """

    outputs_are_numbers = True

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100) -> None:
        if weight is not None and not (
            weight.ndim == 1 and weight.isfinite().all() and (weight >= 0).all() and weight.any()
        ):
            raise ValueError(f"weight must have n finite numbers ≥ 0, not all 0, one for each class; got {weight}")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise ValueError(f"ignore_index must be an integer; got {ignore_index!r}")
        self.weight, self.ignore_index = weight, ignore_index

    def __repr__(self) -> str:
        options = [] if self.weight is None else [f"weight={self.weight.tolist()}"]
        if self.ignore_index != -100:
            options.append(f"ignore_index={self.ignore_index}")
        return f"Categorical({', '.join(options)})"

    def log_density(self, output: Tensor, target: Tensor) -> Tensor:
        """log p_y of each example, `[M]`; 0 where the target is `ignore_index`."""
        _, classes = self._checked(output, target)
        rows = output.flatten(0, -2)
        losses = F.cross_entropy(rows, classes.flatten(), reduction="none", ignore_index=self.ignore_index)
        return -losses.view(classes.shape)

    def row_weights(self, output: Tensor, target: Tensor) -> Tensor | None:
        """The weight of the class of each row, 0 where the target is `ignore_index`."""
        ignored, classes = self._checked(output, target)
        if self.weight is None:
            return None if ignored is None else (~ignored).to(output.dtype)
        if len(self.weight) != output.shape[-1]:
            raise ValueError(
                f"there are {len(self.weight)} class weights, but the model has {output.shape[-1]} outputs"
            )
        weights = self.weight.to(output)
        return weights[classes] if ignored is None else weights[classes.where(~ignored, 0)] * ~ignored

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """A class number for each example, `[M]` (int64)."""
        check_finite(output)
        p = output.flatten(0, -2).softmax(-1)
        return torch.multinomial(p, 1, generator=generator).view(output.shape[:-1])

    def sampled_score(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        """onehot(y) − p, `[M, n]`, for a class y drawn from the model, which may be `ignore_index`."""
        return _onehot_minus_p(output, self.sample(output, generator))

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """onehot(y) − p, `[M, n]`; 0 where the target is `ignore_index`."""
        ignored, classes = self._checked(output, target)
        if ignored is None:
            return _onehot_minus_p(output, classes)
        return _onehot_minus_p(output, classes.where(~ignored, 0)) * ~ignored.unsqueeze(-1)

    def fisher_root(self, output: Tensor, part: slice = slice(None)) -> Tensor:
        """s_r = √p_r (onehot(r) − p), `[n, M, n]`, or those of the r in `part`: Σ_r s_r s_rᵀ = diag p − p pᵀ."""
        p = output.softmax(-1)
        n = p.shape[-1]
        eye = torch.eye(n, dtype=p.dtype, device=p.device)[part].view(-1, *[1] * (p.ndim - 1), n)
        return p.movedim(-1, 0)[part].sqrt().unsqueeze(-1) * (eye - p)

    def fisher_product(self, output: Tensor, change: Tensor) -> Tensor:
        """(diag p − ppᵀ)c for each row c of `change`, `[M, n]`.

        The same of c less its entry at the largest p, by which no digits are lost where that p is nearly 1.
        """
        p = output.softmax(-1)
        change = change - change.gather(-1, p.argmax(-1, keepdim=True))
        return p * (change - (p * change).sum(-1, keepdim=True))

    def _checked(self, output: Tensor, target: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which targets are to be ignored, None if there is none, and the targets as int64."""
        if target.shape != output.shape[:-1] or target.is_floating_point() or target.is_complex():
            raise ValueError(
                f"targets must be class numbers (int64) of shape {tuple(output.shape[:-1])}; "
                f"got {target.dtype} of shape {tuple(target.shape)}"
            )
        classes = target.long()
        if not classes.numel():
            return None, classes
        ignored = classes == self.ignore_index
        others = classes.where(~ignored, 0)
        low, high, some = torch.stack([others.min(), others.max(), ignored.any().long()]).tolist()
        if not 0 <= low <= high < output.shape[-1]:
            raise ValueError(f"class numbers must lie in 0 … {output.shape[-1] - 1}; got {low} … {high}")
        return ignored if some else None, classes


def _onehot_minus_p(output: Tensor, classes: Tensor) -> Tensor:
    return (-output.softmax(-1)).scatter_add(-1, classes.unsqueeze(-1), torch.ones_like(output[..., :1]))
