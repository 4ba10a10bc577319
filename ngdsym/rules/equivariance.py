"""How a rule transforms when layers change coordinates, by type inference.

Under W → T W R⁻¹ every matrix M of a rule becomes l M r, and the pair (l, r) is its type. Types of products
meet in the middle, an inverse swaps and inverts, a pseudo-inverse and a polar factor pass orthogonal pairs
only, functions pass similarities. A square root of M' = C M Cᵀ is C M^½ Q with an orthogonal Q: it has two
types, and the Q of one root may cancel against that of its neighbour across a polar factor.
"""

from __future__ import annotations

from collections.abc import Mapping

from sympy import (
    Add,
    Expr,
    Identity,
    MatAdd,
    MatMul,
    MatPow,
    MatrixSymbol,
    Max,
    Mul,
    OneMatrix,
    Pow,
    Rational,
    S,
    Symbol,
    Trace,
    Transpose,
    exp,
    symbols,
)
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators import Operator
from ngdsym.algebra.symbols import positive
from ngdsym.algebra.transformation import ONE, Letter, NotCovariant, Pair, describe


def laws(orthogonal: bool) -> dict[str, Pair]:
    """Types of the known matrices under W → T W R⁻¹, for general or orthogonal T and R."""
    T, R = Letter("T", orthogonal), Letter("R", orthogonal)
    known = {
        "G": (T.inverse().transpose(), R.transpose()),
        "G_0": (T.inverse().transpose(), R.transpose()),
        "Lambda_tilde": (T.inverse().transpose(), T.inverse()),
        "Lambda": (R, R.transpose()),
        "K_tilde": (T, T.transpose()),
        "K": (R.inverse().transpose(), R.inverse()),
        "A": (ONE, T.inverse()),
        "B": (R, ONE),
        "D": (ONE, ONE),
        "Sigma": (ONE, ONE),
    }
    if orthogonal:
        known |= {"U_F": (ONE, ONE), "U_S": (ONE, ONE)}
    if orthogonal:
        known |= {"S_tilde": (T, T.inverse()), "S": (R, R.inverse()), "C": (R, R.inverse())}
    return known


def check_covariant(expression: MatrixExpr, orthogonal: bool) -> None:
    """Raise NotCovariant, with the reason, unless ΔW → T ΔW R⁻¹ follows from the types.

    Examples
    --------
    >>> from ngdsym.algebra.symbols import G, Lambda
    >>> check_covariant(G, orthogonal=True)
    >>> check_covariant(G, orthogonal=False)
    Traceback (most recent call last):
    ngdsym.algebra.transformation.NotCovariant: the update becomes T⁻ᵀ ΔW Rᵀ, not T ΔW R⁻¹
    """
    wanted = Letter("T", orthogonal), Letter("R", orthogonal).inverse()
    found = pairs(expression.doit(), laws(orthogonal))
    if found is None:
        raise NotCovariant("the update is a multiple of the identity")
    if wanted not in found:
        left, right = min(found, key=str)
        raise NotCovariant(f"the update becomes {left} ΔW {right}, not {wanted[0]} ΔW {wanted[1]}")


def pairs(matrix: MatrixExpr, known: dict[str, Pair]) -> frozenset[Pair] | None:
    """All types of `matrix`; None for the identity, which has each similarity for a type."""
    if isinstance(matrix, Identity):
        return None
    if isinstance(matrix, MatrixSymbol):
        if matrix.name not in known:
            raise NotCovariant(f"it is not known how {matrix} changes")
        return frozenset([known[matrix.name]])
    if isinstance(matrix, MatMul):
        return product_pairs(matrix, known)
    if isinstance(matrix, MatAdd):
        return sum_pairs(matrix, known)
    if isinstance(matrix, Operator):
        return matrix.law(*(pairs(arg, known) for arg in matrix.args if isinstance(arg, MatrixExpr)))
    if isinstance(matrix, OneMatrix):
        return frozenset([(ONE, ONE)])
    inner = pairs(matrix.args[0], known)
    if inner is None:
        return None
    if isinstance(matrix, Transpose):
        return frozenset((r.transpose(), l.transpose()) for l, r in inner)
    if isinstance(matrix, MatPow):
        return power_pairs(matrix, inner)
    raise NotCovariant(f"no type for {type(matrix).__name__} {matrix}")


def product_pairs(matrix: MatMul, known: dict[str, Pair]) -> frozenset[Pair] | None:
    scale, factors = matrix.as_coeff_matrices()
    check_invariant(scale, known)
    total = None
    for factor in factors:
        found = pairs(factor, known)
        if total is None or found is None:
            total = found if total is None else total
            continue
        joined = frozenset((l, r) for l, middle in total for start, r in found if start == middle.inverse())
        if not joined:
            raise NotCovariant(f"in {matrix} the changes of basis between factors do not cancel")
        total = joined
    return total


