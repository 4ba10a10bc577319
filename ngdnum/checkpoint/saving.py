"""States, copies and pickles of an optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..control import Control
from ..curvature.curvature import Curvature
from ..curvature.factors import Factors
from ..curvature.inverse import Inverse
from ..damping import Damping
from ..fallback import Snapshot
from ..groups import Groups
from ..layers import Layer
from ..likelihood import Likelihood
from ..record.batch import Batch
from ..report import StepRecord
from ..rule import Preconditioner
from ..world import World
from .checks import reading
from .saved import Saved


class Saving(torch.optim.Optimizer):
    """What `NGD` needs to be saved, restored and copied: its parts, and all that changes from step to step."""

    model: nn.Module
    likelihood: Likelihood
    damping: Damping
    samples: int | None
    factors: Factors
    inverse: Inverse
    control: Control
    rule: Preconditioner
    layers: list[Layer]
    fallback: torch.optim.Optimizer | None
    generator: torch.Generator
    steps: int
    _given_rule: Any
    _rest: dict[str, nn.Parameter]
    _groups: Groups
    _curvature: Curvature
    _batch: Batch
    _last: StepRecord | None
    _world: World | None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on to the bit as if never interrupted.

        That is lr, damping, random state, number of steps, running factors, inverses and momentum.
        """
        own = self._saved().entry(self._curvature, self.state, self.steps, self.generator.get_state())
        return {**super().state_dict(), "ngd": own | {"rank": self._world.rank if self._world else 0}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, by the names of the parameters; the argument is not changed.

        What was saved is cast to dtype and device of the weights. States of the version before are read, too. What
        one rank has saved serves all of them, with random numbers apart from its own.

        Raises
        ------
        ValueError
            If it is of another model or another kind of optimizer, damaged or not complete, with what differs.

        Notes
        -----
        Whatever is raised, nothing is changed.
        """
        saved, count = self._saved(), len(self._groups.start)
        run = saved.read(state_dict, self.param_groups[:count], self.generator.device)
        state = defaultdict(dict, run.entries)
        parts = self.rule, self.factors, self.inverse, state
        curvature = Curvature(self.layers, self._groups.of, *parts, self._world, self.likelihood)
        with reading():
            curvature.restore(run.active, run.blocks, run.measured)
        before, others = dict(vars(self)), Snapshot(self.fallback) if self.fallback else None
        random = self.generator.get_state()
        try:
            saved.load_fallback(run.fallback)
            super().load_state_dict({"state": {}, "param_groups": run.groups})
            if self.fallback:
                self.param_groups[count:] = self.fallback.param_groups
            self.state, self._curvature, self.steps = state, curvature, run.steps
            self.generator.set_state(run.generator)
            if self._world and state_dict["ngd"].get("rank", 0) != self._world.rank:
                self._world.scatter(self.generator)
            self._batch, self._last = Batch(), None
        except BaseException:
            vars(self).update(before)
            self.generator.set_state(random)
            if others:
                others.put_back()
            raise

    def __reduce__(self) -> tuple:
        """Copies and pickles come with their model: they are built anew around it and load the state."""
        parts = ("likelihood", "damping", "samples", "factors", "inverse", "control")
        own = self.param_groups[: len(self._groups.start)]
        groups = [{name: group[name] for name in ("params", "lr", "weight_decay")} for group in own]
        options = {name: getattr(self, name) for name in parts} | {"rule": self._given_rule, "groups": groups}
        return rebuilt, (type(self), self.model, options, self.fallback, self.state_dict())

    def _saved(self) -> Saved:
        return Saved(self.layers, self._rest, self.rule, self.damping, self.control, self.fallback)


def rebuilt(
    kind: Callable[..., torch.optim.Optimizer],
    model: nn.Module,
    options: dict[str, Any],
    fallback: torch.optim.Optimizer | None,
    state: dict[str, Any],
) -> torch.optim.Optimizer:
    """An optimizer of this `kind` with these options and this state: the inverse of `NGD.__reduce__`."""
    made: dict[str, Any] = {} if fallback is None else {"fallback": lambda _: fallback}
    optimizer = kind(model, **options, **made)
    optimizer.load_state_dict(state)
    return optimizer
