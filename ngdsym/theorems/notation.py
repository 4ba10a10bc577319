"""The letters of the theory, named as in the paper.

`n` is the size of the layer written into, `m` of the layer read from, `o` = n_L of the output, `d` = n_0 of
the input. `P` is Σ̃⁻¹, and per layer `A = A_i`, `B = B_i`, `E = Λ̃_i`, `C = Λ_{i-1}`, `G = G_i`.
"""
from __future__ import annotations

from sympy import Eq, Identity, Inverse, MatMul, MatrixSymbol, Symbol, symbols
from sympy.matrices.expressions.matexpr import MatrixExpr
from sympy.printing.printer import Printer

from ngdsym.algebra.symbols import PD, PSD
from ngdsym.theorems.theorem import eq

n, m, o, d = symbols("n m n_L n_0", integer=True, positive=True)


class Target(MatrixSymbol):
    """The least-squares map W* = ⟨y xᵀ⟩ Σ⁻¹."""

    def _latex(self, printer: Printer) -> str:
        return "W^{*}"


Sigma = PD("Sigma", d, d)
Sigma_tilde = PD("Sigma_tilde", o, o)
P = Inverse(Sigma_tilde)
A = MatrixSymbol("A", o, n)
B = MatrixSymbol("B", m, d)
W = MatrixSymbol("W", o, d)
Wstar = Target("Wstar", o, d)
Z = MatrixSymbol("Z", o, d)
G = MatrixSymbol("G", n, m)
E = PSD("Lambda_tilde", n, n)
C = PSD("Lambda", m, m)
I_o, I_d = Identity(o), Identity(d)
R, S = MatrixSymbol("R", n, o), MatrixSymbol("S", d, m)
WIDE_LAYER = (eq(A * R, I_o), eq(S * B, I_d))
FACTORS = (eq(E, A.T * P * A), eq(C, B * Sigma * B.T))
GRADIENT = eq(G, A.T * P * Z * Sigma * B.T)


def A_(i: object) -> MatrixSymbol:
    """Backward product of layer i, n_L × n_i."""
    return MatrixSymbol(f"A_{i}", o, size(i))


def B_(i: object) -> MatrixSymbol:
    """Forward product below layer i, n_{i-1} × n_0; its rows are called m_i."""
    return MatrixSymbol(f"B_{i}", size(i, "m"), d)


def size(i: object, base: str = "n") -> Symbol:
    """The dimension n_i or m_i."""
    return Symbol(f"{base}_{i}", integer=True, positive=True)


# Two neighbouring layers i and j = i + 1: A_i = A_j W_j and B_j = W_i B_i.
n_i, n_j, m_i = size("i"), size("j"), size("i", "m")
A_i, A_j, B_i = A_("i"), A_("j"), B_("i")
B_j = MatrixSymbol("B_j", n_i, d)
W_i, W_j = MatrixSymbol("W_i", n_i, m_i), MatrixSymbol("W_j", n_j, n_i)
NEIGHBOURS = (eq(A_i, A_j * W_j), eq(B_j, W_i * B_i))


def invertible(X: MatrixExpr) -> Eq:
    """The assumption `X X⁻¹ = I`, kept from cancelling."""
    return eq(MatMul(X, Inverse(X), evaluate=False), Identity(X.rows))
