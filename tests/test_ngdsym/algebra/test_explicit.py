"""Exact arithmetic with rational functions, and the conversions from and to SymPy."""

from __future__ import annotations

import flint
import numpy as np
import pytest
from sympy import Matrix, Rational, cos, eye, randMatrix, symbols, zeros

from ngdsym.algebra.explicit import (
    Field,
    equal,
    identical,
    inverse,
    is_zero,
    pseudo_inverse,
    rank,
    unvec,
    vec,
)
from support.sandwiches import sandwiches_cancel

a, b, c, d = symbols("a b c d")
FIELD = Field([a, b, c, d])
M = Matrix([[a, b], [c, d]])


def test_equality_is_of_functions_not_of_expressions():
    assert equal(M.inv() * M, eye(2))
    assert equal(Matrix([(a**2 - b**2) / (a - b)]), Matrix([a + b]))
    assert not equal(M.inv(), M.inv().T)
    assert not equal(Matrix([a / b]), Matrix([-a / b]))
    assert not equal(eye(2), zeros(2, 3))
    assert is_zero(Matrix([Rational(1, 3) - Rational(2, 6)]))


def test_conversion_there_and_back_is_in_lowest_terms():
    there = FIELD.exact(Matrix([(a * c + b * c) / (2 * c * d)]))
    assert FIELD.to_Matrix(there) == Matrix([(a + b) / (2 * d)])


def test_values_replace_symbols():
    there = FIELD.exact(M / d, {a: flint.fmpq(1), b: flint.fmpq(2), c: flint.fmpq(3), d: flint.fmpq(4)})
    assert FIELD.to_Matrix(there) == Matrix([[1, 2], [3, 4]]) / 4


def test_what_is_no_rational_function_is_refused_by_name():
    for entry in (cos(a), a**b, 0.5 * a, symbols("z")):
        with pytest.raises(TypeError, match="not a rational function"):
            FIELD.exact(Matrix([entry]))


def test_inverse_agrees_with_sympy_and_refuses_singular_and_rectangular():
    assert equal(FIELD.to_Matrix(inverse(FIELD.exact(M))), M.inv())
    integers = Matrix([[2, 1, 1], [1, 3, 2], [1, 0, 5]])
    assert FIELD.to_Matrix(inverse(FIELD.exact(integers))) == integers.inv()
    with pytest.raises(ZeroDivisionError):
        inverse(FIELD.exact(Matrix([[a, b], [a, b]])))
    with pytest.raises(ValueError, match="square"):
        inverse(FIELD.exact(Matrix([[a, b]])))


def test_pseudo_inverse_has_the_four_penrose_properties():
    tall, square = FIELD.exact(Matrix([[a], [b]])), FIELD.exact(Matrix([[c]]))
    wide = FIELD.exact(Matrix([[d, a, 1]]))
    X, product = pseudo_inverse(tall, square, wide), tall @ square @ wide
    assert identical(product @ X @ product, product) and identical(X @ product @ X, X)
    assert identical((product @ X).T, product @ X) and identical((X @ product).T, X @ product)
    with pytest.raises(ValueError, match="tall, then square, then wide"):
        pseudo_inverse(wide, tall)


def test_vec_stacks_columns():
    exact = FIELD.exact(Matrix([[a, b, 1], [c, d, 2]]))
    assert FIELD.to_Matrix(vec(exact)) == Matrix([a, c, b, d, 1, 2])
    assert identical(unvec(vec(exact), (2, 3)), exact)
    left, right = FIELD.exact(M), FIELD.exact(Matrix([[a, 1, 0], [0, b, 1], [1, 1, d]]))
    assert identical(vec(left @ exact @ right), np.kron(right.T, left) @ vec(exact))


@pytest.mark.parametrize("symbolic", [True, False])
def test_sandwiches_cancel_only_for_every_matrix_between(symbolic):
    values = {} if symbolic else dict(zip((a, b, c, d), map(flint.fmpq, (3, 5, 7, 11))))
    L, R = FIELD.exact(M, values), FIELD.exact(M.T + eye(2), values)
    both = (-(L + L @ L), R)
    assert sandwiches_cancel([(L, R), (L @ L, R), both])
    assert sandwiches_cancel([(L, R), (L, L), (-L, R + L)])
    dependent = [(L, R), (R, L), (L - R, L - R), (-L, L), (-R, R)]
    assert sandwiches_cancel(dependent)
    assert not sandwiches_cancel([(L, R), (-R, L)])
    assert not sandwiches_cancel([(L, R), (L @ L, R), (-both[0], R)])
    assert not sandwiches_cancel([(L, R), (-L, R.T)])


def test_rank_over_the_rationals():
    low = randMatrix(4, 2, seed=1) * randMatrix(2, 5, seed=2)
    numbers = np.array([[flint.fmpq(int(v)) for v in low.row(i)] for i in range(4)], dtype=object)
    assert rank(numbers) == low.rank() == 2
