"""From a SymPy matrix expression to a straight-line program in two binding times.

Every node of the program is a line of torch. A node that depends on the gradient is *fast* and runs at every
step; all others are *slow* and run when the factors are refreshed, so that their cost counts 1/`reuse`. The
lowering follows the assumptions in the types of the symbols: an inverse of a positive definite matrix is a
Cholesky factor and two triangular solves, or a cached inverse where that is cheaper; a real power of a
symmetric matrix is an eigendecomposition; an inverse of a matrix that may be singular is refused. Products
are associated by cost.
"""
from __future__ import annotations

from dataclasses import dataclass

from sympy import Add, Expr, Identity, Integer, MatAdd, MatMul, MatPow, MatrixSymbol, Mul, Pow, Rational, S
from sympy import Symbol, Trace, Transpose, sympify
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.compiler.chain import Join, associate, nominal
from ngdsym.compiler.rewrite import rewrite
from ngdsym.algebra.symbols import Pinv, Polar, positive

LEADING_SHARE = Rational(1, 8)
"""FLOPs of two products with m/16 eigenvectors over one with a matrix of size m."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: `template` with `{0}` … for `args`; an input has no `args`, and its name as template."""

    template: str
    args: tuple[Node, ...]
    scalars: frozenset[str]
    fast: bool
    flops: Expr
    label: str

    @property
    def is_input(self) -> bool:
        return not self.args


