"""The paper's generalized inverse (23), its row sums (SM 34–37), and why K-FAC is exact up to a factor L."""
from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sympy import Eq, Expr, Identity, Inverse, Le, MatAdd, MatMul, MatrixSymbol, Ne, Rational, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import Pinv
from ngdsym.theorems.dense import Net, distance
from ngdsym.theorems.notation import (
    A_,
    B_,
    FACTORS,
    GRADIENT,
    WIDE_LAYER,
    A,
    B,
    C,
    E,
    G,
    I_d,
    I_o,
    P,
    R,
    S,
    Sigma,
    Z,
    d,
    invertible,
    m,
    n,
    o,
    size,
)
from ngdsym.theorems.theorem import COUNTEREXAMPLE, Theorem, eq

A_i, A_j, A_k, A_l = map(A_, "ijkl")
B_i, B_j, B_k, B_l = map(B_, "ijkl")
WIDE = "No hidden layer is narrower than input or output: A has a right inverse R, B a left inverse S."


def right(i: str) -> MatrixSymbol:
    """Right inverse R_i of A_i."""
    return MatrixSymbol(f"R_{i}", size(i), o)


def left(i: str) -> MatrixSymbol:
    """Left inverse S_i of B_i."""
    return MatrixSymbol(f"S_{i}", d, size(i, "m"))


def wide(*layers: str) -> tuple[Eq, ...]:
    """The one-sided inverses that exist in a wide network."""
    return tuple(e for i in layers for e in (eq(A_(i) * right(i), I_o), eq(left(i) * B_(i), I_d)))


def made(*layers: str) -> dict[Expr, Expr]:
    """Recipes for the one-sided inverses."""
    return {r: Pinv(x) for i in layers for r, x in ((right(i), A_(i)), (left(i), B_(i)))}


SIZES = {size(i, base): 3 for i in "ijkl" for base in "nm"}


def E_(a: MatrixSymbol, b: MatrixSymbol) -> Expr:
    """⟨e eᵀ⟩ between two layers."""
    return a.T * P * b


def C_(a: MatrixSymbol, b: MatrixSymbol) -> Expr:
    """⟨x xᵀ⟩ between two layers."""
    return a * Sigma * b.T


PAPER_INVERSE = Theorem(
    name="paper-inverse",
    title="F_ij (F^g)_jk F_kl = L⁻² F_il for all j, k: summed over them, F F^g F = F",
    equations=("23", "SM 36"),
    given=WIDE + " (F^g)_jk is the inverse of the transposed place: L⁻² ⟨x_{k-1}x_{j-1}ᵀ⟩⁺ ⊗ ⟨e_k e_jᵀ⟩⁺.",
    assumes=(*wide("j", "k"), invertible(Sigma)),
    claims=(eq(C_(B_i, B_j) * Pinv(C_(B_k, B_j)) * C_(B_k, B_l), C_(B_i, B_l)),
            eq(E_(A_i, A_j) * Pinv(E_(A_k, A_j)) * E_(A_k, A_l), E_(A_i, A_l))),
    wrong=(eq(C_(B_i, B_j) * C_(B_k, B_j).T * C_(B_k, B_l), C_(B_i, B_l)),
           eq(E_(A_i, A_j) * Pinv(E_(A_k, A_j)) * E_(A_k, A_l), -E_(A_i, A_l)),
           eq(E_(A_i, A_j) * Pinv(A_k.T * A_j) * E_(A_k, A_l), E_(A_i, A_l))),
    recipes=made("j", "k"),
    sizes=SIZES,
    points=True,
)

REFLEXIVE = Theorem(
    name="paper-inverse-reflexive",
    title="(F^g)_ij F_jk (F^g)_kl = L⁻² (F^g)_il: summed, F^g F F^g = F^g",
    equations=("23",),
    given=WIDE,
    assumes=(*wide(*"ijkl"), invertible(Sigma)),
    claims=(eq(Pinv(C_(B_j, B_i)) * C_(B_j, B_k) * Pinv(C_(B_l, B_k)), Pinv(C_(B_l, B_i))),
            eq(Pinv(E_(A_j, A_i)) * E_(A_j, A_k) * Pinv(E_(A_l, A_k)), Pinv(E_(A_l, A_i)))),
    wrong=(eq(Pinv(C_(B_j, B_i)) * C_(B_j, B_k) * Pinv(C_(B_l, B_k)), -Pinv(C_(B_l, B_i))),
           eq(Pinv(E_(A_j, A_i)) * E_(A_j, A_k) * Pinv(E_(A_l, A_k)), E_(A_l, A_i).T),
           eq(Pinv(E_(A_j, A_i)) * E_(A_j, A_k) * Pinv(E_(A_l, A_k)), 2 * Pinv(E_(A_l, A_i)))),
    recipes=made(*"ijkl"),
    sizes=SIZES,
    points=True,
)

