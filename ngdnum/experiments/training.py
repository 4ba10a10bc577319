"""Training runs that count samples and seconds, and take turns so that a drifting machine is fair to all."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..data import Examples, Problem
from ..results import Curve, Settings, settings_text
from ..stack import NotFinite
from ..world import Refusal, world_of
from .method import Method, Optimizer


@dataclass(frozen=True)
class Budget:
    """How long a method may train: a number of samples, of seconds, or whichever ends first."""

    samples: int | None = None
    seconds: float | None = None

    def part(self, share: float) -> Budget:
        """`share` of this budget, one sample at least."""
        return Budget(self.samples and max(1, round(self.samples * share)), self.seconds and self.seconds * share)

    def spent(self, run: Run) -> float:
        """Share of the budget that `run` has used."""
        by_samples = run.samples / self.samples if self.samples else 0.0
        by_seconds = run.seconds / self.seconds if self.seconds else 0.0
        return max(by_samples, by_seconds)


def batches(examples: Examples, size: int, generator: torch.Generator) -> Iterator[Examples]:
    """Endless batches of `size` rows: pass after pass in new random order, without an incomplete last batch.

    Raises
    ------
    ValueError : fewer examples than one batch.
    """
    count = len(examples.x)
    if size > count:
        raise ValueError(f"a batch of {size} needs as many examples, there are only {count}")
    while True:
        order = torch.randperm(count, generator=generator)
        for rows in order[: count - count % size].split(size):
            yield Examples(examples.x[rows], examples.y[rows])


def batches_anew(examples: Examples, size: int, generator: torch.Generator) -> Iterator[Examples]:
    """Endless batches of `size` different rows, each drawn from all examples, so that there are no passes."""
    while True:
        rows = torch.randperm(len(examples.x), generator=generator)[:size]
        yield Examples(examples.x[rows], examples.y[rows])


Recipe = tuple[Problem, Method, Settings, int]
"""What a `Run` is made of: problem, method, settings and seed."""


class Run:
    """One method with one choice of settings, training its own copy of the problem's network.

    `seconds` is the processor time of its steps: with one thread it is what a clock shows on an idle machine,
    and other programs do not count. Of several ranks, each has its part of every batch, and the slowest one counts.
    """

    def __init__(self, problem: Problem, method: Method, settings: Settings, seed: int) -> None:
        self.problem, self.method, self.settings, self.seed = problem, method, settings, seed
        self.model = copy.deepcopy(problem.model)
        self._world = world_of(self.model)
        self._network = self.model if self._world is None else DistributedDataParallel(self.model)
        self.optimizer: Optimizer = method.build(self.model, problem.likelihood, settings, seed)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.steps, self.samples, self.seconds, self.diverged = 0, 0, 0.0, False
        generator = torch.Generator().manual_seed(seed)
        stream = batches_anew if settings.get("batches") == "anew" else batches
        self._batches = stream(problem.train, int(settings["batch_size"]), generator)

    def draw(self) -> Examples:
        """The next batch, counted as a step."""
        batch = next(self._batches)
        self.steps += 1
        self.samples += len(batch.x)
        return batch

    def step(self) -> None:
        """One batch, one update.  Sets `diverged` when the loss or the update is no longer finite."""
        start = time.process_time()
        x, y = self.draw()
        try:
            self._update(*((x, y) if self._world is None else self._world.dealt(x, y)))
        except (torch.linalg.LinAlgError, NotFinite, Refusal):
            self.diverged = True
        spent = time.process_time() - start
        self.seconds += spent if self._world is None else max(*self._world.meet(spent))[0]

    def _update(self, x: Tensor, y: Tensor) -> None:
        self.optimizer.zero_grad()
        loss = self.problem.likelihood(self._network(x), y)
        value = loss.item() if self._world is None else self._world.average(loss.item)
        if not math.isfinite(value):
            self.diverged = True
            return
        loss.backward()
        if self.method.reevaluates:
            self.optimizer.step(lambda: self.problem.likelihood(self._network(x), y), loss=loss)
        else:
            self.optimizer.step()

    def advance(self, budget: Budget, share: float) -> None:
        """Train until `share` of the budget is spent, or the run diverges."""
        while not self.diverged and (spent := budget.spent(self)) < share:
            for group, rate in zip(self.optimizer.param_groups, self._rates):
                group["lr"] = rate * self.left(spent)
            self.step()

    def left(self, spent: float) -> float:
        """The share of its rates that the schedule leaves when so much of the budget is spent."""
        return 1 - spent if self.settings.get("schedule") == "linear" else 1.0

    def error(self, examples: Examples) -> float:
        """The problem's error on `examples`; infinite once diverged."""
        value = math.inf if self.diverged else self.problem.error(self.model, *examples)
        return value if math.isfinite(value) else math.inf

    def record(self, curve: Curve, scale: float = 1.0) -> None:
        """Append the present test error, times `scale`, to `curve`, outside the measured time."""
        error = self.error(self.problem.test)
        self.diverged = curve.diverged = not math.isfinite(error)
        if not self.diverged:
            curve.append(self.samples, self.seconds, scale * error)
            if self.problem.accuracy is not None:
                curve.accuracy.append(self.problem.accuracy(self.model, *self.problem.test))

    def recipe(self) -> Recipe:
        """What another process needs to make the same run."""
        return self.problem, self.method, self.settings, self.seed

    def name(self) -> str:
        """Who trains here, for people."""
        return f"{self.method.name} with {settings_text(self.settings)}, seed {self.seed}"

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, by `load_state`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "samples": self.samples,
            "seconds": self.seconds,
            "diverged": self.diverged,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where a run with the same method, settings and seed has stopped: the same steps follow.

        The order of the examples follows from the seed; those seen are passed over.
        """
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for _ in range(state["steps"] - self.steps):
            next(self._batches)
        self.steps, self.samples, self.seconds = state["steps"], state["samples"], state["seconds"]
        self.diverged = state["diverged"]