class Program:
    """Nodes of one expression; equal operations on equal operands are one node.

    Parameters
    ----------
    gradient : MatrixSymbol or None
        The quantity that changes at every step.
    reuse : int
        How often the slow part is used before it is computed anew.
    sized : dict
        For each size that a scalar may mention, an input with that many columns.
    leading : bool
        Whether damped inverses in products keep only the leading eigenpairs of what is damped.
    """

    def __init__(
        self, gradient: MatrixSymbol | None, reuse: int, sized: dict[Symbol, MatrixSymbol], leading: bool
    ):
        self.gradient, self.reuse, self.sized, self.leading = gradient, reuse, sized, leading
        self.nodes: dict[tuple, Node] = {}
        self.inputs: dict[str, Node] = {}

    def node(self, template: str, *args: Node, flops: Expr = S.Zero, label: str, scalars=frozenset()) -> Node:
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
        if isinstance(matrix, Pinv):
            return self.pseudo_power(matrix.arg, S.NegativeOne)
        if isinstance(matrix, Polar):
            flops = 20 * matrix.shape[0] * matrix.shape[1] * min_size(*matrix.shape)
            return self.node("polar({0})", self.lower(matrix.arg), flops=flops, label="polar_factor")
        raise TypeError(
            f"cannot lower {type(matrix).__name__} {matrix}: use sums, products, powers, Pinv and Polar"
        )

    def sum(self, matrix: MatAdd) -> Node:
        """Sum of matrices; multiples of the identity come last, shaped like what they are added to."""
        terms = [split_scale(term) for term in matrix.args]
        terms.sort(key=lambda term: (isinstance(term[1], Identity), _negative(term[0])))
        size = matrix.shape[0] * matrix.shape[1]
        total: Node | None = None
        for scale, term in terms:
            if isinstance(term, Identity):
                if total is None:
                    raise ValueError(f"{matrix} is a multiple of the identity: use the scalar instead")
                node = self.node("identity_like({0})", total, label="identity")
                cost = matrix.shape[0]
            else:
                node, cost = self.lower(term), size
            if total is None:
                total = self.scaled(scale, node, size)
                continue
            sign, scale = ("-", -scale) if _negative(scale) else ("+", scale)
            label = f"damped_{total.label}" if isinstance(term, Identity) else f"{total.label}_sum"
            node = self.scaled(scale, node, cost)
            total = self.node(f"{{0}} {sign} {{1}}", total, node, flops=cost, label=label)
        return total

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
        return self.node("torch.cholesky_inverse({0})", self.cholesky(matrix.base), flops=2 * size**3 / 3,
                         label=f"inverse_{letter(matrix.base)}")

    def cholesky(self, base: MatrixExpr) -> Node:
        require_definite(base)
        flops = base.shape[0]**3 / 3
        return self.node("cholesky({0})", self.lower(base), flops=flops, label=f"chol_{letter(base)}")

    def leading_inverse(self, factor: MatrixExpr) -> tuple[Node, Node]:
        """Root and scale of (A + c I)^p with p < 0 by the leading eigenpairs of A, or of a product P Q P of such."""
        if isinstance(factor, MatMul):
            outer, inner = factor.args[:2]
            (root, scale), (inner_root, inner_scale) = map(self.leading_inverse, (outer, inner))
            name, flops = letter(inner.base), LEADING_SHARE * factor.shape[0]**3
            return (
                self.node("leading_congruence({0}, {1})", root, inner_root, flops=flops, label=f"root_{name}"),
                self.node("{0} ** 2 * {1}", scale, inner_scale, label=f"scale_{name}"),
            )
        base, power = factor.base, factor.exp
        require_definite(base)
        terms = [split_scale(term) for term in MatAdd.make_args(base)]
        shifts = [scale for scale, term in terms if isinstance(term, Identity)]
        rest = MatAdd(*(scale * term for scale, term in terms if not isinstance(term, Identity))).doit()
        if len(shifts) != 1:
            raise ValueError(f"the leading eigenpairs of {base} need damping: write it as A + c*Identity")
        name, size = letter(rest), base.shape[0]
        text, args, scalars = self.scalar(shifts[0])
        if args:
            args, text = [self.node(text, *args, scalars=scalars, label=f"damping_{name}")], "{0}"
        last = f"{{{len(args)}}}"
        pairs = self.node(f"leading_pairs({last}, {text})", *args, self.lower(rest), scalars=scalars,
                          flops=4 * LEADING_SHARE * size**3, label=f"pairs_{name}")
        exponent, prefix = ("", "") if power == -1 else (f", {float(-power)}", "half_")
        return tuple(
            self.node(f"leading_{part}({last}, {text}{exponent})", *args, pairs, scalars=scalars,
                      label=f"{prefix}{part}_{name}")
            for part in ("root", "scale")
        )

    def power(self, base: MatrixExpr, exponent: Expr) -> Node:
        """Power of a symmetric positive matrix by eigh; a positive integer power is a product."""
        if exponent.is_Integer and 1 < exponent <= 3:
            return self.product(MatMul(*[base] * int(exponent), evaluate=False))
        if isinstance(base, Pinv) and positive(base.arg):
            return self.pseudo_power(base.arg, -exponent)
        kind = positive(base)
        if kind is None:
            raise ValueError(
                f"({base})**({exponent}) needs a symmetric positive semidefinite matrix, and {base} is not "
                "known to be one: declare it with PSD or PD, or write it as A.T*A"
            )
        if exponent.is_negative:
            require_definite(base, exponent)
        return self.spectral("definite_power" if kind == "pd" else "semidefinite_power", base, exponent)

    def pseudo_power(self, base: MatrixExpr, exponent: Expr) -> Node:
        if positive(base):
            return self.spectral("semidefinite_power", base, exponent)
        flops = 22 * base.shape[0] * base.shape[1] * min_size(*base.shape)
        return self.node("pseudo_inverse({0})", self.lower(base), flops=flops, label=f"pinv_{letter(base)}")

    def spectral(self, function: str, base: MatrixExpr, exponent: Expr) -> Node:
        text, traces, scalars = self.scalar(exponent)
        kind = "pinv" if exponent == -1 else "root" if exponent > 0 else "inverse_root"
        return self.node(f"{function}({{{len(traces)}}}, {text})", *traces, self.lower(base), scalars=scalars,
                         flops=11 * base.shape[0]**3, label=f"{kind}_{letter(base)}")

    # --- products ---------------------------------------------------------------------------------

    def product(self, matrix: MatMul) -> Node:
        """Cheapest association of a product, an inverse in it being a solve or a cached matrix."""
        scale, factors = matrix.as_coeff_matrices()
        if self.leading:
            factors = congruences(factors)
        sizes = [factors[0].shape[0]] + [factor.shape[1] for factor in factors]
        fast = [self.gradient is not None and factor.has(self.gradient) for factor in factors]
        solvable = [is_root(f) and (self.leading or f.exp == -1) for f in factors]
        if self.leading and solvable == [True, False, True]:
            return self.sandwich(scale, *factors)

        def build(part: Join | int) -> Node:
            if isinstance(part, int):
                return self.lower(factors[part])
            flops, template = part.flops, "{0} @ {1}"
            if part.how == "multiply":
                args = build(part.left), build(part.right)
            elif self.leading:
                left = part.how == "solve left"
                inverse = self.leading_inverse(factors[part.left if left else part.right])
                args = (*inverse, build(part.right)) if left else (build(part.left), *inverse)
                flops = LEADING_SHARE * part.flops
                template = "leading_solve({0}, {1}, {2})" if left else "leading_solve_right({0}, {1}, {2})"
            elif part.how == "solve left":
                args = build(part.right), self.cholesky(factors[part.left].base)
                template = "torch.cholesky_solve({0}, {1})"
            else:
                args = build(part.left), self.cholesky(factors[part.right].base)
                template = "solve_right({0}, {1})"
            label = "step" if any(arg.fast for arg in args) else "product"
            return self.node(template, *args, flops=flops, label=label)

        return self.scaled(scale, build(associate(sizes, fast, solvable, self.reuse)), sizes[0] * sizes[-1])

    def sandwich(self, scale: Expr, left: MatrixExpr, middle: MatrixExpr, right: MatrixExpr) -> Node:
        """`scale` · left · middle · right, both inverses by leading eigenpairs, in fewer passes than one by one."""
        (left_root, left_scale), (right_root, right_scale) = map(self.leading_inverse, (left, right))
        text, args, scalars = self.scalar(scale)
        first, second, third, *others = (f"{{{len(args) + k}}}" for k in range(5))
        template = f"leading_sandwich({first}, {second} * {third} * ({text}), {', '.join(others)})"
        args += left_root, left_scale, right_scale, self.lower(middle), right_root
        rows, columns = middle.shape
        return self.node(template, *args, flops=2 * LEADING_SHARE * rows * columns * (rows + columns),
                         scalars=scalars, label="step")

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
            if isinstance(e, Symbol):
                if e in self.sized:
                    return place(self.node("{0}.shape[-1]", self.input(self.sized[e]), label=str(e)))
                names.add(parameter(e))
                return parameter(e)
            if isinstance(e, Trace):
                flops, label = e.arg.shape[0], f"trace_{letter(e.arg)}"
                return place(self.node("trace({0})", self.lower(e.arg), flops=flops, label=label))
            if isinstance(e, Add):
                return " + ".join(f"({text(term)})" for term in e.args)
            numerator, denominator = e.as_numer_denom()
            if denominator != 1:
                return f"({text(numerator)}) / ({text(denominator)})"
            if isinstance(e, Mul):
                return " * ".join(f"({text(factor)})" for factor in e.args)
            if isinstance(e, Pow):
                return f"({text(e.base)}) ** ({text(e.exp)})"
            raise TypeError(f"cannot lower the scalar {e}: use numbers, symbols, +, *, ** and Trace")

        return text(scalar), nodes, names


