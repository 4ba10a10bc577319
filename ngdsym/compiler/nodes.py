"""Operations of a program, and scalars in them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import reduce

from sympy import (
    Add,
    Expr,
    Float,
    Integer,
    MatMul,
    MatrixSymbol,
    Max,
    Mul,
    Pow,
    Rational,
    S,
    Symbol,
    Trace,
    exp,
    sympify,
)
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import L, positive
from ngdsym.compiler.definition import Solver
from ngdsym.compiler.graph import Node
from ngdsym.compiler.rewrite import rewrite
from ngdsym.compiler.text import parameter

REUSE = 20
"""How often an explicit inverse is taken to be used before it is computed anew."""


class Nodes(ABC):
    """Nodes of one expression; equal operations on equal operands are one node.

    Parameters
    ----------
    expression : MatrixExpr
        All that is to be lowered; its matrices supply the sizes that a scalar may mention.
    gradient : MatrixSymbol or None
        The quantity that changes at every step.
    solver : {"cholesky", "inverse", "low_rank"}
        How damped inverses in products are applied.
    defaults : mapping of Symbol to Expr
        Values of constants, by which signs are judged.
    """

    def __init__(
        self, expression: MatrixExpr, gradient: MatrixSymbol | None, solver: Solver, defaults: Mapping[Symbol, Expr]
    ):
        self.gradient, self.defaults = gradient, defaults
        self.low_rank, self.reuse = solver == "low_rank", REUSE if solver == "inverse" else 1
        matrices = sorted(expression.atoms(MatrixSymbol) - {gradient}, key=lambda symbol: symbol.name)
        self.sized = {matrix.shape[1]: (matrix, -1) for matrix in matrices}
        for matrix in [*matrices, *([gradient] if gradient else [])]:
            for axis in (-1, -2):
                self.sized.setdefault(matrix.shape[axis], (matrix, axis))
        self.nodes: dict[tuple, Node] = {}
        self.inputs: dict[str, Node] = {}

    def positive(self, matrix: MatrixExpr) -> str | None:
        """What is known of the sign of a matrix: see `positive`."""
        return positive(matrix.xreplace(self.defaults)) if self.defaults else positive(matrix)

    def node(self, template: str, *args: Node, label: str, flops: Expr = S.Zero, scalars: Iterable[str] = ()) -> Node:
        key = (template, tuple(map(id, args)))
        if key not in self.nodes:
            fast = any(arg.fast for arg in args)
            self.nodes[key] = Node(template, args, frozenset(scalars), fast, sympify(flops), label)
        return self.nodes[key]

    def input(self, symbol: MatrixSymbol) -> Node:
        if symbol.name not in self.inputs:
            fast = symbol == self.gradient
            self.inputs[symbol.name] = Node(symbol.name, (), frozenset(), fast, S.Zero, symbol.name)
        return self.inputs[symbol.name]

    @abstractmethod
    def lower(self, matrix: MatrixExpr) -> Node:
        """Node that holds `matrix`."""

    def require_definite(self, base: MatrixExpr, exponent: Expr = S.NegativeOne) -> None:
        """Raise unless `base` is known to be positive definite."""
        kind = self.positive(base)
        if kind == "psd":
            raise ValueError(
                f"{base} is only semidefinite, so ({base})**({exponent}) may not exist: add damping, as in "
                f"({base} + lam*Identity({base.shape[0]})), or take the pseudo-inverse Pinv({base})"
            )
        if kind is None:
            raise ValueError(f"{base} is not known to be invertible: declare it with PD, or use Pinv({base})")

    # --- scalars ----------------------------------------------------------------------------------

    def scalar(self, scalar: Expr) -> tuple[str, list[Node], set[str]]:
        """Python text of a scalar, the nodes its placeholders stand for, and the names of its parameters."""
        nodes: list[Node] = []
        names: set[str] = set()

        def place(node: Node) -> str:
            if node not in nodes:
                nodes.append(node)
            return f"{{{nodes.index(node)}}}"

        def text(e: Expr) -> str:
            if isinstance(e, Integer):
                return str(e)
            if isinstance(e, Rational):
                return f"{e.p} / {e.q}" if e.q & (e.q - 1) else str(float(e))
            if isinstance(e, Float):
                return repr(float(e))
            if isinstance(e, Symbol):
                if e in self.sized:
                    matrix, axis = self.sized[e]
                    return place(self.node(f"{{0}}.shape[{axis}]", self.input(matrix), label=str(e)))
                if e.is_integer and e != L:
                    raise ValueError(f"the size {e} in {scalar} is that of no matrix in the rule")
                names.add(parameter(e))
                return parameter(e)
            if isinstance(e, Trace):
                flops, label = e.arg.shape[0], f"trace_{letter(e.arg)}"
                function = "positive_trace" if self.positive(rewrite(e.arg)) else "trace"
                return place(self.node(f"{function}({{0}})", self.lower(e.arg), flops=flops, label=label))
            if isinstance(e, Add):
                terms = [text(term) if not negative(term) else f"-({text(-term)})" for term in e.args]
                return " ".join(terms[:1] + [f"- {t[1:]}" if t[0] == "-" else f"+ ({t})" for t in terms[1:]])
            if isinstance(e, Max):
                return reduce(lambda one, other: f"larger({one}, {other})", map(text, e.args))
            if isinstance(e, exp):
                return f"{math.e} ** ({text(e.exp)})"
            numerator, denominator = e.as_numer_denom()
            if denominator != 1:
                return f"({text(numerator)}) / ({text(denominator)})"
            if isinstance(e, Mul):
                return " * ".join(f"({text(factor)})" for factor in e.args)
            if isinstance(e, Pow):
                return f"({text(e.base)}) ** ({text(e.exp)})"
            raise TypeError(f"cannot lower the scalar {e}: use numbers, symbols, +, *, **, Max, exp and Trace")

        return text(scalar), nodes, names


def split_scale(matrix: MatrixExpr) -> tuple[Expr, MatrixExpr]:
    """Scalar coefficient of a term, and the rest of it."""
    if not isinstance(matrix, MatMul):
        return S.One, matrix
    scale, factors = matrix.as_coeff_matrices()
    return scale, factors[0] if len(factors) == 1 else MatMul(*factors)


def letter(matrix: MatrixExpr) -> str:
    """Name for what is computed from `matrix`: that of its shortest symbol, traces aside."""
    matrix = matrix.replace(lambda part: isinstance(part, Trace), lambda part: S.One)
    names = sorted((symbol.name for symbol in matrix.atoms(MatrixSymbol)), key=lambda name: (len(name), name))
    return names[0] if names else "identity"


def negative(scale: Expr) -> bool:
    return bool(scale.could_extract_minus_sign())
