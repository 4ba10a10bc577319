"""Networks at random rational points: exact arithmetic where symbols would grow too large."""

from __future__ import annotations

import random

import flint

from ngdsym.algebra.explicit import Exact, object_array
from ngdsym.network.formulas import Formulas
from ngdsym.network.points import SAMPLES


class RationalPoint:
    """A network whose weights and covariances are random integers from 1 … 2⁶⁴.

    Parameters
    ----------
    sizes
        `(n_0, …, n_L)`.
    seed
        Of the random numbers.

    Examples
    --------
    >>> RationalPoint((2, 1, 2)).formulas.W.shape
    (2, 2)
    """

    def __init__(self, sizes: tuple[int, ...], seed: int = 0) -> None:
        self.sizes = tuple(sizes)
        self._generator = random.Random(seed)
        weights = tuple(self._matrix(n, m) for m, n in zip(self.sizes, self.sizes[1:]))
        n_0, n_L = self.sizes[0], self.sizes[-1]
        self.formulas = Formulas(
            self.sizes, weights, self._symmetric(n_0), self._symmetric(n_L), self._matrix(n_L, n_0)
        )

    def _draw(self) -> flint.fmpq:
        return flint.fmpq(self._generator.randrange(1, SAMPLES + 1))

    def _matrix(self, rows: int, columns: int) -> Exact:
        return object_array([self._draw() for _ in range(rows * columns)], (rows, columns))

    def _symmetric(self, n: int) -> Exact:
        upper = {(a, b): self._draw() for a in range(n) for b in range(a, n)}
        return object_array([upper[min(a, b), max(a, b)] for a in range(n) for b in range(n)], (n, n))


def failure_bound(degree: int) -> flint.fmpq:
    """Bound `degree / 2⁶⁴` on the chance that a false identity, cleared to this degree, holds at a point."""
    return flint.fmpq(degree, SAMPLES)
