"""The natural gradient of any deep linear network: the residual, projected on the tangent space."""
from __future__ import annotations

from collections.abc import Mapping

from sympy import Expr, Identity, MatAdd, MatMul, MatrixSymbol, Symbol

from ngdsym.algebra.instance import Draw
from ngdsym.algebra.symbols import Pinv
from ngdsym.theorems.dense import Net
from ngdsym.theorems.notation import P, Sigma, Z, d, o, size
from ngdsym.theorems.theorem import Theorem, eq

a, b = MatrixSymbol("P_a", o, o), MatrixSymbol("P_b", d, d)
k, l, r = size("k"), size("l"), Symbol("r", integer=True, positive=True)
A, X, B = MatrixSymbol("A", o, k), MatrixSymbol("X", k, l), MatrixSymbol("B", l, d)
Left, Right = MatrixSymbol("U", o, r), MatrixSymbol("V", r, d)
PROJECT = {a: Left * Pinv(Left.T * P * Left) * Left.T * P,
           b: Sigma * Right.T * Pinv(Right * Sigma * Right.T) * Right}
SIZES = {o: 2, d: 2, r: 1, k: 1, l: 1}


def tangent(Z: Expr) -> Expr:
    """P_a Z + Z P_b − P_a Z P_b."""
    return a * Z + Z * b - a * Z * b


FIXES = Theorem(
    name="tangent-fixes",
    title="P_a Z + Z P_b − P_a Z P_b leaves every change A_j X B_j of W alone",
    equations=("17",),
    given="Generic weights: layers behind the narrowest have range(A) = range(W), so P_a A = A; "
          "those before it have B P_b = B.",
    assumes=(eq(a * A, A), eq(B * b, B)),
    claims=(eq(tangent(A * X * MatrixSymbol("B_0", l, d)), A * X * MatrixSymbol("B_0", l, d)),
            eq(tangent(MatrixSymbol("A_0", o, k) * X * B), MatrixSymbol("A_0", o, k) * X * B)),
    wrong=(eq(tangent(A * X * MatrixSymbol("B_0", l, d)), -A * X * MatrixSymbol("B_0", l, d)),
           eq(a * A * X * MatrixSymbol("B_0", l, d) * b, A * X * MatrixSymbol("B_0", l, d)),
           eq(a * Z + Z * b, a * Z * b), eq(tangent(Z), Z)),
    recipes={**PROJECT, A: Left * MatrixSymbol("U_0", r, k), B: MatrixSymbol("V_0", l, r) * Right},
    sizes=SIZES,
    points=True,
)

PROJECTION = Theorem(
    name="tangent-projection",
    title="It is a projection, self-adjoint in the Fisher metric, so it is the natural gradient of W",
    equations=("4",),
    given="P_a, P_b are the orthogonal projectors in the metrics Σ̃⁻¹ and Σ. ⟨Y, Z⟩ = tr Yᵀ Σ̃⁻¹ Z Σ.",
    assumes=(eq(a * a, a), eq(b * b, b), eq((P * a).T, P * a), eq((b * Sigma).T, b * Sigma)),
    claims=(eq(tangent(tangent(Z)), tangent(Z)),
            eq(P * tangent(Z) * Sigma,
               a.T * P * Z * Sigma + P * Z * Sigma * b.T - a.T * P * Z * Sigma * b.T)),
    wrong=(eq(tangent(tangent(Z)), 2 * tangent(Z)), eq(tangent(Z), a * Z * b),
           eq(P * tangent(Z) * Sigma, a * P * Z * Sigma + P * Z * Sigma * b - a * P * Z * Sigma * b),
           eq((a * Z + Z * b) * b, a * Z + Z * b)),
    recipes=PROJECT,
    sizes=SIZES,
    points=True,
)

FULL = Theorem(
    name="tangent-full",
    title="dW/dt = Z when the narrowest layer is the input or the output",
    equations=("18",),
    given="Then P_a = I (W has full row rank: P_a fixes it and W has a right inverse), or likewise P_b = I.",
    assumes=(eq(a * MatrixSymbol("W", o, d), MatrixSymbol("W", o, d)),
             eq(MatrixSymbol("W", o, d) * MatrixSymbol("R", d, o), Identity(o))),
    claims=(eq(tangent(Z), Z), eq(a, Identity(o))),
    wrong=(eq(tangent(Z), -Z), eq(a * Z * b, Z), eq(tangent(Z), 2 * Z), eq(a, 2 * Identity(o))),
    recipes={**PROJECT, MatrixSymbol("W", o, d): Left * Right, MatrixSymbol("R", d, o): Pinv(Left * Right)},
    sizes={o: 2, r: 2, d: 3},
    points=True,
)

Q, C = MatrixSymbol("K", k, o), MatrixSymbol("A_i", o, l)
NESTED = Theorem(
    name="nested-projectors",
    title="range(A_i) ⊆ range(A_j) for i ≤ j: P_i P_j = P_j P_i = P_i",
    equations=("19",),
    given="A_i = A_j V. K, H are Σ̃⁻¹-adjoint inverses, so P_j = A_j K and P_i = A_i H.",
    assumes=(eq(C, A * X), eq(A * Q * A, A), eq((P * A * Q).T, P * A * Q),
             eq(C * MatrixSymbol("H", l, o) * C, C), eq((P * C * MatrixSymbol("H", l, o)).T,
                                                        P * C * MatrixSymbol("H", l, o))),
    claims=(eq(C * MatrixSymbol("H", l, o) * A * Q, C * MatrixSymbol("H", l, o)),
            eq(A * Q * C * MatrixSymbol("H", l, o), C * MatrixSymbol("H", l, o))),
    wrong=(eq(C * MatrixSymbol("H", l, o) * A * Q, A * Q),
           eq(A * Q * C * MatrixSymbol("H", l, o), -C * MatrixSymbol("H", l, o)),
           eq(A * Q, (A * Q).T)),
    recipes={Q: Pinv(A.T * P * A) * A.T * P, MatrixSymbol("H", l, o): Pinv(C.T * P * C) * C.T * P},
    sizes={o: 3, k: 2, l: 1},
    points=True,
)

