"""The factors of one pass, or what they are made of, as far as a rule asks for them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..curvature.factors import Factors, error_factors, input_factors
from ..curvature.running import error_roots, input_roots
from ..layers import Layer
from ..likelihood import Likelihood
from ..schedule import examples
from .batch import Matrices
from .capture import Record, has_rows
from .uses import check_uses


def measure(
    needs: frozenset[str],
    plan: Factors,
    record: Record,
    output: Tensor,
    layers: list[Layer],
    likelihood: Likelihood,
    samples: int | None,
    generator: torch.Generator,
) -> tuple[Matrices, Matrices]:
    """The factors and the roots among `needs`, at the examples of `record` that the `plan` says.

    Raises
    ------
    ValueError
        If a weight is used by function too.
    """
    check_uses(record, layers)
    rows = None if plan.rows is None else examples(plan.rows, output[0, ..., 0].numel())
    if rows is not None and rows < len(output) and record.counts(rows):
        if plan.kfac_approx == "expand" or _by_example(record, len(output)):
            record, output = record.first(rows, len(output)), output[:rows]
    inputs = record, output, layers, plan.kfac_approx, plan.rows
    errors = record, likelihood, output, samples, generator, layers, plan.kfac_approx
    factors: Matrices = {}
    roots: Matrices = {}
    if "Lambda" in needs:
        factors["Lambda"] = input_factors(*inputs)
    if "Lambda_tilde" in needs:
        factors["Lambda_tilde"] = error_factors(*errors)
    if "K" in needs:
        roots["K"] = input_roots(*inputs)
    if "K_tilde" in needs:
        roots["K_tilde"] = error_roots(*errors)
    return factors, roots


def _by_example(record: Record, count: int) -> bool:
    """Whether all inputs of layers have one row for each of `count` examples."""
    return all(has_rows(x, count) for inputs in record.inputs.values() for x in inputs)
