"""From a SymPy matrix expression to a straight-line program in two binding times.

Every node of the program is a line of torch. A node that depends on the gradient is *fast* and runs at every
step; all others are *slow* and run when the factors are refreshed, so that their cost counts 1/`reuse`. The
lowering follows the assumptions in the types of the symbols: an inverse of a positive definite matrix is a
Cholesky factor and two triangular solves, or a cached inverse where that is cheaper; a real power of a
symmetric matrix is an eigendecomposition; an inverse of a matrix that may be singular is refused. Products
are associated by cost.
"""

from __future__ import annotations

from sympy import Expr, Identity, MatAdd, MatMul, MatPow, MatrixSymbol, OneMatrix, S, Trace, Transpose
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators import Lowering, Operator, Pinv
from ngdsym.compiler.chain import Join, associate
from ngdsym.compiler.graph import Node
from ngdsym.compiler.low_rank import LowRankNodes
from ngdsym.compiler.nodes import letter, negative, split_scale

EIGH = 11
"""FLOPs of an eigendecomposition over n³."""


class Program(LowRankNodes):
    """Nodes of one expression, by what is known of its matrices: see `Nodes` for the parameters."""

    # --- matrices ---------------------------------------------------------------------------------

    def lower(self, matrix: MatrixExpr) -> Node:
        """Node that holds `matrix`.

        Raises
        ------
        ValueError
            For an inverse or negative power of a matrix that may be singular, or a fractional power of one
            that is not known to be symmetric and positive.
        """
        if isinstance(matrix, MatrixSymbol):
            return self.input(matrix)
        if isinstance(matrix, Transpose):
            arg = self.lower(matrix.arg)
            return self.node("{0}.mT", arg, label=f"{arg.label}_t")
        if isinstance(matrix, MatAdd):
            return self.sum(matrix)
        if isinstance(matrix, MatMul):
            return self.product(matrix)
        if isinstance(matrix, MatPow):
            return self.inverse(matrix) if matrix.exp == -1 else self.power(matrix.base, matrix.exp)
        if isinstance(matrix, Operator):
            return self.operator(matrix)
        raise TypeError(
            f"cannot lower {type(matrix).__name__} {matrix}: use sums, products, powers, Pinv, "
            "Hadamard and EntrywisePower, and other operators of ngdsym.algebra.operators"
        )

    def operator(self, matrix: Operator) -> Node:
        """The code that an operator gives."""
        inner = [arg for arg in matrix.args if isinstance(arg, MatrixExpr)]
        args = [self.lower(arg) for arg in inner]

        def build(code: Lowering) -> Node:
            operands = args if code.inner is None else [build(code.inner)]
            text, traces, scalars = self.scalar(code.scalar)
            places = (f"{{{k + len(traces)}}}" for k in range(len(operands)))
            template, label = code.template.format(*places, scalar=text), code.label.format(letter=letter(inner[0]))
            return self.node(template, *traces, *operands, flops=code.flops, scalars=scalars, label=label)

        return build(matrix.lowering(*map(self.positive, inner)))

    def sum(self, matrix: MatAdd) -> Node:
        """Sum of matrices; multiples of the identity come last, shaped like what they are added to."""
        terms = [split_scale(term) for term in matrix.args]
        terms.sort(key=lambda term: (isinstance(term[1], (Identity, OneMatrix)), negative(term[0])))
        size = matrix.shape[0] * matrix.shape[1]
        (scale, first), *others = terms
        if isinstance(first, (Identity, OneMatrix)):
            raise ValueError(f"{matrix} is a multiple of {first}: use the scalar instead")
        total = self.scaled(scale, self.lower(first), size)
        for scale, term in others:
            if isinstance(term, OneMatrix):
                total = self.plus_ones(total, scale, size)
                continue
            if isinstance(term, Identity):
                node, cost = self.node("identity_like({0})", total, label="identity"), matrix.shape[0]
            else:
                node, cost = self.lower(term), size
            sign, scale = ("-", -scale) if negative(scale) else ("+", scale)
            label = f"damped_{total.label}" if isinstance(term, Identity) else f"{total.label}_sum"
            node = self.scaled(scale, node, cost)
            total = self.node(f"{{0}} {sign} {{1}}", total, node, flops=cost, label=label)
        return total

    def plus_ones(self, node: Node, scale: Expr, size: Expr) -> Node:
        """`node` with a scalar added to each entry."""
        text, args, scalars = self.scalar(scale)
        last = f"{{{len(args)}}}"
        return self.node(f"{last} + ({text})", *args, node, flops=size, scalars=scalars, label=f"{node.label}_sum")

    def scaled(self, scale: Expr, node: Node, size: Expr) -> Node:
        """`scale · node`, dividing by the denominator."""
        label = f"{node.label}_scaled"
        if scale == 1:
            return node
        if scale == -1:
            return self.node("-{0}", node, flops=size, label=label)
        if scale.has(Trace):
            text, args, scalars = self.scalar(scale)
            factor = self.node(text, *args, scalars=scalars, label="scale")
            return self.node("{0} * {1}", factor, node, flops=size, label=label)
        numerator, denominator = (scale, S.One) if scale.is_Number else scale.as_numer_denom()
        for part, template in ((numerator, "({0}) * {{{1}}}"), (denominator, "{{{1}}} / ({0})")):
            if part != 1:
                text, args, scalars = self.scalar(part)
                template = template.format(text, len(args))
                node = self.node(template, *args, node, flops=size, scalars=scalars, label=label)
        return node

    def inverse(self, matrix: MatPow) -> Node:
        """Explicit inverse of a positive definite matrix."""
        size = matrix.shape[0]
        return self.node(
            "torch.cholesky_inverse({0})",
            self.cholesky(matrix.base),
            flops=2 * size**3 / 3,
            label=f"inverse_{letter(matrix.base)}",
        )

    def cholesky(self, base: MatrixExpr) -> Node:
        self.require_definite(base)
        flops = base.shape[0] ** 3 / 3
        return self.node("cholesky({0})", self.lower(base), flops=flops, label=f"chol_{letter(base)}")

    def power(self, base: MatrixExpr, exponent: Expr) -> Node:
        """Power of a symmetric positive matrix by eigh; a positive integer power is a product."""
        if exponent.is_Integer and 1 < exponent <= 3:
            return self.product(MatMul(*[base] * int(exponent), evaluate=False))
        if isinstance(base, Pinv) and self.positive(base.arg):
            return self.spectral("semidefinite_power", base.arg, -exponent)
        kind = self.positive(base)
        if kind is None:
            raise ValueError(
                f"({base})**({exponent}) needs a symmetric positive semidefinite matrix, and {base} is not "
                "known to be one: declare it with PSD or PD, or write it as A.T*A"
            )
        if not exponent.is_nonnegative:
            self.require_definite(base, exponent)
        return self.spectral("definite_power" if kind == "pd" else "semidefinite_power", base, exponent)

    def spectral(self, function: str, base: MatrixExpr, exponent: Expr) -> Node:
        text, traces, scalars = self.scalar(exponent)
        kind = "pinv" if exponent == -1 else "root" if exponent.is_positive else "inverse_root"
        return self.node(
            f"{function}({{{len(traces)}}}, {text})",
            *traces,
            self.lower(base),
            scalars=scalars,
            flops=EIGH * base.shape[0] ** 3,
            label=f"{kind}_{letter(base)}",
        )

    # --- products ---------------------------------------------------------------------------------

    def product(self, matrix: MatMul) -> Node:
        """Cheapest association of a product, an inverse in it being a solve or a cached matrix."""
        scale, factors = matrix.as_coeff_matrices()
        if self.low_rank:
            factors = self.congruences(factors)
        sizes = [factors[0].shape[0]] + [factor.shape[1] for factor in factors]
        fast = [self.gradient is not None and factor.has(self.gradient) for factor in factors]
        solvable = [self.is_root(f) and (self.low_rank or f.exp == -1) for f in factors]
        if self.low_rank and solvable == [True, False, True]:
            return self.sandwich(scale, *factors)
        if len(factors) > 3 and not any(fast) and is_palindrome(factors):
            return self.scaled(scale, self.palindrome(factors, solvable), sizes[0] * sizes[-1])

        def build(part: Join | int) -> Node:
            if isinstance(part, int):
                return self.lower(factors[part])
            if part.how == "multiply":
                return self.multiplied(build(part.left), build(part.right), part.flops)
            left = part.how == "solve left"
            inverse, other = (part.left, part.right) if left else (part.right, part.left)
            return self.solved(factors[inverse], build(other), left, part.flops)

        return self.scaled(scale, build(associate(sizes, fast, solvable, self.reuse)), sizes[0] * sizes[-1])

    def palindrome(self, factors: list[MatrixExpr], solvable: list[bool]) -> Node:
        """BᵀSB, with B the product of the second half of `factors`, which is made once."""
        half = len(factors) // 2
        B, S = self.lower(MatMul(*factors[half + 1 :], evaluate=False)), factors[half]
        rows, columns = S.shape[0], factors[-1].shape[1]
        flops = 2 * rows**2 * columns
        right = self.solved(S, B, True, flops) if solvable[half] else self.multiplied(self.lower(S), B, flops)
        return self.node("{0}.mT @ {1}", B, right, flops=2 * rows * columns**2, label="product")

    def multiplied(self, left: Node, right: Node, flops: Expr) -> Node:
        """Product of two matrices."""
        return self.node("{0} @ {1}", left, right, flops=flops, label=label_of(left, right))

    def solved(self, inverse: MatrixExpr, other: Node, left: bool, flops: Expr) -> Node:
        """`inverse` times `other`, to its `left` or to its right, by solving; `flops` are those of a product."""
        args: tuple[Node, ...]
        if self.low_rank:
            root, scale, rank = self.leading_inverse(inverse)
            template = "leading_solve({0}, {1}, {2})" if left else "leading_solve_right({0}, {1}, {2})"
            args = (root, scale, other) if left else (other, root, scale)
            flops = 2 * rank / inverse.shape[0] * flops
        else:
            template = "torch.cholesky_solve({0}, {1})" if left else "solve_right({0}, {1})"
            args = other, self.cholesky(inverse.base)
        return self.node(template, *args, flops=flops, label=label_of(*args))


def label_of(*args: Node) -> str:
    """What a product of these is called."""
    return "step" if any(arg.fast for arg in args) else "product"


def is_palindrome(factors: list[MatrixExpr]) -> bool:
    """Whether the product is BᵀSB: of an odd number of factors, each the transpose of that on the other side.

    Not where a letter K is outermost: in K/γ − K Xᵀ (…)⁻¹ X K, followed from batch to batch, the product as written
    shrinks what rounding makes unsymmetric in K, and Bᵀ in the place of K Xᵀ would let it grow like γ⁻ᵏ.
    """
    half = len(factors) // 2
    if isinstance(factors[-1], MatrixSymbol):
        return False
    pairs = zip(factors[:half], reversed(factors[half + 1 :]))
    return len(factors) % 2 == 1 and all(first == Transpose(last).doit() for first, last in pairs)
