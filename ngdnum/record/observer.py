"""What a backward pass tells, collected while it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..control import Needs, NeedsDual, NeedsFisher
from ..curvature.factors import Factors
from ..layers import Layer
from ..likelihood import Likelihood
from ..misfit import FirstLook
from ..rule import Preconditioner
from ..world import World
from .amp import full_precision
from .batch import Batch
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

    def of_rank(self, world: World) -> Observer:
        """The same for one rank of the `world`: all together look at as many examples."""
        needs = self.needs
        if isinstance(needs, NeedsFisher):
            needs = replace(needs, rows=world.part(needs.rows))
        return replace(self, factors=replace(self.factors, rows=world.part(self.factors.rows)), needs=needs)

    @torch.no_grad()
    def observe(self, batch: Batch, record: Record, output: Tensor, gradient: Tensor, due: bool, probed: bool) -> None:
        """Include in `batch` what one forward pass tells in its backward pass, and its factors if they are `due`.

        Examples on which the control measures the Fisher are kept of a chain, and of other models if they are `probed`.
        """
        with full_precision(output.device):
            f, slopes = output.flatten(0, -2), gradient.flatten(0, -2)
            if record.batch and record.batch() is batch:  # one more loss of it
                batch.share += weigh_again(record, gradient)
                if isinstance(self.needs, NeedsFisher):
                    batch.add_residual(self.likelihood, record, f, slopes, self.relative)
                    batch.keep_again(record)
                return
            self.look.at_gradient(f, slopes)
            weigh(record, gradient)
            batch.add(record, len(f))
            if due:
                plan = self.rule.needs, self.factors, record, output, self.layers
                batch.add_factors(record, *measure(*plan, self.likelihood, self.samples, self.generator))
            if isinstance(self.needs, NeedsFisher):
                batch.add_residual(self.likelihood, record, f, slopes, self.relative)
                if probed or record.links is not None:
                    batch.keep(self.model, record, output, self.needs.examples(output[0, ..., 0].numel()))
            if isinstance(self.needs, NeedsDual):
                batch.gradients.append(slopes)
