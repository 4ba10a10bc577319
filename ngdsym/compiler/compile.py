"""From a rule, which is data, to its program in two binding times."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Expr, Integer, MatMul, MatrixSymbol, Poly
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.compiler.definition import SOLVERS, Definition, Solver, Update
from ngdsym.compiler.graph import Node, carried, live_nodes
from ngdsym.compiler.lower import Program
from ngdsym.compiler.rewrite import rewrite


@dataclass(frozen=True)
class Half:
    """What a rule A G B makes of G on one side: A G, a scalar included, or G B."""

    expression: MatrixExpr
    value: Node

    @property
    def flops(self) -> Expr:
        """Leading FLOPs of the fast part."""
        return leading(count(self.value, fast=True))


@dataclass(frozen=True)
class Compiled:
    """A rule as a program.

    Parameters
    ----------
    rule : Definition
        The rule.
    solver : {"cholesky", "inverse", "low_rank"}
        How its damped inverses are applied.
    program : Program
        All operations.
    value : Node
        ΔW.
    state : list of Node
        What `factorise` hands to `apply`; the new memory, if there is one, comes last.
    halves : dict
        "left" and "right"; empty for a rule that is not a product A G B. Rows of errors and inputs are then
        preconditioned without their product G.
    """

    rule: Definition
    solver: Solver
    program: Program
    value: Node
    state: list[Node]
    halves: dict[str, Half]

    @property
    def flops(self) -> tuple[Expr, Expr]:
        """Leading FLOPs of `factorise` and `apply`, polynomials in the sizes."""
        return leading(count(*self.state, self.value, fast=False)), leading(count(self.value, fast=True))


def compile(rule: Definition, solver: Solver | None = None) -> Compiled:
    """Lower a rule to a program, its damped inverses applied by `solver`, or as the rule says.

    Raises
    ------
    ValueError
        For an inverse or a root of a matrix that may not have one, or an unknown solver.
    TypeError
        For an operation or a scalar that has no code.

    Examples
    --------
    >>> from ngdsym.rules.zoo import kronecker
    >>> compile(kronecker).flops
    (m**3/3 + n**3/3, 2*m**2*n + 2*m*n**2)
    >>> [node.label for node in compile(kronecker, "inverse").state]
    ['inverse_Lambda', 'inverse_Lambda_tilde']
    """
    solver = rule.solver if solver is None else solver
    if solver not in SOLVERS:
        raise ValueError(f"a solver is one of {', '.join(SOLVERS)}, not {solver!r}")
    matrix = rewrite(rule.whole)
    program = Program(rule.whole, rule.gradient, solver, rule.defaults)
    value = program.lower(matrix)
    state = carried(value)
    if rule.memory:
        state = [*state, program.lower(rewrite(rule.memory[1]))]
    halves = {side: Half(half, program.lower(half)) for side, half in split(matrix, rule.gradient).items()}
    return Compiled(rule, solver, program, value, state, halves)


def compile_update(update: Update) -> tuple[Program, Node]:
    """The program of a matrix that is recomputed at every step, and the node of its value."""
    program = Program(update.expression, None, "cholesky", {})
    return program, program.lower(rewrite(update.expression))


def split(matrix: MatrixExpr, gradient: MatrixSymbol) -> dict[str, MatrixExpr]:
    """A G and G B of a product A G B."""
    scale, product = matrix.as_coeff_mmul()
    factors = product.args if isinstance(product, MatMul) else (product,)
    if factors.count(gradient) != 1 or len(factors) == 1:
        return {}
    i = factors.index(gradient)
    return {"left": MatMul(scale, *factors[: i + 1]).doit(), "right": MatMul(*factors[i:]).doit()}


def count(*roots: Node, fast: bool) -> Expr:
    """FLOPs of all fast, or of all slow, operations that `roots` need."""
    return sum((node.flops for node in live_nodes(list(roots)) if node.fast == fast), Integer(0))


def leading(flops: Expr) -> Expr:
    """Terms of highest degree."""
    if flops.is_number:
        return flops
    polynomial = Poly(flops)
    degree = polynomial.total_degree()
    terms = [(powers, c) for powers, c in polynomial.terms() if sum(powers) == degree]
    return Poly(dict(terms), *polynomial.gens).as_expr()
