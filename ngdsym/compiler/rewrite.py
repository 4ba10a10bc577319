"""Rewriting of a rule before it is lowered.

Inverses and transposes move to the factors of a product, a Kronecker product applied to a stacked matrix
becomes two products, and the inverse of a known inverse plus a term of low rank becomes a Woodbury update.
"""

from __future__ import annotations

from sympy import Identity, KroneckerProduct, MatAdd, MatMul, MatPow
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PD, Unvec, positive, size


def rewrite(matrix: MatrixExpr) -> MatrixExpr:
    """Equal expression that is cheaper to compute.

    Examples
    --------
    >>> from sympy import KroneckerProduct
    >>> from ngdsym.algebra.symbols import G, Lambda, Lambda_tilde, PD, m, n
    >>> rewrite(Unvec(KroneckerProduct(PD("B", m, m), PD("A", n, n)).I, G))
    A**(-1)*G*B**(-1)
    """
    matrix = matrix.doit()
    if not isinstance(matrix, MatrixExpr) or not matrix.args or matrix.is_symbol:
        return matrix
    if isinstance(matrix, Unvec):
        return unstack(*matrix.args)
    if isinstance(matrix, MatPow) and matrix.exp == -1:
        update = woodbury(matrix.base)
        if update is not None:
            return update
    changed = matrix.func(*(rewrite(arg) if isinstance(arg, MatrixExpr) else arg for arg in matrix.args))
    return changed.doit()


def unstack(operator: MatrixExpr, matrix: MatrixExpr) -> MatrixExpr:
    """(B ⊗ A) vec X = vec(A X Bᵀ), columns stacked, and so for inverses, sums and products of these."""
    if isinstance(operator, MatMul):
        scale, factors = operator.as_coeff_matrices()
        for factor in reversed(factors):
            matrix = unstack(factor, matrix)
        return scale * matrix
    if isinstance(operator, MatAdd):
        return MatAdd(*(unstack(term, matrix) for term in operator.args)).doit()
    if isinstance(operator, Identity):
        return matrix
    power = operator.exp if isinstance(operator, MatPow) else 1
    product = operator.base if isinstance(operator, MatPow) else operator
    if isinstance(product, KroneckerProduct) and len(product.args) == 2 and (power == -1 or power == 1):
        right, left = product.args
        if left.shape != (matrix.shape[0],) * 2 or right.shape != (matrix.shape[1],) * 2:
            raise ValueError(
                f"cannot apply {product} to the stacked {matrix} ({size(matrix)}): in KroneckerProduct(B, A) A is "
                f"what multiplies from the left, but here A is {size(left)} and B is {size(right)}"
            )
        return (left**power * matrix * (right**power).T).doit()
    raise ValueError(f"{operator} is not made of Kronecker products of two matrices")


def woodbury(base: MatrixExpr) -> MatrixExpr | None:
    """(a K⁻¹ + b Xᵀ X)⁻¹ = K/a − (K/a) Xᵀ (I/b + X (K/a) Xᵀ)⁻¹ X (K/a) for definite `K`; else None."""
    if not isinstance(base, MatAdd) or len(base.args) != 2:
        return None
    for known, update in (base.args, base.args[::-1]):
        a, (inverse, *rest) = known.as_coeff_matrices() if isinstance(known, MatMul) else (1, [known])
        if rest or not isinstance(inverse, MatPow) or inverse.exp != -1 or not isinstance(inverse.base, PD):
            continue
        b, factors = update.as_coeff_matrices() if isinstance(update, MatMul) else (1, [])
        if len(factors) == 2 and factors[0] == factors[1].T and positive(update):
            K, X = inverse.base / a, factors[1]
            return K - K * X.T * (Identity(X.shape[0]) / b + X * K * X.T).I * X * K
    return None
