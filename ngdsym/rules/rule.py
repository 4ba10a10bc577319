"""A learning rule is one matrix expression; its code, cost and properties are computed from it."""
from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from sympy import Expr, MatMul, MatrixSymbol, Poly, S, latex
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.compiler.emit import HEAD, carried, check_names, emit_module, emit_rule, emit_update, live_nodes
from ngdsym.rules.limits import undamp
from ngdsym.compiler.lower import Node, Program, compile_expression
from ngdsym.rules.properties import Properties, properties
from ngdsym.compiler.rewrite import rewrite
from ngdsym.algebra.symbols import PSD, G, check_shapes, lam, size


@dataclass(frozen=True)
class Rule:
    """The update of one layer for learning rate 1, as an expression in its gradient and slower quantities.

    Parameters
    ----------
    name : str
        A Python identifier; the emitted functions are `name_factorise` and `name_apply`.
    expression : MatrixExpr
        In `G` = ⟨e xᵀ⟩ `n×m`, `Lambda_tilde` `n×n`, `Lambda` `m×m`, `lam`, `L`, or symbols of your own.
    title, source : str
        What the rule is called and where it comes from; both go into the docstrings.
    gradient : MatrixSymbol
        The quantity that changes at every step; all others are factorised once and reused.
    reuse : int
        How often a factorisation is applied; from 2 on a cached inverse beats triangular solves.
    leading : bool
        Whether damped inverses keep only the leading eigenpairs of the factor, and the mean of the others.
    memory : (PSD, MatrixExpr), optional
        A matrix that each factorisation hands to the next, and its new value from the old one, from `G_0` (the
        gradient when it is factorised) and the quantities of the rule. In `expression` it is the new value.

    Raises
    ------
    TypeError
        If the expression is not a matrix.
    ValueError
        If sizes do not fit, the gradient is missing, or a name cannot be one in Python.

    Examples
    --------
    >>> from sympy import Identity, Rational
    >>> from ngdsym.algebra.symbols import G, Lambda, Lambda_tilde, lam, m, n
    >>> root = (Lambda_tilde + lam*Identity(n))**Rational(-1, 2)
    >>> mine = Rule("mine", root * G * (Lambda + lam*Identity(m)).I)
    >>> print(mine.emit().splitlines()[-1].strip())
    return solve_right(inverse_root_Lambda_tilde @ G, chol_Lambda)
    """

    name: str
    expression: MatrixExpr
    title: str = ""
    source: str = ""
    gradient: MatrixSymbol = field(default=G, repr=False)
    reuse: int = field(default=1, repr=False)
    leading: bool = field(default=False, repr=False)
    memory: tuple[PSD, MatrixExpr] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a rule's name is part of function names; {self.name!r} is not an identifier")
        if self.reuse < 1:
            raise ValueError(f"a factorisation is used at least once, but reuse is {self.reuse}")
        if not isinstance(self.expression, MatrixExpr):
            raise TypeError(f"a rule is a matrix expression such as Lambda_tilde*G, not {self.expression!r}")
        check_shapes(self.expression)
        check_names(self.expression)
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

    @property
    def whole(self) -> MatrixExpr:
        """The update in terms of the old memory: `expression`, if there is none."""
        return self.expression.xreplace(dict([self.memory])) if self.memory else self.expression

    @cached_property
    def program(self) -> tuple[Program, Node]:
        """The rule lowered to a program, and the node of its value."""
        return compile_expression(self.whole, self.gradient, self.reuse, self.leading)

    @cached_property
    def undamped(self) -> Rule | None:
        """The limit λ → 0 of a damped rule; inverses that may not exist become Moore–Penrose inverses."""
        if lam not in self.expression.free_symbols:
            return None
        title = f"limit λ → 0 of {self.title or self.name}"
        name, limit = f"{self.name}_undamped", undamp(self.expression)
        memory = (self.memory[0], undamp(self.memory[1])) if self.memory else None
        return Rule(name, limit, title, gradient=self.gradient, reuse=self.reuse, memory=memory)

    def state(self) -> list[Node]:
        """What `factorise` hands to `apply`; the new memory, if there is one, comes last."""
        program, value = self.program
        return carried(value) + ([program.lower(rewrite(self.memory[1]))] if self.memory else [])

    def flops(self) -> tuple[Expr, Expr]:
        """Leading FLOPs of `factorise` and `apply`, polynomials in the sizes.

        Examples
        --------
        >>> from ngdsym.rules.zoo import kronecker
        >>> kronecker.flops()
        (m**3/3 + n**3/3, 2*m**2*n + 2*m*n**2)
        """
        slow, fast = S.Zero, S.Zero
        for node in live_nodes([*self.state(), self.program[1]]):
            slow, fast = (slow, fast + node.flops) if node.fast else (slow + node.flops, fast)
        return leading(slow), leading(fast)

    def halves(self) -> dict[str, MatrixExpr]:
        """"left" and "right": what a rule A G B makes of G on either side, A G and G B.

        A scalar belongs to the left. Rows of errors and inputs are then preconditioned without their product G.
        Empty for a rule of another form.

        Examples
        --------
        >>> from ngdsym.rules.zoo import running
        >>> running.halves()
        {'left': 1/L*K_tilde*G, 'right': G*K}
        """
        scale, product = rewrite(self.whole).as_coeff_mmul()
        factors = product.args if isinstance(product, MatMul) else (product,)
        if factors.count(self.gradient) != 1 or len(factors) == 1:
            return {}
        i = factors.index(self.gradient)
        left, right = MatMul(scale, *factors[: i + 1]), MatMul(*factors[i:])
        return {"left": left.doit(), "right": right.doit()}

    def flops_of(self, half: MatrixExpr) -> Expr:
        """Leading FLOPs of one of the `halves`."""
        return leading(sum((node.flops for node in live_nodes([self.program[0].lower(half)]) if node.fast), S.Zero))

    def properties(self) -> Properties:
        """What the rule is exact for, how it transforms and scales, and what it costs."""
        return properties(self)

    def emit(self) -> str:
        """Torch source of a module with plain `factorise` and `apply`."""
        return emit_module([emit_rule(self)], HEAD)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \Delta W = {latex(self.expression)}$"


@dataclass(frozen=True)
class Update:
    """A matrix recomputed from others at every step, in one function.

    Parameters
    ----------
    name : str
        The emitted function is `name_update`.
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

    @cached_property
    def program(self) -> tuple[Program, Node]:
        """The expression lowered to a program, and the node of its value."""
        return compile_expression(self.expression, None)

    def flops(self) -> Expr:
        """Leading FLOPs in the sizes of the matrices."""
        return leading(sum((node.flops for node in live_nodes([self.program[1]])), S.Zero))

    def emit(self) -> str:
        """Torch source of a module with plain `update`."""
        return emit_module([emit_update(self)], HEAD)


def leading(flops: Expr) -> Expr:
    """Terms of highest degree."""
    if flops.is_number:
        return flops
    polynomial = Poly(flops)
    degree = polynomial.total_degree()
    terms = [(powers, c) for powers, c in polynomial.terms() if sum(powers) == degree]
    return Poly(dict(terms), *polynomial.gens).as_expr()
