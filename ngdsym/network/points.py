"""Values of a network's symbols, given or random: an identity of polynomials of degree d that fails to hold vanishes at
a point drawn uniformly from `S^n` with probability at most `d / |S|` (Schwartz and Zippel)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import flint
import numpy as np
from sympy import Matrix, Symbol

from ngdsym.algebra.explicit import Exact, Field, rational

Point = Mapping[Symbol, object]

SAMPLES = 2**64


def random_values(field: Field, seed: int) -> dict[Symbol, flint.fmpq]:
    """A random integer from 1 … 2⁶⁴ for every symbol of the field."""
    generator = random.Random(seed)
    return {symbol: flint.fmpq(generator.randrange(1, SAMPLES + 1)) for symbol in field.symbols}


def weights_at(weights: Sequence[Matrix], at: Point) -> tuple[Exact, ...]:
    """The weights with a rational value for each of their symbols.

    Raises
    ------
    ValueError
        If `at` leaves some without.
    """
    missing = [str(w) for W in weights for w in W.vec() if w not in at]
    if missing:
        raise ValueError(f"`at` must give all weights a value; without: {', '.join(missing)}")
    return tuple(np.array([[rational(at[w]) for w in row] for row in W.tolist()], dtype=object) for W in weights)
