"""What a rule is: one matrix expression in its gradient and slower quantities, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from sympy import Expr, MatrixSymbol, Symbol
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PSD, G, check_shapes, size
from ngdsym.compiler.rewrite import rewrite
from ngdsym.compiler.text import check_names

Solver = Literal["cholesky", "inverse", "low_rank"]
"""How damped inverses are applied: by triangular solves, as explicit inverses, or by their leading eigenpairs."""
SOLVERS: tuple[Solver, ...] = "cholesky", "inverse", "low_rank"


@dataclass(frozen=True)
class Definition:
    """A rule as plain data; `ngdsym.Rule` adds what is computed from it.

    Parameters
    ----------
    name : str
        A Python identifier.
    expression : MatrixExpr
        ΔW for learning rate 1, in `G` = ⟨e xᵀ⟩ `n×m`, `Lambda_tilde` `n×n`, `Lambda` `m×m`, `lam`, `L`, or symbols
        of your own.
    title, source : str
        What the rule is called and where it comes from; both go into the docstring.
    gradient : MatrixSymbol
        The quantity that changes at every step; all others are factorised once and reused.
    memory : (MatrixSymbol, MatrixExpr), optional
        A matrix that each factorisation hands to the next, and its new value from the old one, from `G_0` (the
        gradient when it is factorised) and the quantities of the rule. In `expression` it is the new value. One of
        single entries, such as Adam's mean of squares, is renewed once per factorisation too.
    constants : tuple of (Symbol, Expr)
        Scalars that the emitted functions take as arguments with these defaults.
    solver : {"cholesky", "inverse", "low_rank"}
        How damped inverses are applied where nothing else is asked for.

    Raises
    ------
    TypeError
        If the expression is not a matrix.
    ValueError
        If sizes do not fit, the gradient is missing, or a name cannot be one in Python.
    """

    name: str
    expression: MatrixExpr
    title: str = ""
    source: str = ""
    gradient: MatrixSymbol = field(default=G, repr=False)
    memory: tuple[MatrixSymbol, MatrixExpr] | None = field(default=None, repr=False)
    constants: tuple[tuple[Symbol, Expr], ...] = field(default=(), repr=False)
    solver: Solver = field(default="cholesky", repr=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a rule's name is part of function names; {self.name!r} is not an identifier")
        if self.solver not in SOLVERS:
            raise ValueError(f"a solver is one of {', '.join(SOLVERS)}, not {self.solver!r}")
        if not isinstance(self.expression, MatrixExpr):
            raise TypeError(f"a rule is a matrix expression such as Lambda_tilde*G, not {self.expression!r}")
        check_shapes(self.expression)
        check_names(self.expression)
        check_letters(self.whole)
        rewrite(self.expression)
        if not self.expression.has(self.gradient):
            raise ValueError(f"the rule {self.expression} does not contain its gradient {self.gradient}")
        if self.expression.shape != G.shape:
            raise ValueError(f"the rule is {size(self.expression)}, but the weights it updates are {size(G)}")
        if self.memory:
            symbol, update = self.memory
            check_shapes(update)
            check_names(update)
            if update.shape != symbol.shape:
                raise ValueError(f"the memory {symbol} is {size(symbol)}, but its new value is {size(update)}")
            if update.has(self.gradient):
                raise ValueError(f"the memory {symbol} is renewed by the slow part: use G_0 for {self.gradient}")
        for symbol, _ in self.constants:
            if symbol not in self.whole.free_symbols:
                raise ValueError(f"the constant {symbol} does not occur in the rule {self.expression}")

    @property
    def whole(self) -> MatrixExpr:
        """The update in terms of the old memory: `expression`, if there is none."""
        return self.expression.xreplace(dict([self.memory])) if self.memory else self.expression

    @property
    def defaults(self) -> Mapping[Symbol, Expr]:
        """Values of the constants by symbol."""
        return dict(self.constants)

    def settled(self) -> Self:
        """The rule with its constants replaced by their values."""
        memory = (self.memory[0], self.memory[1].xreplace(self.defaults)) if self.memory else None
        return replace(self, expression=self.expression.xreplace(self.defaults), memory=memory, constants=())


def check_letters(expression: MatrixExpr) -> None:
    """Raise ValueError if two matrices have one name, since they would be one argument."""
    found: dict[str, MatrixSymbol] = {}
    for symbol in sorted(expression.atoms(MatrixSymbol), key=str):
        other = found.setdefault(symbol.name, symbol)
        if other.shape != symbol.shape:
            raise ValueError(f"two matrices are called {symbol.name}, of sizes {size(other)} and {size(symbol)}")
        if isinstance(other, PSD) != isinstance(symbol, PSD):
            raise ValueError(f"two matrices are called {symbol.name}, and only one of them is PSD or PD")


@dataclass(frozen=True)
class Update:
    """A matrix recomputed from others at every step, in one function.

    Parameters
    ----------
    name : str
        Of the emitted function.
    expression : MatrixExpr
        The new value.
    title : str
        For the docstring.
    """

    name: str
    expression: MatrixExpr
    title: str

    def __post_init__(self) -> None:
        check_shapes(self.expression)
        check_names(self.expression)
