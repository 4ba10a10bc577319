"""SymPy matrix expressions as typed words.

`MatrixSymbol`s become letters, their symbolic dimensions the vertices of the quiver. `Inverse(X)` and
`Pinv(X)` become letters too, each with the relations that define it, so nothing about them is built into the
search; only the inverse of a transpose is written as the transpose of the inverse, as SymPy itself does when
it transposes one."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from sympy import (Basic, Eq, Identity, Inverse, MatAdd, MatMul, MatPow, MatrixSymbol, Rational, Transpose,
                   ZeroMatrix, false, latex, true)
from sympy.assumptions import AppliedPredicate, Q
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PD, PSD, Pinv, check_shapes
from ngdsym.proof.words import Equation, Letters, Polynomial, penrose


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

    def __init__(self, symmetric: set[MatrixExpr] = frozenset()) -> None:
        self.letters = Letters()
        self._symmetric = symmetric

    def equation(self, statement: Basic) -> Equation:
        """`Eq(left, right)`, or an expression that is meant to vanish."""
        if statement in (true, false):
            raise ValueError(f"SymPy evaluated a statement to {statement} on construction, nothing is left "
                             "to read; write Eq(left, right, evaluate=False)")
        equated = isinstance(statement, Eq)
        left, right = statement.args if equated else (statement, ZeroMatrix(*statement.shape))
        for side in (left, right):
            check_shapes(side)
        return Equation(self.polynomial(left), self.polynomial(right))

    def polynomial(self, expr: Basic) -> Polynomial:
        """The expression as a polynomial; declares the letters it meets."""
        match expr:
            case MatrixSymbol():
                new = expr.name not in self.letters
                return self._letter(expr.name, expr, new and (expr == expr.T or expr in self._symmetric))
            case Identity():
                return Polynomial(self.letters, _kind(expr), {"": Fraction(1)})
            case ZeroMatrix():
                return Polynomial(self.letters, _kind(expr), {})
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
                if not isinstance(c, Rational):
                    raise TypeError(f"the coefficient {c} of {expr} is not rational: make it a matrix")
                result = Fraction(int(c.p), int(c.q)) * self.letters.one
                for factor in factors:
                    result = result * self.polynomial(factor)
                return result
        raise TypeError(f"{expr} ({type(expr).__name__}) is not built from matrices, transposes and inverses")

    def _letter(self, name: str, expr: MatrixExpr, symmetric: bool) -> Polynomial:
        if name not in self.letters:
            positive = "pd" if isinstance(expr, PD) else "psd" if isinstance(expr, PSD) else None
            return self.letters(name, *_kind(expr), symmetric=symmetric, positive=positive,
                                latex=_latex(expr))
        if self.letters.types[name] != _kind(expr):
            raise ValueError(f"{name} is used with two sizes, {self.letters.types[name]} and {_kind(expr)}")
        return self.letters[name]

    def _derived(self, expr: MatrixExpr, base: MatrixExpr, mark: str) -> Polynomial:
        """The letter of an inverse or pseudo-inverse of any expression, with its defining relations."""
        inner = self.polynomial(base)
        name = (str(base) if isinstance(base, MatrixSymbol) else f"({base})") + mark
        if name in self.letters:
            return self.letters[name]
        letter = self._letter(name, expr, inner.type[0] == inner.type[1] and inner == inner.T)
        one = self.letters.one
        self.letters.relations += (penrose(inner, letter) if mark == "⁺" else
                                   [Equation(inner * letter, one), Equation(letter * inner, one)])
        return letter


def translate(assumptions: list[Basic],
              claims: list[Basic]) -> tuple[Letters, list[Equation], list[Equation]]:
    """Letters, assumptions and claims of a statement; an assumption `Q.symmetric(X)` types the letter X."""
    facts = [a for a in assumptions if isinstance(a, AppliedPredicate)]
    for fact in facts:
        if fact.function != Q.symmetric:
            raise TypeError(f"{fact} is not understood here: Q.symmetric(X), or write it as an equation")
    translator = Translator({fact.arg for fact in facts})
    equations = [[translator.equation(s) for s in side]
                 for side in ([a for a in assumptions if not isinstance(a, AppliedPredicate)], claims)]
    return translator.letters, *equations


def _kind(expr: MatrixExpr) -> tuple[str, str]:
    rows, cols = expr.shape
    return _name(rows), _name(cols)


_name, _latex = cache(str), cache(latex)
