"""Runs of gradient descent on linear networks that take their steps together, as one stack of networks.

A step of one small network is mostly the overhead of its many products. R networks whose W_i lie in one tensor
`[R, n_i, n_{i-1}]` pay it once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..likelihood import Gaussian
from ..world import world_of
from .entry import Entry
from .method import sgd
from .training import Budget, Run


def advance_stacked(entries: Sequence[Entry], share: float) -> None:
    """Train those of `entries` that can be stacked until `share` of their budget is spent, or they diverge.

    The weights are those that `Run.advance` leads to, up to rounding. No seconds are counted, so entries with a budget
    of seconds stay as they are.
    """
    stacks: dict[tuple[Budget, object], list[Run]] = {}
    for entry in entries:
        run, budget = entry.run, entry.budget
        if budget.seconds is None and _stackable(run) and not entry.reached(share):
            sizes = run.settings["batch_size"], *(weight.shape for weight in run.model.parameters())
            alike = run.problem.likelihood, run.settings.get("momentum"), run.samples, sizes
            stacks.setdefault((budget, alike), []).append(run)
    for (budget, _), runs in stacks.items():
        Stack(runs).advance(budget, share)


def _stackable(run: Run) -> bool:
    """Whether plain or heavy-ball descent on squared errors moves a chain of linear layers, on this process alone."""
    return (
        run.method.build is sgd
        and type(run.problem.likelihood) is Gaussian
        and isinstance(run.model, nn.Sequential)
        and all(type(layer) is nn.Linear and layer.bias is None for layer in run.model)
        and world_of(run.model) is None
    )


class Stack:
    """Runs with the same sizes, batch size, likelihood and momentum that have seen equally many examples."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self.likelihood = runs[0].problem.likelihood
        self.momentum = float(runs[0].settings.get("momentum", 0.0))
        self.weights = [torch.stack(same).detach() for same in zip(*(run.model.parameters() for run in runs))]
        self.velocities = [torch.stack(same) for same in zip(*map(_velocities, runs))]

    @torch.no_grad()
    def advance(self, budget: Budget, share: float) -> None:
        """Train until `share` of the budget is spent; the weights of runs that diverge on the way mean nothing."""
        while self.runs and (spent := budget.spent(self.runs[0])) < share:
            self._step(spent)
        for r, run in enumerate(self.runs):
            for weight, W, V in zip(run.model.parameters(), self.weights, self.velocities):
                weight.copy_(W[r])
                if self.momentum:
                    _state(run)[weight]["momentum_buffer"] = V[r].clone()

    def _step(self, spent: float) -> None:
        """V_i ← μ V_i − ⟨e_i x_{i-1}ᵀ⟩, W_i ← W_i − α V_i; e_L is the score of the output, and e_{i-1} = W_iᵀ e_i."""
        x, y = (torch.stack(same) for same in zip(*(run.draw() for run in self.runs)))
        values = [x]
        for W in self.weights:
            values.append(values[-1] @ W.mT)
        output = values.pop()
        finite = self.likelihood.log_density(output, y).sum(1).isfinite()
        if not finite.all():
            self._drop(~finite)
            values, output, y = [x[finite] for x in values], output[finite], y[finite]
        alpha = x.new_tensor([float(run.settings["lr"]) * run.left(spent) for run in self.runs]).view(-1, 1, 1)
        error = self.likelihood.score(output, y) / y.shape[1]
        for W, V, x in zip(reversed(self.weights), reversed(self.velocities), reversed(values)):
            V.baddbmm_(error.mT, x, beta=self.momentum, alpha=-1)
            error = error @ W
            W.addcmul_(V, alpha, value=-1)

    def _drop(self, diverged: Tensor) -> None:
        for run, gone in zip(self.runs, diverged.tolist()):
            run.diverged = gone
        self.runs = [run for run in self.runs if not run.diverged]
        self.weights = [W[~diverged] for W in self.weights]
        self.velocities = [V[~diverged] for V in self.velocities]


def _velocities(run: Run) -> list[Tensor]:
    state = _state(run)
    return [state[weight].get("momentum_buffer", torch.zeros_like(weight)) for weight in run.model.parameters()]


def _state(run: Run) -> dict[Tensor, dict[str, Tensor]]:
    assert isinstance(run.optimizer, torch.optim.SGD)
    return run.optimizer.state
