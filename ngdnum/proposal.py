"""From the gradients of a batch to the step that the control proposes; no weight is moved yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import nn

from .control import Control, Step, StepContext
from .curvature.blocks import Blocks
from .curvature.inverse import Inverse
from .curvature.units import LayerUnits
from .fisher.dual import Dual
from .fisher.primal import Fisher, Vector
from .groups import Rates
from .likelihood import Likelihood
from .record.batch import Batch
from .rule import Preconditioner
from .schedule import Needs, NeedsDual
from .sizes import check_gradients, check_step, product_and_norms
from .world import World


class Proposal(NamedTuple):
    """The step; gᵀu, with g the negative gradient; and the norm of u in each layer of each stack."""

    step: Step
    slope: float
    lengths: list[float]


@dataclass(frozen=True)
class Proposer:
    """The parts of an optimizer that make a step of gradients; `others` have an optimizer of their own."""

    model: nn.Module
    likelihood: Likelihood
    others: dict[str, nn.Parameter]
    inverse: Inverse
    control: Control
    needs: Needs
    world: World | None

    def propose(
        self,
        batch: Batch,
        blocks: Blocks,
        rule: Preconditioner,
        rates: Rates,
        lam: float,
        units: LayerUnits | None,
        steps: int,
        quotient: float,
    ) -> Proposal:
        """The step number `steps`, of `blocks`, from the gradients of `batch`; λ is in `units`, or absolute.

        `quotient` is what the control has left of the last step.

        Raises
        ------
        NotFinite
            If gradients or the step are not finite, or too large.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite.
        """
        stacks, gradients = blocks.stacks, []
        for stack in stacks:
            gradients.append(stack.gradient())
        check_gradients(stacks, gradients, self.others)
        blocks.factorise(rule, self.inverse, gradients, lam, units, steps, self.world)
        context = self._context(batch, blocks, gradients, rates, lam, quotient)
        velocity = blocks.velocity(rates.relative)
        along = [] if isinstance(self.needs, NeedsDual) else blocks.direction(gradients, rates.relative)
        step = self.control.move(stacks, along, velocity, context)
        slope, lengths = step.size or product_and_norms(stacks, step.updates, gradients)
        check_step(stacks, step.updates, lengths, rates.lr, step.scale)
        return Proposal(step, slope, lengths)

    def _context(
        self, batch: Batch, blocks: Blocks, gradients: Vector, rates: Rates, lam: float, quotient: float
    ) -> StepContext:
        """What the control may ask about this step."""

        def dual() -> Dual:
            slopes = [g / batch.known_scale() for g in batch.gradients]
            halves = rates.halves(blocks.stacks, blocks.halves())
            return Dual(self.model, self.likelihood, blocks.stacks, batch.calls, slopes, gradients, halves, self.world)

        precondition = partial(blocks.direction, relative=rates.relative)
        fisher = partial(Fisher, self.model, self.likelihood, blocks.stacks, batch.calls, self.world)
        residual = batch.residual if self.world is None else partial(batch.residual, self.world.sums)
        chain = list(batch.layers) if batch.chained else None
        own = blocks.damped, precondition, fisher, batch.probed, batch.linked, residual, dual
        return StepContext(gradients, rates.lr, lam, *own, quotient, chain)
