"""The letters of the theory, named as in the paper.

`n` is the size of the layer written into, `m` of the layer read from, `o` = n_L of the output, `d` = n_0 of the input.
`P` is Σ̃⁻¹, and per layer `A = A_i`, `B = B_i`, `E = Λ̃_i`, `C = Λ_{i-1}`, `G = G_i`.
"""
from __future__ import annotations

from sympy import Eq, Identity, Inverse, MatMul, MatrixSymbol, symbols
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.symbols import PD, PSD

n, m, o, d = symbols("n m n_L n_0", integer=True, positive=True)


class Target(MatrixSymbol):
    """The least-squares map W* = ⟨y xᵀ⟩ Σ⁻¹."""

    def _latex(self, printer) -> str:
        return "W^{*}"


Sigma = PD("Sigma", d, d)
Sigma_tilde = PD("Sigma_tilde", o, o)
P = Inverse(Sigma_tilde)
A = MatrixSymbol("A", o, n)
B = MatrixSymbol("B", m, d)
W = MatrixSymbol("W", o, d)
W_i = MatrixSymbol("W_i", n, m)
Wstar = Target("Wstar", o, d)
Z = MatrixSymbol("Z", o, d)
G = MatrixSymbol("G", n, m)
E = PSD("Lambda_tilde", n, n)
C = PSD("Lambda", m, m)
I_o, I_d = Identity(o), Identity(d)


def invertible(X: MatrixExpr) -> Eq:
    """The assumption `X X⁻¹ = I`, kept from cancelling."""
    return Eq(MatMul(X, Inverse(X), evaluate=False), Identity(X.rows), evaluate=False)
