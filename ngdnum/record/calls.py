"""The calls of a model that a control asks again: how it was called for the first examples of its passes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..fisher.primal import Call, Link, run
from .batch import Batch
from .capture import Record
from .graph import aside
from .replay import own, same_rows

_ONE = torch.ones(())
SLOPES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "ReluBackward0": lambda x: (x > 0).to(x.dtype),
        "SigmoidBackward0": lambda x: x * torch.sub(_ONE, x),
        "TanhBackward0": lambda x: torch.sub(_ONE, x * x),
    }
)
"""Derivatives of those that are functions of what comes out; for others, autograd's graph has to be asked."""


class Cuts:
    """Which arguments of a model have one row per example, found by a trial when they are seen first."""

    def __init__(self) -> None:
        self._known: dict[tuple, bool] = {}
        self._looked = False

    def look(self, model: nn.Module, whole: Call, output: Tensor) -> None:
        """Warn, the first time, if the call `whole` does not give its `output` again.

        In low precision, numbers may differ by a few per cent. Where there are several ranks, those without examples
        could not take part in what their models do together, and nobody looks.
        """
        if self._looked or torch.distributed.is_available() and torch.distributed.is_initialized():
            return
        self._looked = True
        try:
            with torch.no_grad():
                found = run(model, {}, whole, flat=False).to(output.dtype)
        except Exception:  # raised once more in the step, which says where it comes from
            return
        if found.shape == output.shape and (found - output).norm() <= 0.1 * output.norm():
            return
        warnings.warn(
            "run again on the same batch, the model gives another output, and so do derivatives that NGD measures by "
            "running it again: pass what the model keeps from one pass to the next as an argument, do not change "
            "arguments in place, and draw random numbers from the global generators of torch, NumPy or Python",
            stacklevel=3,
        )

    def agree(self, model: nn.Module, whole: Call, part: Call) -> bool:
        """Whether `part`, cut from the call `whole`, gives its first rows; not if nothing could be cut."""
        pairs = [*zip(whole.arguments, part.arguments)]
        pairs += [(argument, part.keywords[name]) for name, argument in whole.keywords.items()]
        cut = [new is not old for old, new in pairs]
        if not any(cut):
            return False
        key = (*cut, *whole.keywords)
        if key not in self._known:
            both = (partial(run, model, {}, call, flat=False) for call in (whole, part))
            self._known[key] = same_rows(model, *both)
        return self._known[key]


def keep(batch: Batch, cuts: Cuts, model: nn.Module, record: Record, output: Tensor, rows: int | None) -> None:
    """Keep the call of a pass of `model` that had this `output`: of all passes the first `rows` examples, or all.

    All, too, if the model treats something as long as the batch as if it had no row for each example.
    """
    batch.probed = True
    count = wanted = len(output)
    if rows is not None:
        wanted = min(count, rows - batch.examined)
        if wanted <= 0:
            return
    if record.weights is not None and not record.counts(wanted):
        wanted = count
    chain: dict[int, Link] = {}
    if record.links is not None:
        asked = []
        for k, node in record.links.items():
            x = record.inputs[k][0][:wanted].clone()
            short = SLOPES.get(node.name()) if node else None
            chain[k] = Link(x, short(x) if short else None)
            if node and not short:
                asked.append((k, node))
        if asked:
            aside(partial(_ask, record, chain, asked))
    first = output[:wanted].clone() if chain else None
    given = Call(record.arguments, record.keywords, chain, first, record.random)
    arguments = tuple([_first(argument, count, wanted) for argument in given.arguments])
    keywords = {name: _first(argument, count, wanted) for name, argument in given.keywords.items()}
    call = given._replace(arguments=arguments, keywords=keywords)
    if not chain:
        cuts.look(model, given, output)
    if wanted == count or not (chain or cuts.agree(model, given, call)):
        call, wanted = given._replace(arguments=own(given.arguments), keywords=own(given.keywords)), count
    weights, share = _weights(record, wanted, count)
    call = call._replace(training=record.training, weights=weights, share=share)
    record.kept = len(batch.calls), wanted, count
    batch.calls.append(call)
    batch.examined += count


def keep_again(batch: Batch, record: Record) -> None:
    """Weigh the rows of the call kept of a pass as they count by all its losses so far."""
    if record.kept is not None:
        i, wanted, count = record.kept
        weights, share = _weights(record, wanted, count)
        batch.calls[i] = batch.calls[i]._replace(weights=weights, share=share)


def _weights(record: Record, wanted: int, count: int) -> tuple[Tensor | None, float]:
    """How the first `wanted` of `count` examples count in the losses of the pass: among each other, and together."""
    share, weights = record.share * wanted / count, record.weights
    if weights is None:
        return None, share
    weights = weights[:wanted].flatten()
    mean = float(weights.mean())
    return weights / mean, share * mean


def _first(argument: Any, count: int, rows: int) -> Any:
    """The first `rows` of what has one row for each of the `count` examples; all of anything else."""
    if not isinstance(argument, Tensor) or not argument.ndim or len(argument) != count:
        return argument
    return argument[:rows].clone()


def _ask(record: Record, chain: dict[int, Link], asked: list[tuple[int, Any]]) -> None:
    """Fill in ∂x/∂z of the input x of some layers by the output z of the one before, from the nodes between them."""
    for k, node in asked:
        slope = node(torch.ones_like(record.inputs[k][0]))
        chain[k] = chain[k]._replace(slope=slope[: len(chain[k].x)].clone())
