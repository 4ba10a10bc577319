"""The Moore–Penrose inverse: the facts that the rules rest on (Penrose 1955, Greville 1966)."""
from __future__ import annotations

from sympy import Eq, Identity, MatrixSymbol, Ne, symbols

from ngdsym.algebra.symbols import Pinv
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

m, n, k = symbols("m n k", integer=True, positive=True)
M = MatrixSymbol("M", m, n)
U, V = MatrixSymbol("U", m, k), MatrixSymbol("V", k, n)
X, Y = MatrixSymbol("X", n, m), MatrixSymbol("Y", n, m)
SIZES = {m: 2, n: 3, k: 1}
LOW_RANK = {M: U * V}


def penrose(A: MatrixSymbol, X: MatrixSymbol) -> tuple[Eq, ...]:
    """The four Penrose equations for X = A⁺."""
    return eq(A * X * A, A), eq(X * A * X, X), eq((A * X).T, A * X), eq((X * A).T, X * A)


UNIQUE = Theorem(
    name="penrose-unique",
    title="The four Penrose equations have at most one solution",
    equations=(),
    assumes=(*penrose(M, X), *penrose(M, Y)),
    claims=(eq(X, Y),),
    wrong=(eq(X, -Y), eq(X, 2 * Y), eq(X, Y * Y.T * Y), eq(X, M.T)),
    recipes={**LOW_RANK, X: Pinv(M.T * M) * M.T, Y: M.T * Pinv(M * M.T)},
    sizes=SIZES,
)

INVOLUTION = Theorem(
    name="penrose-involution",
    title="The pseudo-inverse of the pseudo-inverse is the matrix itself",
    equations=(),
    claims=(eq(Pinv(Pinv(M)), M),),
    wrong=(eq(Pinv(Pinv(M)), -M), eq(Pinv(Pinv(M)), M * M.T * M), eq(Pinv(Pinv(M)), Pinv(M).T)),
    recipes=LOW_RANK,
    sizes=SIZES,
)

ADJOINT = Theorem(
    name="penrose-adjoint",
    title="Transposing commutes with pseudo-inversion",
    equations=(),
    assumes=penrose(M, X),
    claims=(eq(Pinv(M.T), X.T),),
    wrong=(eq(Pinv(M.T), M), eq(Pinv(M.T), -X.T), eq(Pinv(M.T), X.T * X * X.T)),
    recipes={**LOW_RANK, X: Pinv(M)},
    sizes=SIZES,
)

GRAM = Theorem(
    name="penrose-gram",
    title="Pseudo-inverse of a Gram matrix, and the pseudo-inverse by way of either Gram matrix",
    equations=(),
    assumes=penrose(M, X),
    claims=(eq(Pinv(M.T * M), X * X.T), eq(Pinv(M.T * M) * M.T, X), eq(M.T * Pinv(M * M.T), X)),
    wrong=(eq(Pinv(M.T * M), X * M), eq(Pinv(M.T * M) * M.T, M.T), eq(M.T * Pinv(M * M.T), 2 * X)),
    recipes={**LOW_RANK, X: Pinv(M)},
    sizes=SIZES,
    points=True,
)

REVERSE_ORDER = Theorem(
    name="reverse-order-law",
    title="(UV)⁺ = V⁺U⁺ under Greville's two conditions",
    equations=(),
    given="The ranges fit: range(UᵀUV) lies in range(V), and range(VVᵀUᵀ) in range(Uᵀ).",
    assumes=(eq(V * Pinv(V) * U.T * U * V, U.T * U * V), eq(Pinv(U) * U * V * V.T * U.T, V * V.T * U.T)),
    claims=(eq(Pinv(U * V), Pinv(V) * Pinv(U)),),
    wrong=(eq(Pinv(U * V), V.T * U.T), eq(Pinv(U * V), -Pinv(V) * Pinv(U)), eq(Pinv(U * V), V.T * Pinv(U))),
    sizes=SIZES,
)

REVERSE_ORDER_FAILS = Theorem(
    name="reverse-order-law-fails",
    title="Without conditions (UV)⁺ is not V⁺U⁺",
    equations=(),
    claims=(Ne(Pinv(U * V), Pinv(V) * Pinv(U)),),
    wrong=(Ne(Pinv(U * V) * U * V * Pinv(U * V), Pinv(U * V)),
           Ne(Pinv(V) * Pinv(Pinv(V)) * Pinv(V), Pinv(V))),
    sizes={m: 1, n: 1, k: 2},
    missing={"certificate": COUNTEREXAMPLE},
)

LEFT_INVERSE = Theorem(
    name="pseudo-inverse-inverts",
    title="Where a one-sided inverse exists, the pseudo-inverse is one",
    equations=("10",),
    given="U has linearly independent columns, so some left inverse X exists; likewise V has a right "
          "inverse.",
    assumes=(eq(MatrixSymbol("S", k, m) * U, Identity(k)), eq(V * MatrixSymbol("R", n, k), Identity(k))),
    claims=(eq(Pinv(U) * U, Identity(k)), eq(V * Pinv(V), Identity(k))),
    wrong=(eq(U.T * U, Identity(k)), eq(Pinv(U) * U, 2 * Identity(k)), eq(V * V.T, Identity(k))),
    recipes={MatrixSymbol("S", k, m): Pinv(U), MatrixSymbol("R", n, k): Pinv(V)},
    sizes={m: 3, n: 3, k: 2},
)

THEOREMS = (UNIQUE, INVOLUTION, ADJOINT, GRAM, LEFT_INVERSE, REVERSE_ORDER, REVERSE_ORDER_FAILS)
