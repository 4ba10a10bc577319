"""The two limits of a damped rule, by machine: λ → 0 and λ → ∞."""

from __future__ import annotations

from itertools import pairwise

from sympy import Expr, MatAdd, MatMul, MatPow, Mul, S, Trace, Transpose, limit
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators import Eigenbasis, Operator
from ngdsym.algebra.symbols import Pinv, lam, positive
from ngdsym.compiler.definition import Definition


def undamp(matrix: MatrixExpr) -> MatrixExpr:
    """Set λ to its limit 0, where `(A + λI)^{-p}` with `A` semidefinite becomes `(A⁺)^p`.

    On the range of `A`, and only there, that is the limit; a gradient under the model has its columns in the
    range of Λ̃ and its rows in the range of Λ.

    Raises
    ------
    ValueError
        If a scalar grows without bound.

    Examples
    --------
    >>> from sympy import Identity
    >>> from ngdsym.algebra.symbols import Lambda, m
    >>> undamp((Lambda + lam * Identity(m)).I)
    Pinv(Lambda)
    """
    if isinstance(matrix, MatPow) and matrix.exp.is_negative:
        base = undamp(matrix.base)
        return Pinv(base) ** -matrix.exp if positive(base) == "psd" else base**matrix.exp
    if isinstance(matrix, MatrixExpr):
        return matrix.func(*map(undamp, matrix.args)).doit() if matrix.has(lam) else matrix
    traces = {t: Trace(undamp(t.arg)) for t in matrix.atoms(Trace) if t.has(lam)}
    matrix = matrix.xreplace(traces)
    value = limit(matrix, lam, 0) if matrix.has(lam) else matrix
    if value.is_infinite:
        raise ValueError(f"{matrix} has no limit for λ → 0")
    return value


def undamped(rule: Definition) -> Definition | None:
    """The limit λ → 0 of a damped rule; None if it is not damped."""
    if lam not in rule.expression.free_symbols:
        return None
    limit = undamp(rule.expression)
    memory = (rule.memory[0], undamp(rule.memory[1])) if rule.memory else None
    whole = limit.xreplace(dict([memory])) if memory else limit
    constants = tuple((symbol, value) for symbol, value in rule.constants if whole.has(symbol))
    title = f"limit λ → 0 of {rule.title or rule.name}"
    return Definition(f"{rule.name}_undamped", limit, title, gradient=rule.gradient, memory=memory, constants=constants)


def without_bases(factors: list[MatrixExpr]) -> list[MatrixExpr]:
    """Factors of a product without those pairs that are an eigenbasis and its transpose."""
    for i, (one, other) in enumerate(pairwise(factors)):
        if one == other.T and (isinstance(one, Eigenbasis) or isinstance(other, Eigenbasis)):
            return without_bases([*factors[:i], *factors[i + 2 :]])
    return factors


def overdamp(matrix: MatrixExpr) -> tuple[Expr, MatrixExpr]:
    """Leading term for λ → ∞, as a scalar `c λ^p` and a matrix without λ.

    Raises
    ------
    ValueError
        If the leading term is a singular matrix under an inverse, or λ occurs where no limit is known.

    Examples
    --------
    >>> from sympy import Identity
    >>> from ngdsym.algebra.symbols import G, Lambda, m
    >>> overdamp(G * (Lambda + lam * Identity(m)).I)
    (1/lambda, G)
    """
    if not matrix.has(lam):
        return S.One, matrix
    if isinstance(matrix, MatMul):
        scale, factors = matrix.as_coeff_matrices()
        scales, leading = zip(*map(overdamp, factors))
        inner, product = MatMul(*leading).doit().as_coeff_mmul()
        factors = list(product.args) if isinstance(product, MatMul) else [product]
        return Mul(scale, *scales, inner), MatMul(*without_bases(factors)).doit()
    if isinstance(matrix, MatAdd):
        terms = [overdamp(term) for term in matrix.args]
        if any(scale.as_coeff_exponent(lam)[0].has(lam) for scale, _ in terms):
            raise ValueError(f"no limit known for λ → ∞ of {matrix}")
        order = max((scale.as_coeff_exponent(lam)[1] for scale, _ in terms))
        kept = [(scale, leading) for scale, leading in terms if scale.as_coeff_exponent(lam)[1] == order]
        if len(kept) == 1:
            return kept[0]
        return lam**order, MatAdd(*(scale / lam**order * leading for scale, leading in kept)).doit()
    if isinstance(matrix, Operator):
        return matrix.overdamped(*(overdamp(arg) for arg in matrix.args if isinstance(arg, MatrixExpr)))
    scale, leading = overdamp(matrix.args[0])
    if isinstance(matrix, Transpose):
        return scale, leading.T
    if isinstance(matrix, MatPow) and (matrix.exp.is_nonnegative or positive(leading) == "pd"):
        return scale**matrix.exp, (leading**matrix.exp).doit()
    raise ValueError(f"no limit known for λ → ∞ of {matrix}")
