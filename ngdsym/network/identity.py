"""Whether a product of matrices of rational functions is a given one: at random points, or proved in a time limit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import reduce
from math import inf
from operator import matmul
from time import process_time

from sympy import MatrixBase

from ngdsym.algebra.explicit import Exact, Field, identical, object_array
from ngdsym.network.points import random_values


def passes(field: Field, factors: Sequence[MatrixBase], right: MatrixBase, points: int = 2) -> bool:
    """Whether the product of `factors` is `right` at some random points; "no" is certain."""
    for seed in range(points):
        values = random_values(field, seed)
        exact = [field.exact(factor, values) for factor in factors]
        if not identical(reduce(matmul, exact), field.exact(right, values)):
            return False
    return True


def prove(field: Field, factors: Sequence[MatrixBase], right: MatrixBase, timeout: float | None = None) -> bool:
    """Whether the product of `factors` is `right` as rational functions.

    Raises
    ------
    TimeoutError
        If that was not decided in `timeout` seconds of processor time, looked up before each entry of a product.
    """
    deadline = inf if timeout is None else process_time() + timeout
    first, *others = (field.exact(factor) for factor in factors)
    try:
        return identical(reduce(lambda A, B: _product(A, B, deadline), others, first), field.exact(right))
    except TimeoutError:
        raise TimeoutError(
            f"no proof was found in {timeout:g} s, though the identity holds at random points: raise timeout, or prove "
            "it for smaller layers"
        ) from None


def _product(A: Exact, B: Exact, deadline: float) -> Exact:
    entries = []
    for row, column in itertools.product(A, B.T):
        if process_time() > deadline:
            raise TimeoutError
        entries.append(row @ column)
    return object_array(entries, (len(A), B.shape[1]))
