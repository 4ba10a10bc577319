"""What the forward and backward passes since the last step have told about their examples."""

from __future__ import annotations

from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

from .capture import Record
from .likelihood import Likelihood, fisher_length
from .stack import Stack

Matrices = dict[str, dict[int, Tensor]]
"""`{quantity: {layer: matrix}}`."""


class Batch:
    """Sums and means over the passes since the last step: gradient accumulation is one large batch.

    Attributes
    ----------
    count : int
        M, the number of examples.
    layers : dict of int
        The layers that took part, in the order of the (last) forward pass.
    chained : bool
        Whether the layers form a chain, see `Record`.
    factors : Matrices
        Mean of the factors, weighted by the number of examples.
    """

    def __init__(self) -> None:
        self.count = 0
        self.layers: dict[int, None] = {}
        self.chained = True
        self.factors: Matrices = {}
        self._call: tuple[tuple, dict[str, object]] = (), {}
        self._square = self._length = 0.0

    def add(self, record: Record, count: int, factors: Matrices) -> None:
        """Include one pass of `count` examples, with the factors if they were computed."""
        self.count += count
        self.layers |= dict.fromkeys(record.edges)
        self.chained &= record.chained
        for quantity, matrices in factors.items():
            mean = self.factors.setdefault(quantity, {})
            for k, matrix in matrices.items():
                mean[k] = mean[k].lerp_(matrix, count / self.count) if k in mean else matrix

    def add_residual(
        self, record: Record, likelihood: Likelihood, output: Tensor, gradient: Tensor, rows: int
    ) -> None:
        """Include `gradient` `[M, n_L]` of the loss in `output`; keep `rows` rows for `change`."""
        self._call = (
            tuple(_first(a, rows) for a in record.arguments),
            {name: _first(a, rows) for name, a in record.keywords.items()},
        )
        self._square += float(gradient.square().sum())
        self._length += float(fisher_length(likelihood, output, gradient))

    def residual(self) -> float:
        r"""ℓ = (1/M) (Σ ‖e‖²)² / Σ eᵀF e, with e = ∂ log q/∂f of the training targets and F the Fisher of f.

        Length, in the metric of F, of the step along e that is best for the quadratic model. For a Gaussian
        with Σ̃ = σ²I it is ⟨‖y − f‖²⟩/σ².
        """
        return self.count * self._square**2 / self._length if self._length else 0.0

    def change(
        self, model: nn.Module, likelihood: Likelihood, stacks: list[Stack], updates: list[Tensor]
    ) -> float:
        """q = (1/M) Σ (J u)ᵀ F (J u) over the kept rows of the last pass, by forward-mode AD."""
        tangents: dict[str, Tensor] = {}
        for stack, u in zip(stacks, updates):
            tangents.update(stack.named(u))
        with forward_ad.dual_level():
            duals = {name: forward_ad.make_dual(model.get_parameter(name), t) for name, t in tangents.items()}
            output, tangent = forward_ad.unpack_dual(functional_call(model, duals, *self._call))
        return float(fisher_length(likelihood, output, tangent)) / len(output) if tangent is not None else 0.0


def _first(argument: object, rows: int) -> object:
    return argument[:rows] if isinstance(argument, Tensor) and argument.ndim else argument
