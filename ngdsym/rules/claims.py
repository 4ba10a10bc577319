"""What may be claimed of a rule, as two matrices that agree on every linear network if the claim holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ngdsym.compiler.compile import compile
from ngdsym.compiler.definition import Definition
from ngdsym.compiler.emit import emit_rule
from ngdsym.compiler.text import alone
from ngdsym.rules.evaluate import LinearInstance

DAMPING = 0.1
DISTINCT = 1e-6
"""Relative distance from which two updates in float64 differ for sure."""

Step = Callable[[LinearInstance, int], np.ndarray]
"""ΔW_i of layer i of a network."""
Sides = Callable[[Step, LinearInstance], tuple[np.ndarray, np.ndarray]]
"""What a rule gives on a network, and what a claim demands."""


@dataclass(frozen=True)
class Counterexample:
    """A network on which a claim fails.

    Parameters
    ----------
    claim : str
        What does not hold.
    network : LinearInstance
        Its weights and covariances.
    sides : callable
        Both sides of the claim, from the updates of a rule and the network.
    step : callable
        The updates of the rule, by NumPy from its formula.
    emitted : callable
        Makes the updates of the rule by its emitted code.

    Examples
    --------
    >>> from ngdsym.rules.zoo import kronecker
    >>> found = kronecker.properties().exact_any.counterexample
    >>> found.network.sizes, found.check()
    ((4, 2, 4), True)
    """

    claim: str
    network: LinearInstance = field(repr=False)
    sides: Sides = field(repr=False)
    step: Step = field(repr=False)
    emitted: Callable[[], Step] = field(repr=False)

    @classmethod
    def to(cls, claim: str, rule: Definition, network: LinearInstance, sides: Sides) -> Counterexample:
        """Candidate for a counterexample to a claim about `rule`."""
        whole = rule.settled().whole

        def step(network: LinearInstance, i: int) -> np.ndarray:
            return network.update(whole, i, DAMPING)

        return cls(claim, network, sides, step, lambda: emitted_step(rule))

    @cached_property
    def _values(self) -> tuple[np.ndarray, np.ndarray]:
        return self.sides(self.step, self.network)

    @property
    def found(self) -> np.ndarray:
        """What the rule gives."""
        return self._values[0]

    @property
    def expected(self) -> np.ndarray:
        """What the claim demands."""
        return self._values[1]

    @property
    def distance(self) -> float:
        """Relative distance of `found` from `expected`."""
        return relative(self.found, self.expected)

    def check(self) -> bool:
        """Whether the claim fails for the emitted torch code too, which shares nothing with `found`."""
        return relative(*self.sides(self.emitted(), self.network)) > DISTINCT

    def __str__(self) -> str:
        return f"sizes {self.network.sizes}: off by {self.distance:.2g}"


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(found))


def emitted_step(rule: Definition) -> Step:
    """ΔW_i by the torch code of a rule."""
    import torch

    module: dict = {}
    exec(alone(emit_rule(compile(rule))), module)

    def step(network: LinearInstance, i: int) -> np.ndarray:
        matrices = {name: torch.from_numpy(np.asarray(value)) for name, value in network.letters(i).items()}
        quantities = matrices | {"lam": DAMPING, "L": len(network.weights)}

        def call(function: Callable, *first: object) -> Any:
            names = list(inspect.signature(function).parameters)[len(first) :]
            return function(*first, **{name: quantities[name] for name in names if name in quantities})

        return call(module["apply"], matrices[rule.gradient.name], call(module["factorise"])).numpy()

    return step


# --- claims ---------------------------------------------------------------------------------------


def natural(step: Step, network: LinearInstance) -> tuple[np.ndarray, np.ndarray]:
    """Change of the end-to-end map, and the nearest multiple of its natural change."""
    found = network.change([step(network, i) for i in range(1, len(network.sizes))])
    direction = network.natural_change()
    return found, np.vdot(direction, found) / np.vdot(direction, direction) * direction


def following(bases: list[np.ndarray]) -> Sides:
    """Update of layer 2 after a change of basis, and the changed update."""

    def sides(step: Step, network: LinearInstance) -> tuple[np.ndarray, np.ndarray]:
        expected = bases[2] @ step(network, 2) @ np.linalg.inv(bases[1])
        return step(network.transformed(bases), 2), expected

    return sides


def homogeneous(step: Step, network: LinearInstance) -> tuple[np.ndarray, np.ndarray]:
    """Update of layer 2 at four times the loss, and what going from one to two times predicts."""
    one, two, four = (step(network.scaled(factor), 2) for factor in (1, 2, 4))
    return four, two * np.linalg.norm(two) / np.linalg.norm(one)
