"""What one step leaves to the next, and how it is saved."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from .batch import Matrices
from .control import Memory
from .inverse import State, States


class Past(NamedTuple):
    """Replaced as a whole when a step is taken; parts are empty where nothing is to be kept.

    The number of measurements behind the running mean of the factors, that mean, what the rule factorised (by
    layers), and the memory of the step control.
    """

    measured: int = 0
    factors: Matrices = {}
    states: States = {}
    memory: Memory = {}

    def saved(self) -> dict[str, Any]:
        """Its parts as plain dictionaries and tuples, as `torch.save` takes them."""
        return self._asdict() | {"states": {key: tuple(state) for key, state in self.states.items()}}

    @classmethod
    def loaded(cls, parts: dict[str, Any]) -> Self:
        """The inverse of `saved`."""
        return cls(**parts | {"states": {key: State(*state) for key, state in parts["states"].items()}})
