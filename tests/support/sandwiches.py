"""Linear maps of a matrix Z as sums of terms `L Z R`, compared exactly without expanding them."""

from __future__ import annotations

from collections.abc import Iterable

import flint
import numpy as np

from ngdsym.algebra.explicit import Exact, identical, object_array
from ngdsym.algebra.fields import Number


def sandwiches_cancel(terms: Iterable[tuple[Exact, Exact]]) -> bool:
    """Decide exactly whether `Σ L Z R = 0` for every matrix Z.

    Terms with the same L, then with the same R, are merged; what is left is zero iff `Σ Rᵀ ⊗ L` is. Its
    entries are first evaluated at a point, where one that is not zero is a cheap disproof.
    """
    merged = [(L, R) for R, L in _merged((R, L) for L, R in _merged(terms))]
    at_point = [(_there(L), _there(R)) for L, R in merged]
    return _kronecker_sum_is_zero(at_point) and _kronecker_sum_is_zero(merged)


def _kronecker_sum_is_zero(terms: list[tuple[Exact, Exact]]) -> bool:
    if not terms:
        return True
    if all(isinstance(entry, flint.fmpq) for term in terms for M in term for entry in M.flat):
        lefts = np.array([L.flat for L, _ in terms], dtype=object).T
        rights = flint.fmpq_mat(len(terms), terms[0][1].size, [entry for _, R in terms for entry in R.flat])
        return all((flint.fmpq_mat(1, len(terms), list(row)) * rights).rank() == 0 for row in lefts)
    entries = np.ndindex(*terms[0][0].shape, *terms[0][1].shape)
    return all(sum(L[a, b] * R[c, d] for L, R in terms) == 0 for a, b, c, d in entries)


def _there(matrix: Exact) -> Exact:
    """The matrix at one fixed point of integers without pattern."""

    def value(entry: Number) -> flint.fmpq:
        if isinstance(entry, flint.fmpq):
            return entry
        point = [flint.fmpq(pow(3, 7 * k + 5, 1009)) for k in range(entry.num.context().nvars())]
        return entry.num(*point) / entry.den(*point)

    return object_array([value(entry) for entry in matrix.flat], matrix.shape)


def _merged(terms: Iterable[tuple[Exact, Exact]]) -> list[tuple[Exact, Exact]]:
    """Pairs with equal first members added up; pairs with a zero member dropped."""
    groups: list[tuple[Exact, Exact]] = []
    for key, value in terms:
        same = next((n for n, (k, _) in enumerate(groups) if identical(k, key)), None)
        if same is None:
            groups.append((key, value))
        else:
            groups[same] = key, groups[same][1] + value
    return [(k, v) for k, v in groups if not identical(k, 0) and not identical(v, 0)]
