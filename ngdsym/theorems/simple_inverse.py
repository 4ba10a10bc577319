"""The paper's generalized inverse (23), its row sums (SM 34–37), and why K-FAC is exact up to a factor L."""
from __future__ import annotations

from typing import Mapping

from sympy import Eq, Expr, Identity, Inverse, MatAdd, MatrixSymbol, Ne, Rational, Symbol, Trace

from ngdsym.instance import Draw
from ngdsym.symbols import Pinv
from ngdsym.theorem import eq, COUNTEREXAMPLE, Theorem
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import A, A_, B, B_, C, E, FACTORS, G, GRADIENT, I_d, I_o, P, R, S, Sigma
from ngdsym.theorems.notation import WIDE_LAYER, Z, d, invertible, m, n, o, size

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
    return tuple(eq(block, U) for block in blocks), (eq(Rational(1, L**2) * total, Rational(1, L) * U),)


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
KFAC = Theorem(
    name="kfac-is-L-times",
    title="Inverting only F_ii moves W by Z in every layer, so by L Z: K-FAC is L times the natural gradient",
    equations=("10", "22", "SM 37"),
    given="The diagonal blocks are invertible. V = Λ̃_i⁻¹ G_i Λ_{i-1}⁻¹ solves F_ii V = G_i.",
    assumes=(*WIDE_LAYER, *FACTORS, GRADIENT, invertible(Sigma)),
    claims=(eq(A * V * B, Z),),
    wrong=(eq(A * V * B, 2 * Z), eq(A * V * B, -Z), eq(A * G * B, Z)),
    recipes={R: Pinv(A), S: Pinv(B)},
    scale=1,
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


def inverses(*sizes: int):
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

RANKS = {(side, i): Symbol(f"rank_{side}_{i}") for side in "AB" for i in (1, 2, 3)}


def trace_values(draw: Draw) -> Mapping[Expr, object]:
    """A network that narrows, F and (23), and the ranks of its products."""
    net = Net((3, 2, 1, 2), draw)
    ranks = {RANKS[side, i]: net.rank(getattr(net, side)(i)) for side in "AB" for i in net.layers}
    return {F: net.F, F_g: net.paper_inverse(), RANK_F: net.rank(net.F), **ranks}


RANK_F = Symbol("rank_F")
PAIRS = [(i, j) for i in (1, 2, 3) for j in (1, 2, 3)]
TRACE = Theorem(
    name="trace-criterion",
    title="tr F^g F = L⁻² Σ_ij rank A_min(i,j) rank B_max(i,j), which stays below rank F in a narrowing "
          "network",
    equations=("23",),
    given="Shown for L = 3 and sizes (3, 2, 1, 2). Equality with rank F holds iff rank A_1 = n_L and rank "
          "B_L = n_0.",
    claims=(eq(9 * Trace(F_g * F), sum(RANKS["A", min(p)] * RANKS["B", max(p)] for p in PAIRS)),
            Trace(F_g * F) < RANK_F),
    wrong=(eq(9 * Trace(F_g * F), sum(RANKS["A", max(p)] * RANKS["B", min(p)] for p in PAIRS)),
           eq(3 * Trace(F_g * F), sum(RANKS["A", min(p)] * RANKS["B", max(p)] for p in PAIRS)),
           Trace(F_g * F) >= RANK_F, eq(Trace(F_g * F), RANK_F)),
    values=trace_values,
    points=True,
    missing={"certificate": "Ranks and traces are not equations between matrix products."},
)

THEOREMS = (PAPER_INVERSE, REFLEXIVE, EQUAL_SHARES, ROW_SUM, KFAC, SCHUR, NOT_MOORE_PENROSE, BOTTLENECK,
            TRACE)
