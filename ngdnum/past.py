"""What one step leaves to the next, and how it is saved."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from .batch import Batch, Matrices
from .capture import Record
from .control import Memory
from .factors import running_mean
from .inverse import State, States
from .layers import Layer
from .running import running_inverses
from .schedule import due
from .symmetric import packed


class Past(NamedTuple):
    """Replaced as a whole when a step is taken; parts are empty where nothing is to be kept.

    The number of measurements behind the running mean of the factors, that mean, what the rule factorised (by
    layers), and the memory of the step control.
    """

    measured: int = 0
    factors: Matrices = {}
    states: States = {}
    memory: Memory = {}

    def due(self, step: int, every: int, record: Record) -> bool:
        """Whether this step measures factors: by the calendar, or since a layer is new."""
        known = [matrices.keys() for matrices in self.factors.values()]
        return due(step, every) or not known or any(not record.edges.keys() <= layers for layers in known)

    def after(self, batch: Batch, decay: float, lam: float, layers: list[Layer]) -> tuple[int, Matrices]:
        """The number of measurements and the factors, those of `batch` included."""
        if not batch.factors and not batch.roots:
            return self.measured, self.factors
        k = self.measured + 1
        inverses = running_inverses(self.factors, batch.roots, k, decay, lam, layers)
        return k, running_mean(self.factors, batch.factors, k, decay) | inverses

    def saved(self) -> dict[str, Any]:
        """Its parts as plain dictionaries and tuples, as `torch.save` takes them."""
        return self._asdict() | {"states": {key: tuple(state) for key, state in self.states.items()}}

    @classmethod
    def loaded(cls, parts: dict[str, Any]) -> Self:
        """The inverse of `saved`."""
        return cls(**parts | {"states": {key: State(*state) for key, state in parts["states"].items()}})


def thrifty(factors: Matrices) -> Matrices:
    """The factors with Λ and Λ̃ by their upper triangles, for steps between which they are seldom used."""
    return {
        name: {k: packed(A) for k, A in matrices.items()} if name in ("Lambda", "Lambda_tilde") else matrices
        for name, matrices in factors.items()
    }
