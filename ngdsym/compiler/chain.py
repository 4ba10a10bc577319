"""The cheapest association of a product of matrices, in two binding times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sympy import Expr, Integer, Rational, S

from ngdsym.algebra.symbols import k

SOLVE_WEIGHT = Rational(3, 2)
"""Time of a FLOP in a triangular solve over one in a product (about 1.1 at width 784, 5 at width 20)."""


class Join(NamedTuple):
    """A product of two parts, each the number of a factor or a product again.

    `how` is "multiply", or "solve left" or "solve right" if that part is an inverse, applied by solving.
    """

    how: str
    left: Join | int
    right: Join | int
    flops: Expr


def associate(sizes: Sequence[Expr], fast: Sequence[bool], solvable: Sequence[bool], reuse: int) -> Join | int:
    """Association with the fewest FLOPs, where a slow product counts 1/`reuse`.

    Parameters
    ----------
    sizes : sequence of Expr
        Factor i is `sizes[i] × sizes[i + 1]`.
    fast : sequence of bool
        Which factors change at every step.
    solvable : sequence of bool
        Which factors are inverses that a solve can apply instead.
    reuse : int
        How often a slow product is used.

    Examples
    --------
    >>> from ngdsym.algebra.symbols import n
    >>> associate([n, k, n, n], [False, False, True], [False] * 3, reuse=1)
    Join(how='multiply', left=0, right=Join(how='multiply', left=1, right=2, flops=2*k*n**2), flops=2*k*n**2)
    >>> associate([n, n, n], [False, True], [True, False], reuse=1).how
    'solve left'
    >>> associate([n, n, n], [False, True], [True, False], reuse=9).how
    'multiply'
    """

    def weigh(flops: Expr, is_fast: bool) -> Expr:
        return nominal(flops) if is_fast else nominal(flops) / reuse

    def product_flops(i: int, split: int, j: int) -> Expr:
        return 2 * sizes[i] * sizes[split + 1] * sizes[j + 1]

    @cache
    def best(i: int, j: int) -> tuple[Expr, int, str]:
        """Cost of factors i … j as a matrix, where to split them, and how to join the two parts."""
        if i == j:
            inverse = SOLVE_WEIGHT * weigh(2 * sizes[i] ** 3 / 3, fast[i])
            return inverse if solvable[i] else S.Zero, i, "matrix"
        options = []
        for split in range(i, j):
            cost = weigh(product_flops(i, split, j), any(fast[i : j + 1]))
            left, right = best(i, split)[0], best(split + 1, j)[0]
            if i == split and solvable[i]:
                options.append((SOLVE_WEIGHT * cost + right, 0, split, "solve left"))
            if split + 1 == j and solvable[j]:
                options.append((left + SOLVE_WEIGHT * cost, 0, split, "solve right"))
            options.append((left + right + cost, 1, split, "multiply"))
        cost, _, split, how = min(options)
        return cost, split, how

    def tree(i: int, j: int) -> Join | int:
        if i == j:
            return i
        _, split, how = best(i, j)
        return Join(how, tree(i, split), tree(split + 1, j), product_flops(i, split, j))

    return tree(0, len(fast) - 1)


def nominal(flops: Expr) -> Expr:
    """FLOPs for 16 examples and every other size 512, to compare associations by."""
    return flops.xreplace({size: Integer(16 if size == k else 512) for size in flops.free_symbols})