EQUAL_SHARES = Theorem(
    name="equal-contributions",
    title="Every block of a row contributes the same term A_i⁺ Z B_i⁺",
    equations=("SM 37", "23"),
    given=WIDE + " G_j is the negative gradient of any layer j, also j = i.",
    assumes=(*wide("i", "j"), invertible(Sigma)),
    claims=(eq(Pinv(E_(A_j, A_i)) * (A_j.T * P * Z * Sigma * B_j.T) * Pinv(C_(B_i, B_j)),
               Pinv(A_i) * Z * Pinv(B_i)),),
    wrong=(eq(Pinv(E_(A_j, A_i)) * (A_j.T * P * Z * Sigma * B_j.T) * Pinv(C_(B_i, B_j)),
              -Pinv(A_i) * Z * Pinv(B_i)),
           eq(Pinv(E_(A_j, A_i)) * (A_j.T * P * Z * Sigma * B_j.T) * Pinv(C_(B_i, B_j)), A_i.T * Z * B_i.T),
           eq(E_(A_i, A_j) * (A_j.T * P * Z * Sigma * B_j.T) * C_(B_j, B_i), Pinv(A_i) * Z * Pinv(B_i))),
    recipes=made("i", "j"),
    sizes=SIZES,
    points=True,
)

U, T, ell = MatrixSymbol("U", n, m), MatrixSymbol("T", n, m), MatrixSymbol("ell", n, n)


def row(L: int) -> tuple[tuple[Eq, ...], tuple[Eq, ...]]:
    """A row of L equal blocks, each L⁻² of the term it carries."""
    blocks = [MatrixSymbol(f"U_{j}", n, m) for j in range(1, L + 1)]
    total = MatAdd(*blocks) if L > 1 else blocks[0]
    return tuple(eq(block, U) for block in blocks), (eq(MatMul(Rational(1, L**2), total), MatMul(Rational(1, L), U)),)


ROW_SUM = Theorem(
    name="natural-gradient-row",
    title="A row of F^g times the gradient: L equal terms with L⁻² leave 1/L, which is Eq. 10",
    equations=("10", "SM 34", "SM 37"),
    given="U is the common term of equal-contributions. Step: if ℓ blocks sum to T = ℓ U, one more gives (ℓ "
          "+ 1) U.",
    assumes=(eq(T, ell * U),),
    claims=(eq(T + U, (ell + Identity(n)) * U),),
    wrong=(eq(T + U, ell * U), eq(T - U, (ell + Identity(n)) * U), eq(T + U, (ell - Identity(n)) * U)),
    instances=row,
)

V = Inverse(E) * G * Inverse(C)
moved, count = MatrixSymbol("D", o, d), MatrixSymbol("ell", o, o)


def all_layers(L: int) -> tuple[tuple[Eq, ...], tuple[Eq, ...]]:
    """L layers, each of which moves W by Z."""
    moves = [MatrixSymbol(f"D_{i}", o, d) for i in range(1, L + 1)]
    return tuple(eq(move, Z) for move in moves), (eq(MatAdd(*moves) if L > 1 else moves[0], L * Z),)


KFAC = Theorem(
    name="kfac-is-L-times",
    title="Inverting only F_ii moves W by Z in every layer, so by L Z: K-FAC is L times the natural gradient",
    equations=("10", "22", "SM 37"),
    given="The diagonal blocks are invertible. V = Λ̃_i⁻¹ G_i Λ_{i-1}⁻¹ solves F_ii V = G_i. Step: if ℓ "
          "layers move W by "
          "D = ℓ Z, one more makes it (ℓ + 1) Z.",
    assumes=(*WIDE_LAYER, *FACTORS, GRADIENT, invertible(Sigma), eq(moved, count * Z)),
    claims=(eq(A * V * B, Z), eq(moved + A * V * B, (count + I_o) * Z)),
    wrong=(eq(A * V * B, 2 * Z), eq(A * V * B, -Z), eq(A * G * B, Z), eq(moved + A * V * B, count * Z)),
    recipes={R: Pinv(A), S: Pinv(B)},
    scale=1,
    instances=all_layers,
)

SCHUR = Theorem(
    name="off-diagonal-size",
    title="F_ij F_jj⁺ F_ji = F_ii: off-diagonal blocks are as large as they can be",
    equations=("22",),
    given=WIDE + " The Schur complement vanishes: what layer j can do, layer i can do as well.",
    assumes=(*wide("j"), invertible(Sigma)),
    claims=(eq(C_(B_i, B_j) * Pinv(C_(B_j, B_j)) * C_(B_j, B_i), C_(B_i, B_i)),
            eq(E_(A_i, A_j) * Pinv(E_(A_j, A_j)) * E_(A_j, A_i), E_(A_i, A_i))),
    wrong=(eq(C_(B_i, B_j) * C_(B_j, B_j) * C_(B_j, B_i), C_(B_i, B_i)),
           eq(E_(A_i, A_j) * Pinv(E_(A_j, A_j)) * E_(A_j, A_i), 2 * E_(A_i, A_i)),
           eq(E_(A_i, A_j) * Pinv(A_j.T * A_j) * E_(A_j, A_i), E_(A_i, A_i))),
    recipes=made("j"),
    sizes=SIZES,
    points=True,
)

