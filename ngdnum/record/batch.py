"""What the forward and backward passes since the last step have told about their examples."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import Tensor

from ..fisher.primal import Call
from ..layers import Layer
from ..layers.layer import check_weights
from ..likelihood import Likelihood, fisher_product
from ..world import Part, World
from .capture import Record

Matrices = dict[str, dict[int, Tensor]]
"""`{quantity: {layer: matrix}}`."""
Sums = tuple[float, float, float, float]


class Batch:
    """Sums and means over the passes since the last step: gradient accumulation is one large batch.

    Attributes
    ----------
    count : int
        M, the number of examples; positions of the output count as examples.
    probed : bool
        Whether examples were to be kept.
    share : float
        Sum of the passes' shares in the loss.
    layers : dict of int
        The layers that took part, in the order of the (last) forward pass.
    chained : bool
        Whether the layers form a chain, see `Record`.
    linked : bool
        Whether they form one but for elementwise functions between them.
    factors : Matrices
        Mean of the factors, weighted by the shares of the passes.
    roots : Matrices
        X with XᵀX that mean, for running inverses.
    measured : set of int
        The layers of which there are factors or roots.
    examined : int
        How many examples there were in the passes of which such were kept.
    calls : list of Call
        How the model was called for them.
    gradients : list of Tensor
        ∂ loss/∂f `[M, n_L]` of each of these calls, if it is asked for.
    outputs : int
        n_L, if the residual is measured.
    scale : float or None
        What the loss was multiplied by before `backward`; None if unknown.
    error : Exception or None
        What went wrong in a pass, if a step from the others must be refused.
    """

    def __init__(self) -> None:
        self.count, self.share, self.probed, self.outputs = 0, 0.0, False, 1
        self.layers: dict[int, None] = {}
        self.chained = self.linked = True
        self.factors: Matrices = {}
        self.roots: Matrices = {}
        self.measured: set[int] = set()
        self.calls: list[Call] = []
        self.gradients: list[Tensor] = []
        self.scale: float | None = 1.0
        self.error: Exception | None = None
        self.examined = 0
        self._square = self._length = self._spread = 0.0
        self._backward = -1

    def stale(self, layers: list[Layer]) -> bool:
        """Whether the gradients of its passes are gone when another one arrives, in a backward pass of its own.

        They are where `model.zero_grad()` or `p.grad = None` took the place of `opt.zero_grad()`.
        """
        if not self.layers or self._backward == torch._C._current_graph_task_id():
            return False
        found = (layers[k].weight.grad for k in self.layers)
        return not any(gradient is not None and gradient.any() for gradient in found)

    def add(self, record: Record, count: int) -> None:
        """Include one pass of `count` examples."""
        record.batch, record.gradient, record.residual, record.kept = weakref.ref(self), None, (0.0, 0.0, 0.0), None
        self._backward = torch._C._current_graph_task_id()
        self.count += count
        self.share += record.share
        self.layers |= dict.fromkeys(record.edges)
        self.linked &= record.links is not None
        self.chained &= record.links is not None and not any(record.links.values())

    def add_factors(self, record: Record, factors: Matrices, roots: Matrices) -> None:
        """Include the factors and roots of the last pass."""
        share = record.share / self.share
        self.measured.update(*factors.values(), *roots.values())
        for quantity, matrices in factors.items():
            mean = self.factors.setdefault(quantity, {})
            for k, matrix in matrices.items():
                mean[k] = mean[k].lerp_(matrix, share) if k in mean else matrix
        for quantity, matrices in roots.items():
            root = self.roots.setdefault(quantity, {})
            for k, X in matrices.items():
                both = [(1 - share) ** 0.5 * root[k], share**0.5 * X] if k in root else [X]
                root[k] = compress_rows(torch.cat(both, -2))

    def add_residual(
        self, likelihood: Likelihood, record: Record, output: Tensor, gradient: Tensor, spread: bool
    ) -> None:
        """Include `gradient` `[M, n_L]` of the loss in `output` in the residual, or add it to that of other losses.

        With `spread`, also the outputs' own length: that from their mean would be another one on each of several ranks.
        """
        if record.gradient is not None:
            gradient = record.gradient + gradient
        record.gradient, self.outputs = gradient, output.shape[-1]
        if not gradient.dtype.itemsize > 2:
            output, gradient = output.float(), gradient.float()
        score = gradient
        if record.weights is not None:
            w = record.weights.to(gradient).view(-1, 1)
            score = torch.where(w > 0, gradient / w, 0)
        sums = [(gradient * score).sum(), (gradient * fisher_product(likelihood, output, score)).sum()]
        if spread:
            sums.append((output * fisher_product(likelihood, output, output)).sum())
        square, length, *far = torch.stack(sums).tolist()
        before, factor = record.residual, len(output) / record.share
        record.residual = square * factor, length * factor, sum(far) / factor
        self._square += record.residual[0] - before[0]
        self._length += record.residual[1] - before[1]
        self._spread += record.residual[2] - before[2]

    def used(self, layers: list[Layer], known: Collection[int]) -> list[int]:
        """Those of `layers` that took part and have gradients and factors, in the order of the forward pass.

        Factors are those of this batch, or are `known`.

        Raises
        ------
        RuntimeError
            If there are none, if a layer has a gradient without having taken part, or one for its weight alone.
        ValueError
            If it has another weight than it had.
        """
        fresh, used = [*self.factors.values(), *self.roots.values()], []
        for k in self.layers:
            layer = layers[k]
            if layer.bias is not None and (layer.weight.grad is None) != (layer.bias.grad is None):
                missing = layer.names[layer.bias.grad is None]
                raise RuntimeError(
                    f"{missing!r} has no gradient, but the rest of its layer has one, so no weight was changed: "
                    "what is frozen must be so, by requires_grad_(False), before NGD is built"
                )
            if layer.weight.grad is None:
                continue
            if k in known or all(k in matrices for matrices in fresh):
                used.append(k)
        if not used:
            raise RuntimeError(
                "nothing to step from: call backward() on a loss of the model's output first; gradients that "
                "torch.func makes, or a pass with other parameters, tell nothing of the Fisher; if a compiled model, "
                "or another of its kind, ran before NGD was built, call torch.compiler.reset(); "
                "torch.utils.checkpoint needs use_reentrant=False"
            )
        for k, layer in enumerate(layers) if len(self.layers) < len(layers) else ():
            gradients = [p.grad for p in layer.parameters if p.grad is not None]
            if k not in self.layers and any(g.any() for g in gradients):
                check_weights([layer])
                raise RuntimeError(
                    f"layer {layer.name!r} has a gradient, but was not called since the last zero_grad(), so "
                    "no weight was changed: call the module itself, not its weight, and not within "
                    "checkpoint(…, use_reentrant=True)"
                )
        return used

    @property
    def sums(self) -> Sums:
        """Share of all passes, Σ w ‖e‖² and Σ w eᵀF e, see `residual`, and Σ w fᵀF f."""
        return self.share, self._square, self._length, self._spread

    @property
    def part(self) -> Part:
        """What the other ranks are told of it."""
        alike = sorted(self.measured), self.chained, self.linked, self.scale
        return Part(tuple(self.layers), alike, self.sums, self.error)

    def on_all_ranks(self, world: World, device: torch.device) -> Batch:
        """Itself; on a rank of the `world` without examples, that of a rank with some, but over nothing."""
        if not world.idle:
            return self
        outline = world.told(self._outline() if self.share else None)
        if self.share:
            return self
        zeros = partial(torch.zeros_like, device=device)
        outline.factors, outline.roots = _each(zeros, outline.factors), _each(zeros, outline.roots)
        outline.gradients, outline.scale = [zeros(rows) for rows in outline.gradients], self.scale
        return outline

    def _outline(self) -> Batch:
        """The passes without their examples and without memory."""
        outline = Batch()
        outline.layers, outline.measured, outline.probed = self.layers, self.measured, self.probed
        outline.chained, outline.linked, outline.outputs = self.chained, self.linked, self.outputs
        outline.factors = _each(partial(torch.empty_like, device="meta"), self.factors)
        outline.roots = _each(_no_rows, self.roots)
        outline.gradients = [_no_rows(rows) for rows in self.gradients]
        return outline

    def residual(self, sums: Sums | None = None) -> float:
        r"""ℓ = (1/Σ w) (Σ w ‖e‖²)² / Σ w eᵀF e, with e = ∂ log q/∂f of the training targets, F the Fisher of f.

        Length, in the metric of F, of the step along e that is best for the quadratic model. For a Gaussian
        with Σ̃ = σ²I it is ⟨‖y − f‖²⟩/σ². The `sums` are those of this batch, unless others are given.
        """
        share, square, length, _ = sums or self.sums
        if not length > 0:
            if square:
                warnings.warn(
                    "the outputs are so certain, and wrong, that their Fisher is 0 in this precision, so there is "
                    "no step: start from smaller weights, or train in float64",
                    stacklevel=2,
                )
            return 0.0
        return share * (square / self.known_scale()) ** 2 / length

    def relative_residual(self, sums: Sums | None = None) -> float:
        """R = ℓ/(ℓ + ⟨fᵀFf⟩), from 1 for outputs that are nearly 0 to 0 for exact ones; 1 if not measured.

        The `sums` are as in `residual`.
        """
        share, square, length, spread = sums or (self.share, self._square, self._length, self._spread)
        if not length > 0 or self.scale is None:
            return 1.0
        residual = (share * square / self.scale) ** 2  # ℓ and the spread, times the share and the length
        return residual / (residual + spread * length)

    def known_scale(self) -> float:
        """What the loss was multiplied by; a RuntimeError if that is unknown."""
        if self.scale is None:
            raise RuntimeError(
                "the control, or a relative λ, asks for the residual of the loss, whose scale is unknown after "
                "scaler.unscale_(opt), so no weight was changed: leave the unscaling to scaler.step(opt)"
            )
        return self.scale


def _each(change: Callable[[Tensor], Tensor], matrices: Matrices) -> Matrices:
    return {name: {k: change(A) for k, A in own.items()} for name, own in matrices.items()}


def _no_rows(rows: Tensor) -> Tensor:
    return torch.empty_like(rows[..., :0, :], device="meta")


def compress_rows(rows: Tensor) -> Tensor:
    """X `[…, k, m]` with the same XᵀX and no more rows than columns."""
    return torch.linalg.qr(rows, mode="r").R if rows.shape[-2] > rows.shape[-1] else rows
