"""What a backward pass tells, collected while it runs."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..curvature.factors import Factors
from ..layers import Layer
from ..likelihood import Likelihood
from ..misfit import FirstLook
from ..rule import Preconditioner
from ..schedule import Needs, NeedsDual, NeedsFisher, due
from ..world import World, check_alone
from .amp import full_precision
from .batch import Batch
from .calls import Cuts, keep, keep_again
from .capture import Record
from .measure import measure
from .row_weights import weigh, weigh_again


@dataclass(frozen=True)
class Observer:
    """What of the passes of `model` the parts of its optimizer ask for, its λ being `relative` or not."""

    model: nn.Module
    layers: list[Layer]
    likelihood: Likelihood
    rule: Preconditioner
    factors: Factors
    samples: int | None
    generator: torch.Generator
    needs: Needs
    relative: bool
    look: FirstLook
    alone: bool = True
    cuts: Cuts = field(default_factory=Cuts)

    def of_rank(self, world: World) -> Observer:
        """The same for one rank of the `world`: all together look at as many examples."""
        needs = self.needs
        if isinstance(needs, NeedsFisher):
            needs = replace(needs, rows=world.part(needs.rows))
        return replace(
            self, factors=replace(self.factors, rows=world.part(self.factors.rows)), needs=needs, alone=False
        )

    @torch.no_grad()
    def observe(
        self,
        batch: Batch,
        record: Record,
        output: Tensor,
        gradient: Tensor,
        step: int,
        quotient: float,
        known: Set[int],
    ) -> None:
        """Include in `batch` what one forward pass tells in its backward pass, in the step of this number.

        Factors are measured by the calendar, or if those of a layer are not `known`. Examples on which the control
        measures the Fisher are kept of a chain, and of other models if that is due after a step that left `quotient`.
        """
        with full_precision(output.device):
            f, slopes, needs = output.flatten(0, -2), gradient.flatten(0, -2), self.needs
            if record.batch and record.batch() is batch:  # one more loss of it
                batch.share += weigh_again(record, gradient)
                if isinstance(needs, NeedsFisher) or self.relative:
                    batch.add_residual(self.likelihood, record, f, slopes, self.relative)
                if isinstance(needs, NeedsFisher):
                    keep_again(batch, record)
                return
            measured, probed, rows = due(step, self.factors.every) or not record.edges.keys() <= known, False, None
            if isinstance(needs, NeedsFisher):
                probed = record.links is not None or needs.due(step, quotient)
                rows = needs.examples(output[0, ..., 0].numel())
            if measured and self.alone:
                check_alone()
            if not self.look.over:
                self.look.at_gradient(f, slopes)
            weigh(record, gradient)
            batch.add(record, len(f))
            if measured:
                plan = self.rule.needs, self.factors, record, output, self.layers
                batch.add_factors(record, *measure(*plan, self.likelihood, self.samples, self.generator))
            if isinstance(needs, NeedsFisher) or self.relative:
                batch.add_residual(self.likelihood, record, f, slopes, self.relative)
            if probed:
                keep(batch, self.cuts, self.model, record, output, rows)
            if isinstance(needs, NeedsDual):
                batch.gradients.append(slopes)
