"""Damped inverses by the leading eigenpairs of what is damped: I − Y Yᵀ up to scale, with Y of low rank."""

from __future__ import annotations

from typing import NamedTuple

from sympy import Expr, Identity, MatAdd, MatMul, MatPow, S, Symbol
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.compiler.graph import Node
from ngdsym.compiler.nodes import Nodes, letter, split_scale


class LowRank(NamedTuple):
    """The inverse scale · (I − root rootᵀ), `rank` being the number of columns of `root`."""

    root: Node
    scale: Node
    rank: Symbol


class LowRankNodes(Nodes):
    """Nodes of products with such inverses.

    FLOPs hold for sides m above 256, where of c_m = 24 + m/24 candidates those r eigenpairs are kept that matter.
    """

    def leading_inverse(self, factor: MatrixExpr) -> LowRank:
        """(A + c I)^p with p < 0 by the leading eigenpairs of A, or a product P Q P of such."""
        size = factor.shape[0]
        if isinstance(factor, MatMul):
            outer, inner = map(self.leading_inverse, factor.args[:2])
            name, rank = letter(factor.args[1].base), Symbol(f"{outer.rank}{str(inner.rank)[1:]}", positive=True)
            both = outer.rank + inner.rank
            root = self.node(
                "leading_congruence({0}, {1})", outer.root, inner.root, label=f"root_{name}", flops=8 * size * both**2
            )
            return LowRank(root, self.node("{0} ** 2 * {1}", outer.scale, inner.scale, label=f"scale_{name}"), rank)
        base, power = factor.base, factor.exp
        self.require_definite(base)
        terms = [split_scale(term) for term in MatAdd.make_args(base)]
        shifts = [scale for scale, term in terms if isinstance(term, Identity)]
        rest = MatAdd(*(scale * term for scale, term in terms if not isinstance(term, Identity))).doit()
        if len(shifts) != 1:
            raise ValueError(f"the leading eigenpairs of {base} need damping: write it as A + c*Identity")
        name = letter(rest)
        rank, candidates = Symbol(f"r_{name}", positive=True), Symbol(f"c_{size}", positive=True)
        text, args, scalars = self.scalar(shifts[0])
        if args:
            args, text = [self.node(text, *args, scalars=scalars, label=f"damping_{name}")], "{0}"
        last = f"{{{len(args)}}}"
        pairs = self.node(
            f"leading_pairs({last}, {text})",
            *args,
            self.lower(rest),
            scalars=scalars,
            flops=6 * size**2 * candidates + 10 * size * candidates**2,
            label=f"pairs_{name}",
        )
        exponent, prefix = ("", "") if power == -1 else (f", {float(-power)}", "half_")
        root, scale = (
            self.node(
                f"leading_{part}({last}, {text}{exponent})",
                *args,
                pairs,
                scalars=scalars,
                label=f"{prefix}{part}_{name}",
            )
            for part in ("root", "scale")
        )
        return LowRank(root, scale, rank)

    def sandwich(self, scale: Expr, left: MatrixExpr, middle: MatrixExpr, right: MatrixExpr) -> Node:
        """`scale` · left · middle · right, both inverses by leading eigenpairs, in fewer passes than one by one."""
        before, after = map(self.leading_inverse, (left, right))
        text, args, scalars = self.scalar(scale)
        first, second, third, *others = (f"{{{len(args) + k}}}" for k in range(5))
        scaled = f"{second} * {third}" + (f" * ({text})" if scale != 1 else "")
        template = f"leading_sandwich({first}, {scaled}, {', '.join(others)})"
        args += before.root, before.scale, after.scale, self.lower(middle), after.root
        rows, columns = middle.shape
        flops = 4 * rows * columns * (before.rank + after.rank) + 2 * before.rank * after.rank * (rows + columns)
        return self.node(template, *args, flops=flops, scalars=scalars, label="step")

    def is_root(self, factor: MatrixExpr) -> bool:
        """Whether `factor` is the inverse of a positive definite matrix, its square root, or P Q P of such."""
        if isinstance(factor, MatMul):
            return True
        return isinstance(factor, MatPow) and factor.exp in (-1, -S.Half) and self.positive(factor.base) == "pd"

    def congruences(self, factors: list[MatrixExpr]) -> list[MatrixExpr]:
        """`factors` of a product, with every P, Q, P among them that are roots (`is_root`) as one."""
        for i, (first, middle, last) in enumerate(zip(factors, factors[1:], factors[2:])):
            if first == last and self.is_root(first) and self.is_root(middle):
                return [*factors[:i], MatMul(first, middle, last), *self.congruences(factors[i + 3 :])]
        return factors
