"""Networks at random rational points: exact arithmetic where symbols would grow too large.

By the lemma of Schwartz and Zippel a nonzero polynomial of total degree d vanishes at a point drawn
uniformly from `S^n` with probability at most `d / |S|`. A failed identity at one point is a disproof; one
that holds at a point is wrong with at most the probability of `failure_bound`.
"""
from __future__ import annotations

import random
from typing import TYPE_CHECKING

import flint
from sympy import Symbol

from ngdsym.algebra.explicit import Exact, object_array
from ngdsym.network.formulas import Formulas

if TYPE_CHECKING:
    from ngdsym.network.linear_network import LinearNetwork

SAMPLES = 2 ** 64


def _draw(generator: random.Random) -> flint.fmpq:
    return flint.fmpq(generator.randrange(1, SAMPLES + 1))


def random_values(net: LinearNetwork, seed: int) -> dict[Symbol, flint.fmpq]:
    """A random integer from 1 … 2⁶⁴ for every symbol of the network."""
    generator = random.Random(seed)
    return {symbol: _draw(generator) for symbol in net.field.symbols}


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
        self.formulas = Formulas(self.sizes, weights, self._symmetric(n_0), self._symmetric(n_L),
                                 self._matrix(n_L, n_0))

    def _matrix(self, rows: int, columns: int) -> Exact:
        return object_array([_draw(self._generator) for _ in range(rows * columns)], (rows, columns))

    def _symmetric(self, n: int) -> Exact:
        upper = {(a, b): _draw(self._generator) for a in range(n) for b in range(a, n)}
        return object_array([upper[min(a, b), max(a, b)] for a in range(n) for b in range(n)], (n, n))


def failure_bound(degree: int) -> flint.fmpq:
    """Bound `degree / 2⁶⁴` on the chance that a false identity, cleared to this degree, holds at a point."""
    return flint.fmpq(degree, SAMPLES)
