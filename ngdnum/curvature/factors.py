"""The two Kronecker factors of a layer (Eq. 14, 15).

    Λ̃ = ⟨e eᵀ⟩ over the model's own targets,   Λ = ⟨x xᵀ⟩

e = ∂ log q(y | f)/∂(output of the layer) of one example, y drawn from the model and never from the training
set; x its input, with a 1 appended if the layer has a bias. With K samples per example

    Λ̃ = (1/KM) Σ_k Σ_m e_km e_kmᵀ,

whose expectation depends neither on K nor on M. Without sampling, Λ̃ = (1/M) Σ_m Σ_r e_mr e_mrᵀ with the
errors of the R directions of `Likelihood.fisher_root`: its value for K → ∞.

A layer that acts at T positions of each example (convolutions, sequences, repeated use) has T inputs x_mt and
T errors e_mt. Its factors are those of one input and one error per example after `kfac_approx`
(Eschenhagen et al. 2023):

    "expand"   Λ̃ = (1/M) Σ_m Σ_t e_mt e_mtᵀ,             Λ = (1/MT) Σ_m Σ_t x_mt x_mtᵀ
    "reduce"   Λ̃ = (1/M) Σ_m (Σ_t e_mt)(Σ_t e_mt)ᵀ,      Λ = (1/M) Σ_m (⟨x_mt⟩_t)(⟨x_mt⟩_t)ᵀ

Where the output has positions itself, `[M, …, n_L]`, each of them counts as an example. Where the loss is a weighted
mean over examples, so are the factors: e_m e_mᵀ and x_mt x_mtᵀ enter with w_m/⟨w⟩.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from ..layers import Layer, second_moment, trainable_layers, uncompiled
from ..likelihood import Likelihood, check_likelihood, sampled_score
from ..record.capture import Capture, Record, has_rows
from ..record.uses import check_uses
from ..schedule import check_every, check_rows, examples

_CHUNK = 2**22
"""Errors back-propagated in one go, in numbers per layer of average width."""


def kronecker_factors(
    model: nn.Module,
    likelihood: Likelihood,
    x: Tensor,
    samples: int | None = None,
    generator: Generator | None = None,
    kfac_approx: str = "expand",
) -> dict[str, tuple[Tensor, Tensor]]:
    """Kronecker factors (Λ̃, Λ) of every trainable linear layer and convolution at the batch `x`.

    Λ̃ = ⟨e eᵀ⟩ and Λ = ⟨x xᵀ⟩ of Eq. 14 and 15, averaged over the batch. Examples must not influence one
    another, as they do in batch normalisation while training: there, the factors are approximate.

    The exact ones are those of curvlinops' `KFACLinearOperator` (type 2, `separate_weight_and_bias=False`), but
    for the scale of the loss: Λ̃ there is 1 for `nn.CrossEntropyLoss()`, 2/n_L for `nn.MSELoss()` and 1/n_L for
    `nn.BCEWithLogitsLoss()` times Λ̃ here.

    Parameters
    ----------
    model : nn.Module
        Its output on `x` must be `[M, n_L]`, or `[M, …, n_L]`, each position counting as an example.
    likelihood : Likelihood
        q(y | f) of the targets given the output.
    x : Tensor
        Inputs, `[M, ...]`.
    samples : int or None, default None
        Targets per example drawn from the model; None computes the expectation exactly.
    generator : torch.Generator, optional
        Source of the sampled targets.
    kfac_approx : {"expand", "reduce"}, default "expand"
        How the positions at which a layer acts enter, see `Factors`.

    Returns
    -------
    dict
        `{layer name: (Λ̃ [n, n], Λ [m, m])}`; Λ has the bias coordinate last. The matrix of a convolution is
        `weight.reshape(n, -1)`; one in g groups has `[g, n, n]` and `[g, m, m]`.

    Examples
    --------
    >>> from ngdnum import Gaussian
    >>> net = nn.Linear(2, 1).double()
    >>> x = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    >>> kronecker_factors(net, Gaussian(covariance=0.25), x)
    {'': (tensor([[4.]], dtype=torch.float64), tensor([[5., 0., 2.],
            [0., 0., 0.],
            [2., 0., 1.]], dtype=torch.float64))}
    """
    check_likelihood(likelihood)
    check_samples(samples, likelihood)
    check_kfac_approx(kfac_approx)
    model = uncompiled(model)
    layers, _ = trainable_layers(model)
    capture = Capture(model, layers)
    try:
        with torch.enable_grad():
            output = model(x)
    finally:
        capture.remove()
    record = capture.record
    assert record is not None
    check_uses(record, layers)
    lambda_tilde = error_factors(record, likelihood, output.detach(), samples, generator, layers, kfac_approx)
    lambda_ = input_factors(record, output, layers, kfac_approx)
    return {layers[k].name: (lambda_tilde[k], lambda_[k]) for k in lambda_tilde}


@dataclass(frozen=True)
class Factors:
    """When the factors are measured, how far back they reach, and how positions that share weights enter.

    Parameters
    ----------
    every : int, default 1
        Steps between two measurements of Λ and Λ̃. Only these steps back-propagate sampled targets.
    decay : float, default 0.0
        Decay of the running mean of the factors, with bias correction: min(1 − 1/k, decay) at measurement k.
    kfac_approx : {"expand", "reduce"}, default "expand"
        For layers that act at several positions of an example (Eschenhagen et al. 2023). "expand": Λ is a
        mean over examples and positions, Λ̃ a mean over examples of the sum over positions of e eᵀ.
        "reduce": inputs are averaged and errors summed over the positions of each example first. The same
        for one position.
    rows : int, optional
        Examples of each pass on which factors are measured, the first so many; None: all. Fewer ones with several
        positions are worth as much (`schedule.examples`).

    Notes
    -----
    Before the first interval is over, when factors rest on few examples, they are measured more often (`schedule.due`).
    """

    every: int = 1
    decay: float = 0.0
    kfac_approx: str = "expand"
    rows: int | None = None

    def __post_init__(self) -> None:
        check_every(self.every)
        decay = self.decay
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ValueError(f"decay must be a number in [0, 1); got {decay!r}")
        check_kfac_approx(self.kfac_approx)
        check_rows(self.rows)

    @property
    def kept(self) -> bool:
        """Whether factors serve more than the step that measures them."""
        return self.every > 1 or self.decay > 0


def input_factors(
    record: Record, output: Tensor, layers: list[Layer], kfac_approx: str, rows: int | None = None
) -> dict[int, Tensor]:
    """Λ of each recorded layer, `[m, m]`."""
    found = {}
    for k, (x, weights) in input_rows(record, output, layers, kfac_approx, rows).items():
        found[k] = second_moment(x, layers[k].bias is not None, weights)
    return found


def input_rows(
    record: Record, output: Tensor, layers: list[Layer], kfac_approx: str, wanted: int | None = None
) -> dict[int, tuple[Tensor, Tensor | None]]:
    """The x of each recorded layer, one in a row, without the 1 of the bias, and how much each row counts.

    Where all examples count alike, they are those of the first ones that are worth `wanted` rows (`schedule.examples`).
    """
    found = {}
    for k, inputs in record.inputs.items():
        layer, weights = layers[k], record.weights
        if wanted is not None and kfac_approx == "expand" and weights is None:
            inputs = [_first(layer, x, len(output), wanted) for x in inputs]
        rows = [layer.input_rows(x) for x in inputs]
        if kfac_approx == "reduce":
            rows = [torch.cat([_by_example(layer, x, output) for x in rows], -2).mean(-2)]
            weights = None if weights is None else weights.flatten().to(rows[0])
        elif weights is not None:
            weights = torch.cat([_by_row(weights, layer, x, r) for x, r in zip(inputs, rows)])
        found[k] = (rows[0] if len(rows) == 1 else torch.cat(rows, -2)), weights
    return found


def error_factors(
    record: Record,
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: Generator | None,
    layers: list[Layer],
    kfac_approx: str,
) -> dict[int, Tensor]:
    """Λ̃ of each recorded layer, `[n, n]`, from `samples` targets per example or exactly (None)."""
    total: dict[int, Tensor] = {}
    for k, e in error_rows(record, likelihood, output, samples, generator, layers, kfac_approx):
        square = e.mT @ e
        total[k] = total[k].add_(square) if k in total else square
    count = output[..., 0].numel() * (samples or 1)
    return {k: moment.div_(count) for k, moment in total.items()}


def error_rows(
    record: Record,
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: Generator | None,
    layers: list[Layer],
    kfac_approx: str,
) -> Iterator[tuple[int, Tensor]]:
    """The errors e of each recorded layer, in rows, piece by piece."""
    for directions in _directions(likelihood, output, samples, generator, record):
        for k, errors in record.errors(directions.to(output.dtype)).items():
            rows = [layers[k].output_rows(e) for e in errors]
            if kfac_approx == "reduce":
                rows = [torch.stack([_by_example(layers[k], e, output, len(directions)).sum(-2) for e in rows]).sum(0)]
            for e in rows:
                yield k, e


def check_kfac_approx(kfac_approx: str) -> None:
    """Refuse anything but the two ways to treat positions."""
    if kfac_approx not in ("expand", "reduce"):
        raise ValueError(f'kfac_approx must be "expand" or "reduce"; got {kfac_approx!r}')


def check_samples(samples: int | None, likelihood: Likelihood) -> None:
    """Refuse anything but a positive number of samples, or None where the likelihood allows it."""
    if samples is None:
        if not callable(getattr(likelihood, "fisher_root", None)):
            raise ValueError(
                f"{type(likelihood).__name__} has no fisher_root, which exact factors (samples=None) need: "
                "implement it, or use samples=1"
            )
    elif isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a positive integer, or None for exact factors; got {samples!r}")


def _first(layer: Layer, x: Tensor, count: int, rows: int) -> Tensor:
    """The first of the `count` examples in the input `x` of a layer, as many as are worth `rows`."""
    return x[: examples(rows, layer.positions(x))] if has_rows(x, count) else x


def _by_example(layer: Layer, rows: Tensor, output: Tensor, repeats: int = 1) -> Tensor:
    """Rows `[…, R·M·T, n]` of R repetitions as `[…, R·M, T, n]`, M the number of examples in `output`."""
    examples = output[..., 0].numel()
    if rows.shape[-2] % (repeats * examples):
        raise ValueError(
            f"layer {layer.name!r} acts on {rows.shape[-2] // repeats} rows, no multiple of the {examples} "
            'examples in the output, so that they cannot be summed by example: use kfac_approx="expand"'
        )
    return rows.unflatten(-2, (repeats * examples, -1))


def _by_row(weights: Tensor, layer: Layer, x: Tensor, rows: Tensor) -> Tensor:
    """How much each of the `rows` `[…, R, m]` of a layer's input `x` counts, `[R]`, from the `weights` `[M, …]`.

    Positions of the layer that are those of the output have their weights; if there are others, the weights of an
    example are those of all its positions.
    """
    count = rows.shape[-2]
    if len(x) % len(weights):
        raise ValueError(
            f"layer {layer.name!r} got an input of shape {tuple(x.shape)}, in which the {len(weights)} examples are "
            "not along the first axis, so that those that do not count cannot be told from the others: put them "
            "there, or leave them out of the batch"
        )
    if count % weights.numel():
        weights = weights.flatten(1).mean(1)
    return weights.flatten().to(rows).repeat_interleave(count // weights.numel())


def _directions(
    likelihood: Likelihood,
    output: Tensor,
    samples: int | None,
    generator: Generator | None,
    record: Record,
) -> Iterator[Tensor]:
    """Vectors `[R, M, …, n_L]` to back-propagate, in chunks that bound the memory this takes.

    Sampled targets of different positions are independent; for exact factors each position has its turn,
    since the errors of the others may reach the same weights.
    """
    rows = output.flatten(0, -2)
    if not output.dtype.itemsize > 2:
        rows = rows.float()
    weight = None if record.weights is None else record.weights.flatten().to(rows).sqrt().unsqueeze(-1)
    largest = max(rows.numel(), *(x.numel() for inputs in record.inputs.values() for x in inputs))
    chunk = max(1, _CHUNK // largest)
    if samples is None:
        positions = output[0, ..., 0].numel()
        for root in _roots(likelihood, rows, chunk):
            for t in range(positions):
                directions = root if weight is None else root * weight
                if positions > 1:
                    mask = (torch.arange(len(rows), device=rows.device) % positions == t).to(rows.dtype)
                    directions = directions * mask.unsqueeze(-1)
                yield directions.unflatten(1, output.shape[:-1])
        return
    for done in range(0, samples, chunk):
        scores = sampled_score(likelihood, rows, min(chunk, samples - done), generator)
        yield (scores if weight is None else scores * weight).unflatten(1, output.shape[:-1])


def _roots(likelihood: Likelihood, rows: Tensor, chunk: int) -> Iterator[Tensor]:
    """The directions of `fisher_root`, at most `chunk` at once; all at once only if it takes no `part`."""
    if "part" not in inspect.signature(likelihood.fisher_root).parameters:
        yield from likelihood.fisher_root(rows).split(chunk)
        return
    done = 0
    while len(root := likelihood.fisher_root(rows, slice(done, done + chunk))):
        yield root
        done += len(root)