p, q, s, h, Sh = (MatrixSymbol(name, *shape) for name, shape in
                  (("P_L", (o, o)), ("P_M", (o, o)), ("Q_M", (d, d)), ("h", (o, d)), ("S_h", (o, d))))


def staircase(L: int) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Σ P_i h Q_i − Σ P_i h Q_{i+1} for h = A_j X B_j in the middle layer j of L."""
    ps, qs = ([MatrixSymbol(f"{name}_{i}", dim, dim) for i in range(1, L + 1)] for name,
              dim in (("P", o), ("Q", d)))
    j = (L + 1) // 2
    fixed = [eq(ps[i] * A, A) for i in range(j - 1, L)] + [eq(B * qs[i], B) for i in range(j)]
    terms = [MatMul(ps[i], A, X, B, qs[i]) for i in range(L)]
    terms += [MatMul(-1, ps[i], A, X, B, qs[i + 1]) for i in range(L - 1)]
    return tuple(fixed), (eq(MatAdd(*terms) if L > 1 else terms[0], A * X * B),)


COMPLEMENT = (Identity(o) - PROJECT[a]) * MatrixSymbol("U_1", o, r)
RANK_ONE = (Identity(o) - PROJECT[a]) * COMPLEMENT * Pinv(COMPLEMENT)
STAIRCASE = Theorem(
    name="staircase",
    title="For any weights, also rank-deficient: Σ_i P_i^a Z P_i^b − Σ_i P_i^a Z P_{i+1}^b fixes every A_j "
          "X B_j",
    equations=("17", "19"),
    given="h = A_j X B_j, S_h the sum up to layer L, M = L + 1. First claim: the step when j ≤ L (P_L h = "
          "P_M h = h). "
          "Second: the step when j = M, where all terms but P_L h cancel.",
    assumes=(eq(q * h, h), eq(h * s, h), eq(p * A, A), eq(q * A, A)),
    claims=(eq(A * X * B + q * A * X * B * s - p * A * X * B * s, A * X * B),
            eq(p * h + q * h * s - p * h * s, h)),
    wrong=(eq(A * X * B + q * A * X * B * s + p * A * X * B * s, A * X * B), eq(p * h + q * h * s, h),
           eq(p * h - q * h * s + p * h * s, h)),
    recipes={p: PROJECT[a], q: PROJECT[a] + RANK_ONE * (Identity(o) - PROJECT[a]), s: PROJECT[b],
             h: q * MatrixSymbol("h_0", o, d) * s, A: p * MatrixSymbol("A_0", o, k)},
    sizes={**SIZES, o: 3},
    points=True,
    instances=staircase,
)

EXACT = MatrixSymbol("dW", o, d)
Pa, Pb = ([MatrixSymbol(f"P_{i}", o, o) for i in (1, 2, 3)],
          [MatrixSymbol(f"Q_{i}", d, d) for i in (1, 2, 3)])


def dense(draw: Draw) -> Mapping[Expr, object]:
    """−J F⁺ ∇ and the layers' projectors, one weight matrix being rank-deficient."""
    net = Net((3, 2, 4, 3), draw)
    net.W[1] = net.generic(4, 1) @ net.generic(1, 2)
    left = [net.A(i) @ net.pinv(net.error_covariance(i)) @ net.A(i).T @ net.P for i in net.layers]
    right = [net.Sigma @ net.B(i).T @ net.pinv(net.input_covariance(i)) @ net.B(i) for i in net.layers]
    return {EXACT: net.exact_flow(), Z: net.Z, **dict(zip(Pa, left)), **dict(zip(Pb, right))}


def stairs(sign: int, shift: int) -> Expr:
    """The staircase of three layers, its second sum with a sign and a shift of the right projector."""
    steps = [Pa[i] * Z * Pb[i + shift] for i in range(2)]
    return MatAdd(*(Pa[i] * Z * Pb[i] for i in range(3)), *(sign * step for step in steps))


STAIRCASE_FLOW = Theorem(
    name="staircase-flow",
    title="The staircase of the residual is the flow under −F⁺∇",
    equations=("4", "17"),
    given="Sizes (3, 2, 4, 3), W_2 of rank 1; F formed in full and pseudo-inverted.",
    claims=(eq(EXACT, stairs(-1, 1)),),
    wrong=(eq(EXACT, stairs(1, 1)), eq(EXACT, stairs(-1, 0)), eq(EXACT, -stairs(-1, 1)), eq(EXACT, Z)),
    values=dense,
    points=True,
    missing={"certificate": "The pseudo-inverse of all of F is no word in one layer's letters; staircase is "
                            "the proof."},
)

THEOREMS = (FIXES, PROJECTION, FULL, NESTED, STAIRCASE, STAIRCASE_FLOW)
