"""SymPy matrix expressions as typed words.

`MatrixSymbol`s become letters, their symbolic dimensions the vertices of the quiver. `Inverse(X)` and
`Pinv(X)` become letters too, each with the relations that define it, so nothing about them is built into the
search; only the inverse of a transpose is written as the transpose of the inverse, as SymPy itself does when
it transposes one."""

from __future__ import annotations

from collections.abc import Set
from fractions import Fraction
from functools import reduce
from operator import mul

from sympy import (
    Adjoint,
    And,
    Basic,
    BlockMatrix,
    Eq,
    Float,
    Identity,
    Inverse,
    MatAdd,
    MatMul,
    MatPow,
    MatrixSymbol,
    Not,
    Rational,
    Symbol,
    Transpose,
    ZeroMatrix,
    false,
    true,
)
from sympy.assumptions import AppliedPredicate, Q
from sympy.core.relational import Relational
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PD, PSD, Pinv, check_shapes
from ngdsym.proof.letters import Letters
from ngdsym.proof.words import Equation, Polynomial

INSTEAD = {
    Q.positive_definite: "only letters can be positive definite: add a letter P = PD('P', n, n) and the equation "
    "Eq(P, …)",
    Q.unitary: "letters are real matrices: write Q.orthogonal(X)",
    Q.fullrank: "write the one-sided inverse as an equation: Eq(L*X, Identity(n)) for full column rank, "
    "Eq(X*R, Identity(m)) for full row rank",
    Q.singular: "write what it kills: Eq(X*u, ZeroMatrix(n, 1)) with Eq(u.T*u, Identity(1))",
    Q.normal: "write Eq(X*X.T, X.T*X)",
    Q.diagonal: "it is no equation between matrices of every size: write what you use of it, such as Eq(D*X, X*D) and "
    "Q.symmetric(D)",
}
"""What to write in place of a predicate that is not understood."""


