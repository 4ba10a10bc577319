"""Search of a grid on validation examples, by successive halving (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..data import Problem
from ..results import Curve, Settings, finite
from .entry import Entry
from .method import Method
from .race import Race
from .training import Budget, Run

SCHEDULES = ("constant", "linear")
SURVIVORS = 2  # of each schedule at least, however small half of them is


class Diverged(RuntimeError):
    """No setting of a grid has led to a finite error."""


@dataclass(frozen=True)
class Rung:
    """One round of a search: all settings that are left train up to each of `shares` of `budget`, in turns.

    With the budget of the rung before, they go on where that one ended; with another, they start anew.
    """

    name: str
    budget: Budget
    shares: tuple[float, ...]


@dataclass
class Trial:
    """What a setting came to at the end of a rung: its score, and the validation error on each problem."""

    rung: str
    settings: Settings
    score: float
    errors: list[float]


Score = Callable[[Curve, Rung], float]  # what is minimised; infinite: diverged
Keep = Callable[[list[Settings], int], list[Settings]]  # of those ranked on a rung with this number, who goes on


def better_half(ranked: list[Settings], rung: int) -> list[Settings]:
    """The better half, of one the whole."""
    return ranked[: (len(ranked) + 1) // 2]


def better_half_of_schedules(ranked: list[Settings], rung: int) -> list[Settings]:
    """All after the first rung, then the better half of each schedule by itself, two at least.

    What is slow at first has a second chance, and a rate that falls to zero needs a larger budget to show what it
    is worth.
    """
    if rung == 0:
        return ranked
    alike = ([s for s in ranked if s["schedule"] == schedule] for schedule in SCHEDULES)
    return [s for some in alike for s in some[: max(SURVIVORS, math.ceil(len(some) / 2))]]


def best_two(ranked: list[Settings], rung: int) -> list[Settings]:
    """The best two."""
    return ranked[:2]


def blind(problem: Problem) -> Problem:
    """`problem` without its test examples: the validation examples take their place.

    Where the noise is known, its variance is the floor there. Accuracy is not measured: it ranks nothing.
    """
    noise: Any = problem.source.get("noise")
    return problem._replace(test=problem.validation, floor=noise, accuracy=None)


class Search:
    """The best settings of a method, and all that were tried; it can stop after any turn and go on.

    On each rung, every setting that is left trains once on each problem, with the seed of that problem, and its
    score is the mean over the problems.  The test examples of the problems are never looked at.

    Parameters
    ----------
    method : the method, with its grid.
    problems : by seed.
    rungs : the rounds.
    scale : turns the squared error of a problem into the errors that `score` sees.
    score, keep : how the settings are ranked, and which of them go on to the next rung.
    jobs : how many settings train at a time, see `Race`.
    """

    def __init__(
        self,
        method: Method,
        problems: dict[int, Problem],
        rungs: Sequence[Rung],
        scale: Callable[[Problem], float],
        score: Score,
        keep: Keep,
        jobs: int | None = 1,
    ) -> None:
        self.method, self.rungs, self.score, self.keep = method, rungs, score, keep
        self.problems = {seed: blind(problem) for seed, problem in problems.items()}
        self.scale, self.jobs = scale, jobs
        self.trials: list[Trial] = []
        self.rung, self.alive = 0, list(method.grid)
        self.race = self._race({})

    def proceed(
        self,
        advanced: Callable[[float], None] = lambda share: None,
        turned: Callable[[], None] = lambda: None,
    ) -> Settings:
        """Search to the end, and return the winner of the last rung.

        Parameters
        ----------
        advanced : called with each share of the whole search as it is done, for a progress bar.
        turned : called whenever the search may be stopped and its `state` kept.

        Raises
        ------
        Diverged : every setting did.
        """
        while True:
            turns = len(self.race.shares) * len(self.race.entries) * len(self.rungs)
            self.race.proceed(partial(_one_of, advanced, turns), turned)
            ranked = self._rank()
            if self.rung == len(self.rungs) - 1:
                return ranked[0]
            before = self._entries()
            self.alive = self.keep(ranked, self.rung)
            goes_on = self.rungs[self.rung + 1].budget == self.rungs[self.rung].budget
            self.rung += 1
            self.race = self._race(before if goes_on else {})

    def winners(self) -> dict[str, Settings]:
        """The best settings on each rung so far."""
        done = [rung.name for rung in self.rungs if any(trial.rung == rung.name for trial in self.trials)]
        return {name: min((t for t in self.trials if t.rung == name), key=lambda t: t.score).settings for name in done}

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from the end of a turn, by `load_state`."""
        return {
            "rung": self.rung,
            "alive": self.alive,
            "race": self.race.state(),
            "trials": [vars(trial) for trial in self.trials],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where a search of the same grid has stopped."""
        self.rung, self.alive = state["rung"], state["alive"]
        self.trials = [Trial(**trial) for trial in state["trials"]]
        self.race = self._race({})
        self.race.load_state(state["race"])

    def _entries(self) -> dict[str, list[Entry]]:
        """The entries of each setting that is left."""
        count = len(self.problems)
        groups = (self.race.entries[i : i + count] for i in range(0, len(self.race.entries), count))
        return {str(settings): group for settings, group in zip(self.alive, groups)}

    def _race(self, before: dict[str, list[Entry]]) -> Race:
        rung = self.rungs[self.rung]
        entries = [
            entry
            for settings in self.alive
            for entry in before.get(str(settings)) or self._fresh(settings, rung.budget)
        ]
        return Race(entries, rung.shares, self.jobs, stacked=True)

    def _fresh(self, settings: Settings, budget: Budget) -> list[Entry]:
        return [
            Entry(
                Run(problem, self.method, settings, seed),
                budget,
                self.scale(problem),
                Curve(self.method.name, settings),
            )
            for seed, problem in self.problems.items()
        ]

    def _rank(self) -> list[Settings]:
        """Note the trials of the rung, and return its settings, the best first."""
        rung, scores = self.rungs[self.rung], []
        for settings, entries in zip(self.alive, self._entries().values()):
            curves = [entry.curve for entry in entries]
            scores.append(math.fsum(self.score(curve, rung) for curve in curves) / len(curves))
            errors = [math.inf if curve.diverged else curve.test_error[-1] for curve in curves]
            self.trials.append(Trial(rung.name, settings, scores[-1], errors))
        if math.isinf(min(scores)):
            raise Diverged(
                f"{self.method.name} diverged within {rung.name} with each of the {len(scores)} settings "
                "of its grid: check the data, or give the method a wider grid"
            )
        return [self.alive[i] for i in sorted(range(len(scores)), key=scores.__getitem__)]


def _one_of(advanced: Callable[[float], None], turns: int, entry: Entry, share: float) -> None:
    advanced(1 / turns)


def as_json(trial: Trial) -> dict[str, object]:
    """A trial as it is stored; null: diverged."""
    return {
        "budget": trial.rung,
        "settings": trial.settings,
        "score": finite(trial.score),
        "validation_error": [finite(error) for error in trial.errors],
    }