def sum_pairs(matrix: MatAdd, known: dict[str, Pair]) -> frozenset[Pair] | None:
    found = [pairs(term, known) for term in matrix.args]
    common = [types for types in found if types is not None]
    if not common:
        return None
    total = frozenset.intersection(*common)
    if len(common) < len(found):
        total = frozenset((l, r) for l, r in total if r == l.inverse())
    if not total:
        raise NotCovariant(f"the terms of {matrix} change in different ways")
    return total


def power_pairs(matrix: MatPow, inner: frozenset[Pair]) -> frozenset[Pair]:
    base, exponent = matrix.args
    if exponent == -1:
        return frozenset((r.inverse(), l.inverse()) for l, r in inner)
    found = {(l, r) for l, r in inner if r == l.inverse()}
    Q = Letter(f"Q({base})", orthogonal=True)
    for l, r in inner:
        if r == l.transpose() and exponent == Rational(1, 2) and positive(base):
            found |= {(l, Q), (Q.inverse(), r)}
        if r == l.transpose() and exponent == Rational(-1, 2) and positive(base) == "pd":
            found |= {(r.inverse(), Q), (Q.inverse(), l.inverse())}
    if not found:
        raise NotCovariant(f"a power {exponent} does not follow {describe(base, inner)}")
    return frozenset(found)


def check_invariant(scale: Expr, known: dict[str, Pair]) -> None:
    """Raise unless the traces in a scalar do not change."""
    for trace in sorted(scale.atoms(Trace), key=str):
        types = pairs(trace.arg, known)
        if types is not None and not any(r == l.inverse() for l, r in types):
            raise NotCovariant(f"the trace of {trace.arg} changes under {describe(trace.arg, types)}")


# --- scalars --------------------------------------------------------------------------------------

t, r, c = symbols("t r c")
DEGREES = {
    "G": r - t + c,
    "Lambda_tilde": c - 2 * t,
    "Lambda": 2 * r,
    "K_tilde": 2 * t - c,
    "K": -2 * r,
    "U": 2 * (r - t + c),
    "U_0": 2 * (r - t + c),
    "U_F": 2 * (r - t + c),
    "U_S": 2 * (r - t + c),
    "U_W": 2 * (t - r),
    "S_tilde": 2 * (r - t + c),
    "S": 2 * (r - t + c),
    "A": -t,
    "B": r,
    "D": S.Zero,
    "Sigma": S.Zero,
}
"""Under W → τ W ρ⁻¹ and loss → γ·loss each matrix is multiplied by τ^t ρ^r γ^c; here are the exponents."""


def degree(expression: Expr, *scales: Symbol, known: Mapping[str, Expr] = DEGREES) -> Expr:
    """Exponents, linear in `scales`, with which an expression is multiplied.

    Parameters
    ----------
    expression : Expr
        A matrix or scalar expression.
    scales : Symbol
        Those of t, r, c whose quantities τ, ρ, γ change.
    known : mapping of str to Expr
        Exponents of the matrices by name.

    Raises
    ------
    NotCovariant
        If it is not homogeneous.

    Examples
    --------
    >>> from sympy import Identity
    >>> from ngdsym.algebra.symbols import G, Lambda, Pinv, lam, m
    >>> degree(G * Pinv(Lambda), t, r, c)
    c - r - t
    >>> degree(G * (Lambda + lam * Identity(m)).I, c)
    c
    """
    if isinstance(expression, MatrixSymbol):
        if expression.name not in known:
            raise NotCovariant(f"it is not known how {expression} changes")
        exponents = known[expression.name]
        return sum((exponents.coeff(scale) * scale for scale in scales), S.Zero)
    if isinstance(expression, (Identity, OneMatrix, Symbol)) or expression.is_number:
        return S.Zero
    if isinstance(expression, (Trace, Transpose)):
        return degree(expression.arg, *scales, known=known)
    if isinstance(expression, Operator):
        return expression.degree(
            *(degree(arg, *scales, known=known) for arg in expression.args if isinstance(arg, MatrixExpr))
        )
    if isinstance(expression, (MatPow, Pow)):
        return (expression.exp * degree(expression.base, *scales, known=known)).expand()
    if isinstance(expression, (MatMul, Mul)):
        return Add(*(degree(factor, *scales, known=known) for factor in expression.args)).expand()
    if isinstance(expression, exp):
        if degree(expression.exp, *scales, known=known) != 0:
            raise NotCovariant(f"{expression} is no power of a scale")
        return S.Zero
    if isinstance(expression, (MatAdd, Add, Max)):
        degrees = {degree(term, *scales, known=known) for term in expression.args}
        if len(degrees) > 1:
            raise NotCovariant(f"the terms of {expression} scale differently")
        return degrees.pop()
    raise NotCovariant(f"no degree for {type(expression).__name__} {expression}")