def compile_expression(
    expression: MatrixExpr, gradient: MatrixSymbol | None, reuse: int = 1, leading: bool = False
) -> tuple[Program, Node]:
    """Rewrite and lower `expression`; return the program and the node of its value."""
    matrices = sorted(expression.atoms(MatrixSymbol) - {gradient}, key=lambda symbol: symbol.name)
    program = Program(gradient, reuse, {matrix.shape[1]: matrix for matrix in matrices}, leading)
    return program, program.lower(rewrite(expression))


def is_root(factor: MatrixExpr) -> bool:
    """Whether `factor` is the inverse of a positive definite matrix, its square root, or P Q P of such."""
    if isinstance(factor, MatMul):
        return True
    return isinstance(factor, MatPow) and factor.exp in (-1, -S.Half) and positive(factor.base) == "pd"


def congruences(factors: list[MatrixExpr]) -> list[MatrixExpr]:
    """`factors` of a product, with every P, Q, P among them that are roots (`is_root`) as one."""
    for i, (first, middle, last) in enumerate(zip(factors, factors[1:], factors[2:])):
        if first == last and is_root(first) and is_root(middle):
            return [*factors[:i], MatMul(first, middle, last), *congruences(factors[i + 3:])]
    return factors


def require_definite(base: MatrixExpr, exponent: Expr = S.NegativeOne) -> None:
    """Raise unless `base` is known to be positive definite."""
    kind = positive(base)
    if kind == "psd":
        raise ValueError(
            f"{base} is only semidefinite, so ({base})**({exponent}) may not exist: add damping, as in "
            f"({base} + lam*Identity({base.shape[0]})), or take the pseudo-inverse Pinv({base})"
        )
    if kind is None:
        raise ValueError(
            f"{base} is not known to be invertible: declare it with PD, or use Pinv({base})"
        )


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


def parameter(symbol: Symbol) -> str:
    """Python name of a scalar parameter: λ is `lam`, since `lambda` is a keyword."""
    return "lam" if symbol.name == "lambda" else symbol.name


def min_size(rows: Expr, columns: Expr) -> Expr:
    return min(rows, columns, key=nominal)


def _negative(scale: Expr) -> bool:
    return scale.could_extract_minus_sign()