class Translator:
    """Turns SymPy equations into `Equation`s over one set of `letters`.

    Examples
    --------
    >>> from sympy import Eq, MatrixSymbol, symbols
    >>> n, k = symbols("n k")
    >>> A = MatrixSymbol("A", n, k)
    >>> print(Translator().equation(Eq(A * Pinv(A) * A, A)))
    A A⁺ A = A
    """

    def __init__(self, symmetric: Set[MatrixExpr] = frozenset(), positive: Set[MatrixExpr] = frozenset()) -> None:
        self.letters = Letters()
        self._symmetric = symmetric
        self._positive = positive
        self._owner: dict[str, MatrixExpr] = {}
        self._read: dict[Basic, Polynomial] = {}
        self._sizes: dict[str, Symbol] = {}

    def equation(self, statement: Basic) -> Equation:
        """`Eq(left, right)`, or an expression that is meant to vanish."""
        if statement in (true, false):
            raise ValueError(
                f"SymPy evaluated a statement to {statement} on construction, nothing is left "
                "to read; write Eq(left, right, evaluate=False)"
            )
        if isinstance(statement, Relational) and not isinstance(statement, Eq) or isinstance(statement, Not):
            raise TypeError(
                f"{statement} is no equation: only equations are assumed and proved; matrices with A ≠ B "
                "are found by refute(assumptions, Eq(A, B, evaluate=False))"
            )
        if not isinstance(statement, (Eq, MatrixExpr)):
            raise TypeError(
                f"{statement} ({type(statement).__name__}) is no equation between matrices: write Eq(left, "
                "right, evaluate=False)"
            )
        left, right = statement.args if isinstance(statement, Eq) else (statement, ZeroMatrix(*statement.shape))
        for side in (left, right):
            if not isinstance(side, MatrixExpr):
                raise TypeError(f"{side} is no matrix expression: write Identity(n) for 1, ZeroMatrix(n, m) for 0")
            check_shapes(side)
        equation = Equation(self.polynomial(left), self.polynomial(right))
        if not any(word for _, word in equation.listing()):
            raise ValueError(f"{statement} has no letters: nothing to prove or assume")
        return equation

    def polynomial(self, expr: Basic) -> Polynomial:
        """The expression as a polynomial; declares the letters it meets."""
        if expr not in self._read:
            self._read[expr] = self._polynomial(expr)
        return self._read[expr]

    def _polynomial(self, expr: Basic) -> Polynomial:
        match expr:
            case MatrixSymbol():
                return self._known(expr.name, expr) or self._declare(
                    expr.name, expr, expr == expr.T or expr in self._symmetric
                )
            case Identity():
                return Polynomial(self.letters, self._kind(expr), {"": 1})
            case ZeroMatrix():
                return Polynomial(self.letters, self._kind(expr), {})
            case Transpose():
                return self.polynomial(expr.arg).T
            case Inverse() | Pinv() if isinstance(expr.arg, Transpose):
                return self.polynomial(expr.func(expr.arg.arg)).T
            case Inverse():
                return self._derived(expr, expr.arg, "⁻¹")
            case Pinv():
                return self._derived(expr, expr.arg, "⁺")
            case MatPow() if expr.exp.is_Integer:
                base = self.polynomial(expr.base if expr.exp > 0 else Inverse(expr.base))
                result = base
                for _ in range(abs(int(expr.exp)) - 1):
                    result = result * base
                return result
            case MatAdd():
                first, *others = map(self.polynomial, expr.args)
                return sum(others, first)
            case MatMul():
                c, factors = expr.as_coeff_matrices()
                if isinstance(c, Float):
                    raise TypeError(
                        f"the coefficient {c} of {expr} is rounded: write it exactly, Rational('{float(c):.12g}')"
                    )
                if not isinstance(c, Rational):
                    raise TypeError(f"the coefficient {c} of {expr} is not rational: make it a matrix")
                number = int(c.p) if c.q == 1 else Fraction(int(c.p), int(c.q))
                product = reduce(mul, map(self.polynomial, factors))
                return product if number == 1 else number * product
            case BlockMatrix():
                raise TypeError(
                    f"{expr} is a matrix of blocks: name its blocks and state one equation for each, as "
                    "for [A B] X = 1 with X of blocks X_1 and X_2: Eq(A*X_1 + B*X_2, Identity(n))"
                )
            case Adjoint():
                raise TypeError(f"{expr} is an adjoint, but letters are real matrices: write {expr.arg}.T")
        raise TypeError(f"{expr} ({type(expr).__name__}) is not built from matrices, transposes and inverses")

    def _known(self, name: str, expr: MatrixExpr) -> Polynomial | None:
        """The letter of that name, if it is declared; it must stand for the same matrix."""
        if self._owner.setdefault(name, expr) != expr:
            raise ValueError(
                f"{name} names two different letters, {_described(self._owner[name])} and "
                f"{_described(expr)}: rename one"
            )
        return self.letters[name] if name in self.letters else None

    def _declare(self, name: str, expr: MatrixExpr, symmetric: bool) -> Polynomial:
        definite = isinstance(expr, PD) or expr in self._positive
        positive = "pd" if definite else "psd" if isinstance(expr, PSD) else None
        self._kind(expr)
        return self.letters(name, *expr.shape, symmetric=symmetric, positive=positive)

    def _derived(self, expr: MatrixExpr, base: MatrixExpr, mark: str) -> Polynomial:
        """The letter of an inverse or pseudo-inverse of any expression, with its defining relations."""
        inner = self.polynomial(base)
        name = (str(base) if isinstance(base, MatrixSymbol) else f"({base})".replace(" ", "")) + mark
        letter = self._known(name, expr)
        return self.letters.declare_inverse(inner, mark, name) if letter is None else letter

    def _kind(self, expr: MatrixExpr) -> tuple[str, str]:
        """Rows and columns; two dimensions of one name have to be the same."""
        for symbol in set().union(*(size.free_symbols for size in expr.shape)):
            if self._sizes.setdefault(symbol.name, symbol) != symbol:
                raise ValueError(
                    f"two different sizes are called {symbol}, with assumptions {symbol.assumptions0} and "
                    f"{self._sizes[symbol.name].assumptions0}: use one symbol for both"
                )
        rows, cols = expr.shape
        return self.letters.dimension(rows), self.letters.dimension(cols)


