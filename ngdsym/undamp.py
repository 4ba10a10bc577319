"""The limit λ → 0 of a damped rule, by machine."""
from __future__ import annotations

from sympy import MatAdd, MatPow, limit
from sympy import S
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.symbols import Pinv, lam, positive


def undamp(matrix: MatrixExpr) -> MatrixExpr:
    """Set λ to its limit 0, where `(A + λI)^{-p}` with `A` semidefinite becomes `(A⁺)^p`.

    On the range of `A`, and only there, that is the limit; a gradient under the model has its columns in the
    range of Λ̃ and its rows in the range of Λ.

    Examples
    --------
    >>> from sympy import Identity
    >>> from ngdsym.symbols import Lambda, lam, m
    >>> undamp((Lambda + lam * Identity(m)).I)
    Pinv(Lambda)
    """
    if isinstance(matrix, MatPow) and matrix.exp.is_negative:
        base = undamp(matrix.base)
        return Pinv(base) ** -matrix.exp if positive(base) == "psd" else base ** matrix.exp
    if isinstance(matrix, MatrixExpr):
        return matrix.func(*map(undamp, matrix.args)).doit() if matrix.args and matrix.has(lam) else matrix
    return limit(matrix, lam, 0) if matrix.has(lam) else matrix
