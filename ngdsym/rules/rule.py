"""A rule with all that is computed from its formula: code, cost, limits, properties."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sympy import Expr, MatMul, Symbol, Trace, preorder_traversal
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.tex import tex
from ngdsym.compiler.compile import compile
from ngdsym.compiler.definition import Definition, Solver, Update
from ngdsym.compiler.emit import emit_rule, emit_update
from ngdsym.compiler.text import alone
from ngdsym.rules.limits import undamped
from ngdsym.rules.properties import Properties, properties

__all__ = ["Rule", "Update", "emit"]


@dataclass(frozen=True)
class Rule(Definition):
    __doc__ = f"""The update of one layer for learning rate 1: its formula, and what follows from it.

    {(Definition.__doc__ or "").split(chr(10), 2)[2].strip()}

    Examples
    --------
    >>> from sympy import Identity, Rational
    >>> from ngdsym.algebra.symbols import G, Lambda, Lambda_tilde, lam, m, n
    >>> root = (Lambda_tilde + lam*Identity(n))**Rational(-1, 2)
    >>> mine = Rule("mine", root * G * (Lambda + lam*Identity(m)).I)
    >>> print(mine.emit().splitlines()[-1].strip())
    return solve_right(inverse_root_Lambda_tilde @ G, chol_Lambda)
    >>> print(mine.emit("inverse").splitlines()[-1].strip())
    return inverse_root_Lambda_tilde @ (G @ inverse_Lambda)
    """

    @property
    def undamped(self) -> Rule | None:
        """The limit λ → 0 of a damped rule; inverses that may not exist become Moore–Penrose inverses."""
        limit = undamped(self)
        return None if limit is None else Rule(**{f.name: getattr(limit, f.name) for f in fields(limit)})

    def flops(self, solver: Solver | None = None) -> tuple[Expr, Expr]:
        """Leading FLOPs of `factorise` and `apply`, polynomials in the sizes.

        Examples
        --------
        >>> from ngdsym.rules.zoo import kronecker
        >>> kronecker.flops()
        (m**3/3 + n**3/3, 2*m**2*n + 2*m*n**2)
        """
        return compile(self, solver).flops

    def halves(self) -> dict[str, MatrixExpr]:
        """ "left" and "right": what a rule A G B makes of G on either side, A G and G B.

        A scalar belongs to the left. Rows of errors and inputs are then preconditioned without their product G.
        Empty for a rule of another form.

        Examples
        --------
        >>> from ngdsym.rules.zoo import running
        >>> running.halves()
        {'left': 1/L*K_tilde*G, 'right': G*K}
        """
        return {side: half.expression for side, half in compile(self).halves.items()}

    def properties(self) -> Properties:
        """What the rule is exact for, how it transforms and scales, and what it costs."""
        return properties(self)

    def emit(self, solver: Solver | None = None) -> str:
        """Torch source of a module with plain `factorise` and `apply`, which needs nothing but torch."""
        return alone(emit_rule(compile(self, solver)))

    def _repr_latex_(self) -> str:
        formula, numbers = _named_numbers(self.expression)
        lines = rf"\Delta W = {tex(formula)}"
        if numbers:
            where = r", \quad ".join(f"{name} = {tex(number)}" for number, name in numbers.items())
            lines = rf"\begin{{gathered}} {lines} \\ {where} \end{{gathered}}"
        return rf"$\displaystyle {lines}$"


def _named_numbers(formula: MatrixExpr) -> tuple[MatrixExpr, dict[Expr, Symbol]]:
    """The formula with a name, c_1 and so on, for each number in it that is made of traces, and these numbers."""
    factors = (term.args[0] for term in preorder_traversal(formula) if isinstance(term, MatMul))
    made = dict.fromkeys(c for c in factors if not isinstance(c, MatrixExpr) and c.has(Trace))
    names = {number: Symbol(f"c_{k}") for k, number in enumerate(made, 1)}
    return formula.xreplace(names), names


def emit(update: Update) -> str:
    """Torch source of a module with plain `update`."""
    return alone([emit_update(update, "update")])