F, F_g, F_plus = (MatrixSymbol(name, Symbol("p"), Symbol("p")) for name in ("F", "F_g", "F_plus"))


def inverses(*sizes: int) -> Callable[[Draw], Mapping[Expr, object]]:
    """F, the inverse (23) with pseudo-inverses and F⁺ of a small network."""
    def values(draw: Draw) -> Mapping[Expr, object]:
        net = Net(sizes, draw)
        return {F: net.F, F_g: net.paper_inverse(), F_plus: net.pinv(net.F)}
    return values


NOT_MOORE_PENROSE = Theorem(
    name="paper-inverse-is-not-F-plus",
    title="F^g is a generalized inverse of F but not its Moore–Penrose inverse",
    equations=("23",),
    claims=(Ne(F_g, F_plus),),
    wrong=(Ne(F * F_g * F, F), Ne(F_g * F * F_g, F_g)),
    values=inverses(2, 2, 2),
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

BOTTLENECK = Theorem(
    name="paper-inverse-fails-narrow",
    title="In a narrowing network (23) with pseudo-inverses is no generalized inverse: F F^g F ≠ F",
    equations=("23", "SM 36"),
    claims=(Ne(F * F_g * F, F),),
    wrong=(Ne(F * F_plus * F, F), Ne(F, F.T)),
    values=inverses(2, 1, 2),
    points=True,
    missing={"certificate": COUNTEREXAMPLE},
)

ARCHITECTURES = ((3, 2, 1, 2), (2, 1, 2), (3, 2, 1), (1, 2, 2), (2, 2, 2), (1, 3, 2, 1), (2, 1), (1, 2, 1, 2))
TRACES, COUNTS, FISHER_RANKS, FULL, TIGHT, INVERTS = (
    [Symbol(f"{name}_{k}") for k in range(len(ARCHITECTURES) + 1)]
    for name in ("trace", "count", "rank_F", "full", "tight", "inverts"))


def counted(net: Net, k: int) -> Mapping[Expr, object]:
    """L² tr F^g F, its count, L² rank F; as 0 or 1: the condition on ranks, equality, F F^g F = F."""
    inverse, rank_F = net.paper_inverse(), net.rank(net.F)
    trace, again = np.trace(inverse @ net.F), net.F @ inverse @ net.F
    same = (lambda a, b: np.all(a == b)) if net.exact else (lambda a, b: distance(a, b) < 1e-5)
    full = net.rank(net.A(1)) == net.sizes[-1] and net.rank(net.B(net.L)) == net.sizes[0]
    return {TRACES[k]: net.L**2 * trace, FISHER_RANKS[k]: net.L**2 * rank_F, FULL[k]: int(full),
            COUNTS[k]: sum(net.rank(net.A(min(i, j))) * net.rank(net.B(max(i, j)))
                           for i in net.layers for j in net.layers),
            TIGHT[k]: int(same(trace, rank_F)), INVERTS[k]: int(same(again, net.F))}


def trace_values(draw: Draw) -> Mapping[Expr, object]:
    """All architectures, and at the end a wide one with a weight matrix of rank 1."""
    nets = [Net(sizes, draw) for sizes in (*ARCHITECTURES, (2, 2, 2))]
    nets[-1].W[1] = nets[-1].generic(2, 1) @ nets[-1].generic(1, 2)
    return {letter: value for k, net in enumerate(nets) for letter, value in counted(net, k).items()}


TRACE = Theorem(
    name="trace-criterion",
    title="L² tr F^g F = Σ_ij rank A_min(i,j) rank B_max(i,j) ≤ L² rank F, with equality iff rank A_1 = n_L "
          "and "
          "rank B_L = n_0; then, and only then, F F^g F = F",
    equations=("23",),
    given=f"Sizes {', '.join(map(str, ARCHITECTURES))}, and (2, 2, 2) with W_2 of rank 1. "
          "full, tight and inverts are 1 where the condition, equality and F F^g F = F hold, else 0.",
    claims=(*map(eq, TRACES, COUNTS), *map(Le, COUNTS, FISHER_RANKS), *map(eq, TIGHT, FULL),
            *map(eq, INVERTS, FULL)),
    wrong=(eq(TRACES[0], 2 * COUNTS[0]), eq(TRACES[0], FISHER_RANKS[0]), eq(TRACES[-1], FISHER_RANKS[-1]),
           Ne(TRACES[4], FISHER_RANKS[4]), eq(TIGHT[1], TIGHT[4]), eq(INVERTS[0], INVERTS[3])),
    values=trace_values,
    points=True,
    tolerance=1e-5,
    missing={"certificate": "Ranks and traces are not equations between matrix products."},
)

THEOREMS = (PAPER_INVERSE, REFLEXIVE, EQUAL_SHARES, ROW_SUM, KFAC, SCHUR, NOT_MOORE_PENROSE, BOTTLENECK,
            TRACE)
