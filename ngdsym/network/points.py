"""Random values of a network's symbols: an identity of polynomials of degree d that fails to hold vanishes at
a point drawn uniformly from `S^n` with probability at most `d / |S|` (Schwartz and Zippel)."""

from __future__ import annotations

import random

import flint
from sympy import Symbol

from ngdsym.algebra.explicit import Field

SAMPLES = 2**64


def random_values(field: Field, seed: int) -> dict[Symbol, flint.fmpq]:
    """A random integer from 1 … 2⁶⁴ for every symbol of the field."""
    generator = random.Random(seed)
    return {symbol: flint.fmpq(generator.randrange(1, SAMPLES + 1)) for symbol in field.symbols}