def translate(assumptions: list[Basic], claims: list[Basic]) -> tuple[Letters, list[Equation], list[Equation]]:
    """Letters, assumptions and claims of a statement.

    Of predicates, `Q.symmetric(X)` of a letter types it, of an expression it is the equation X = Xᵀ;
    `Q.positive_definite(X)` types a letter; `Q.invertible(X)` declares its inverse; `Q.orthogonal(X)` means
    XᵀX = 1 and X Xᵀ = 1.

    Raises
    ------
    TypeError
        Another predicate; the message says what to write instead.
    """
    assumptions = [part for a in assumptions for part in (a.args if isinstance(a, And) else [a])]
    facts = [a for a in assumptions if isinstance(a, AppliedPredicate)]
    letters = {
        kind: {f.arg for f in facts if f.function == kind and isinstance(f.arg, MatrixSymbol)}
        for kind in (Q.symmetric, Q.positive_definite)
    }
    translator = Translator(letters[Q.symmetric] | letters[Q.positive_definite], letters[Q.positive_definite])
    stated = [equation for a in assumptions for equation in _assumed(translator, a)]
    return translator.letters, stated, [translator.equation(_claimed(claim)) for claim in claims]


def _assumed(translator: Translator, assumption: Basic) -> list[Equation]:
    """The equations that an assumption means; none if it only types a letter."""
    if not isinstance(assumption, AppliedPredicate):
        return [translator.equation(assumption)]
    (X,), kind = assumption.arguments, assumption.function
    if not isinstance(X, MatrixExpr):
        raise TypeError(f"{assumption} is about no matrix")
    if kind in (Q.symmetric, Q.positive_definite, Q.invertible, Q.orthogonal) and X.shape[0] != X.shape[1]:
        raise ValueError(f"{assumption} needs a square matrix, not {X.shape[0]}×{X.shape[1]}")
    if kind in (Q.symmetric, Q.positive_definite) and isinstance(X, MatrixSymbol):
        translator.polynomial(X)
        return []
    if kind == Q.symmetric:
        return [translator.equation(Eq(X, X.T, evaluate=False))]
    if kind == Q.invertible:
        translator.polynomial(Inverse(X))
        return []
    if kind == Q.orthogonal:
        check_shapes(X)
        matrix = translator.polynomial(X)
        return [Equation(product, 1 + 0 * product) for product in (matrix.T * matrix, matrix * matrix.T)]
    raise TypeError(
        f"{assumption} is not understood here: "
        + INSTEAD.get(
            kind,
            "understood are Q.symmetric, Q.positive_definite, Q.invertible and Q.orthogonal; write anything else as "
            "an equation",
        )
    )


def _claimed(claim: Basic) -> Basic:
    """A claim as an equation: `Q.symmetric(X)` is X = Xᵀ."""
    if not isinstance(claim, AppliedPredicate):
        return claim
    if claim.function == Q.symmetric:
        return Eq(claim.arg, claim.arg.T, evaluate=False)
    raise TypeError(f"{claim} cannot be proved as such: write it as equations, Eq(X.T*X, Identity(n)) for orthogonal")


def _described(expr: Basic) -> str:
    """A letter with its size and what it is."""
    kind = {PD: "positive definite ", PSD: "positive semidefinite "}.get(type(expr), "")
    inside = "" if isinstance(expr, MatrixSymbol) else f", {type(expr).__name__} of {expr.args[0]}"
    return f"a {kind}{expr.shape[0]}×{expr.shape[1]} {type(expr).__name__ if not inside else 'matrix'}{inside}"
