"""SymPy matrices of rational functions as exact numbers, and back.

Exact matrices are numpy object arrays of `RationalFunction` (quotients of python-flint polynomials in lowest
terms), of `Factored` (quotients for reading, never multiplied out) or of `flint.fmpq` (at a rational point), so
`@`, `.T`, `np.kron` and `np.block` serve all. Two matrices of rational functions are equal iff the difference of
the cross-multiplied numerators is the zero polynomial: every comparison is a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add, mul

import flint
import numpy as np
from sympy import Add, Expr, Integer, Matrix, MatrixBase, Mul, Rational, Symbol, sympify

from ngdsym.algebra.factored import Factored, product
from ngdsym.algebra.fields import Number, RationalFunction
from ngdsym.algebra.substitution import SharedMatrix

Exact = np.ndarray  # object array of RationalFunction, Factored or flint.fmpq
Coefficients = dict[tuple[int, ...], RationalFunction]


class Field:
    """The field ℚ(symbols) of rational functions.

    Parameters
    ----------
    symbols
        The indeterminates. They are independent: no relation among them is assumed.

    Examples
    --------
    >>> from sympy import Matrix, symbols
    >>> a, b = symbols("a b")
    >>> field = Field([a, b])
    >>> M = field.exact(Matrix([[a, b], [b, a]]))
    >>> field.to_Matrix(inverse(M) @ M)
    Matrix([
    [1, 0],
    [0, 1]])
    """

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self.symbols = list(symbols)
        self._ring = flint.fmpq_mpoly_ctx.get([f"v{i}" for i in range(len(self.symbols))], "lex")
        self._one = self._ring.constant(1)
        letters = (RationalFunction(g, self._one) for g in self._ring.gens())
        self._letters: dict[Expr, Number] = dict(zip(self.symbols, letters))

    def letter(self, symbol: Symbol) -> RationalFunction:
        """The indeterminate of a symbol."""
        return self._letters[symbol]

    def exact(self, matrix: MatrixBase, values: Mapping[Symbol, Number] | None = None) -> Exact:
        """Convert a SymPy matrix, with exact `values` in place of some symbols.

        Raises
        ------
        TypeError
            If an entry is no rational function of the symbols, with rational coefficients.
        ZeroDivisionError
            If a denominator is the zero function.
        """
        known = self._letters | dict(values or {})
        entries = [self._evaluate(sympify(entry), known) for entry in matrix]
        return object_array(entries, matrix.shape)

    def _evaluate(self, expression: Expr, known: dict[Expr, Number]) -> Number:
        """Evaluate an expression tree; `known` remembers what was evaluated before."""
        if expression in known:
            return known[expression]
        if expression.is_Rational:
            value = self._constant(rational(expression))
        elif expression.is_Add or expression.is_Mul:
            operation = add if expression.is_Add else mul
            value = reduce(operation, [self._evaluate(part, known) for part in expression.args])
        elif expression.is_Pow and expression.exp.is_Integer:
            power = reduce(mul, [self._evaluate(expression.base, known)] * abs(int(expression.exp)))
            value = power if expression.exp > 0 else 1 / power
        else:
            names = ", ".join(map(str, self.symbols)) or "no symbols"
            raise TypeError(f"{expression} is not a rational function over ℚ of {names}")
        known[expression] = value
        return value

    def _constant(self, value: flint.fmpq) -> RationalFunction:
        return RationalFunction(self._one * value, self._one)

    def to_Matrix(self, exact: Exact) -> Matrix:
        """SymPy matrix with every entry in lowest terms and factored."""
        return SharedMatrix(*exact.shape, [self._expression(value) for value in exact.flat])

    def factored(self, exact: Exact) -> Exact:
        """The same numbers as `Factored`: in lowest terms, and from here on never multiplied out."""
        return object_array([self._factored(value) for value in exact.flat], exact.shape)

    def _factored(self, value: RationalFunction) -> Factored:
        content, factors, divisors = self._factors(value)
        return Factored(product(content, *[f**k for f, k in factors.items()]), divisors)

    def _expression(self, value: Number) -> Expr:
        if isinstance(value, flint.fmpq):
            return Rational(int(value.p), int(value.q))
        content, factors, divisors = self._factors(value)
        return Mul(content, *[f**k for f, k in factors.items()], *[f**-k for f, k in divisors.items()])

    def _factors(self, value: RationalFunction) -> tuple[Rational, dict[Expr, int], dict[Expr, int]]:
        """Content, factors of the numerator and factors of the denominator, with their powers."""
        if value.num == 0:
            return Integer(0), {}, {}
        (constant, factors), (divisor, divisors) = value.num.factor(), value.den.factor()
        content = constant / divisor
        above, below = ({self._expanded(f): int(k) for f, k in part} for part in (factors, divisors))
        return Rational(int(content.p), int(content.q)), above, below

    def _expanded(self, polynomial: flint.fmpq_mpoly) -> Expr:
        return Add(
            *[
                Mul(Rational(int(c.p), int(c.q)), *[s**k for s, k in zip(self.symbols, powers) if k])
                for powers, c in polynomial.to_dict().items()
            ]
        )

    def derivative(self, polynomial: RationalFunction, symbol: Symbol) -> RationalFunction:
        """Derivative of a polynomial by one of its symbols."""
        return RationalFunction(polynomial.num.derivative(self.symbols.index(symbol)), polynomial.den)

    def linear_part(self, value: RationalFunction, letters: Iterable[Symbol]) -> Exact:
        """Row m of a function `m · letters` that is linear in the letters.

        Raises
        ------
        ValueError
            If the function is not linear in the letters.
        """
        letters = list(letters)
        parts = self.coefficients(value, letters)
        units = [tuple(int(p == q) for q in range(len(letters))) for p in range(len(letters))]
        if not set(parts) <= set(units):
            raise ValueError("the function is not linear in " + ", ".join(map(str, letters)))
        zero = RationalFunction(self._one * 0, self._one)
        return object_array([parts.get(unit, zero) for unit in units], (1, len(letters)))

    def coefficients(self, value: RationalFunction, letters: Iterable[Symbol]) -> Coefficients:
        """Coefficients of a polynomial in `letters`: powers → function of the other symbols."""
        places = [self.symbols.index(s) for s in letters]
        split: dict[tuple[int, ...], dict] = {}
        for powers, c in value.num.to_dict().items():
            rest = list(powers)
            for place in places:
                rest[place] = 0
            split.setdefault(tuple(powers[p] for p in places), {})[tuple(rest)] = c
        if any(powers[p] for powers in value.den.to_dict() for p in places):
            raise ValueError("the denominator contains " + ", ".join(map(str, letters)))
        return {k: RationalFunction(self._ring.from_dict(part), value.den) for k, part in split.items()}


def rational(value: object) -> flint.fmpq:
    """A rational number as an exact number.

    Raises
    ------
    TypeError
        If the value is no rational number: floats are not exact.
    """
    number = sympify(value)
    if not number.is_Rational:
        raise TypeError(f"{value!r} is no rational number: give an integer or a Rational")
    return flint.fmpq(int(number.p), int(number.q))


def factored(matrix: MatrixBase) -> Exact:
    """The entries of a SymPy matrix as numbers that are never multiplied out."""
    return object_array([Factored(entry) for entry in matrix], matrix.shape)


def to_Matrix(exact: Exact) -> SharedMatrix:
    """SymPy matrix of `Factored` entries, as they are."""
    return SharedMatrix(*exact.shape, [(value * Factored(Integer(1))).expression() for value in exact.flat])


def object_array(entries: Iterable[Number], shape: tuple[int, int]) -> Exact:
    """Object array of the given shape from its entries, row by row."""
    array = np.empty(shape[0] * shape[1], dtype=object)
    array[:] = list(entries)
    return array.reshape(shape)


def is_zero(matrix: MatrixBase) -> bool:
    """Decide exactly whether every entry of a matrix of rational functions is the zero function.

    Examples
    --------
    >>> from sympy import Matrix, symbols
    >>> a, b = symbols("a b")
    >>> is_zero(Matrix([a / (a + b) + b / (a + b) - 1]))
    True
    """
    return identical(Field(sorted(matrix.free_symbols, key=str)).exact(matrix), 0)


def equal(A: MatrixBase, B: MatrixBase) -> bool:
    """Decide exactly whether two matrices of rational functions have the same shape and the same entries."""
    return A.shape == B.shape and is_zero(A - B)


def identical(left: Exact, right: Exact | int) -> bool:
    """Whether two exact matrices are the same (`0`: whether `left` vanishes)."""
    if isinstance(right, np.ndarray) and left.shape != right.shape:
        return False
    return bool(np.all(left == right))


def inverse(matrix: Exact) -> Exact:
    """`adj(M) / det M`, or by python-flint at a rational point.

    Raises
    ------
    ValueError
        If the matrix is not square.
    ZeroDivisionError
        If its determinant is the zero function.
    """
    n, columns = matrix.shape
    if n != columns:
        raise ValueError(f"only a square matrix has an inverse, got {n} × {columns}; use pseudo_inverse")
    if all(isinstance(value, flint.fmpq) for value in matrix.flat):
        return object_array(flint.fmpq_mat(n, n, list(matrix.flat)).inv().entries(), (n, n))
    if n == 1:
        return 1 / matrix
    minors = _Minors(matrix)
    rest = [tuple(j for j in range(n) if j != i) for i in range(n)]
    cofactors = [(-1) ** (i + j) * minors(rest[i], rest[j]) for j in range(n) for i in range(n)]
    adjugate = object_array(cofactors, (n, n))
    return adjugate / (matrix[0] @ adjugate[:, 0])


def determinant(matrix: Exact) -> Number:
    """Determinant by expansion along the first row (meant for the small sizes of symbolic proofs)."""
    everything = tuple(range(len(matrix)))
    return _Minors(matrix)(everything, everything)


class _Minors:
    """Determinants of submatrices by rows and columns, each computed once."""

    def __init__(self, matrix: Exact) -> None:
        self._matrix = matrix
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], Number] = {}

    def __call__(self, rows: tuple[int, ...], columns: tuple[int, ...]) -> Number:
        first, rest = rows[0], rows[1:]
        if not rest:
            return self._matrix[first, columns[0]]
        if (rows, columns) not in self._known:
            terms = [
                (-1) ** k * self._matrix[first, j] * self(rest, columns[:k] + columns[k + 1 :])
                for k, j in enumerate(columns)
            ]
            self._known[rows, columns] = reduce(add, terms)
        return self._known[rows, columns]


def pseudo_inverse(*factors: Exact) -> Exact:
    """Moore–Penrose inverse of a product in full-rank factorisation: `R⁺ K⁻¹ C⁺` for `C K R`.

    Parameters
    ----------
    factors
        Of full column rank, then square and invertible, then of full row rank, in this order. Each
        factor's own inverse is `(MᵀM)⁻¹Mᵀ`, `M⁻¹` or `Mᵀ(MMᵀ)⁻¹` by its shape.

    Raises
    ------
    ValueError
        If the factors are in another order: the product rule for pseudo-inverses would then be wrong.
    """
    kinds = [np.sign(columns - rows) for rows, columns in (f.shape for f in factors)]
    if kinds != sorted(kinds):
        shapes = ", ".join(str(f.shape) for f in factors)
        raise ValueError(f"factors must be tall, then square, then wide; got shapes {shapes}")
    return reduce(np.matmul, [_full_rank_inverse(f) for f in reversed(factors)])


def _full_rank_inverse(M: Exact) -> Exact:
    rows, columns = M.shape
    if rows == columns:
        return inverse(M)
    return inverse(M.T @ M) @ M.T if rows > columns else M.T @ inverse(M @ M.T)


def vec(matrix: Exact) -> Exact:
    """Columns stacked into one column."""
    return matrix.T.reshape(-1, 1)


def unvec(column: Exact, shape: tuple[int, int]) -> Exact:
    """The matrix of the given shape whose stacked columns are `column`."""
    return column.reshape(shape[1], shape[0]).T


def rank(matrix: Exact) -> int:
    """Rank of a matrix of rational numbers."""
    return _rational_matrix(matrix).rank()


def _rational_matrix(matrix: Exact) -> flint.fmpq_mat:
    rows, columns = matrix.shape
    return flint.fmpq_mat(rows, columns, list(matrix.flat))


def rank_factorisation(matrix: Exact) -> tuple[Exact, Exact]:
    """`M = C R` for a matrix of rational numbers, C of full column rank and R of full row rank.

    Examples
    --------
    >>> M = object_array(map(flint.fmpq, (1, 2, 2, 4)), (2, 2))
    >>> C, R = rank_factorisation(M)
    >>> C.shape, R.shape, identical(C @ R, M)
    ((2, 1), (1, 2), True)
    """
    reduced, r = _rational_matrix(matrix).rref()
    R = object_array(reduced.entries(), matrix.shape)[:r]
    pivots = [next(j for j, value in enumerate(row) if value != 0) for row in R]
    return matrix[:, pivots], R
