"""One layer used at several places of a linear network: when K-FAC's two ways to share are exact."""
from __future__ import annotations

from sympy import MatrixSymbol, Rational

from ngdsym.algebra.symbols import PD, PSD
from ngdsym.theorems.notation import P, d, m, n, o
from ngdsym.theorems.theorem import Theorem, eq

A, V = MatrixSymbol("A", o, n), MatrixSymbol("V", n, m)
B_1, B_2, Sigma = MatrixSymbol("B_1", m, d), MatrixSymbol("B_2", m, d), PD("Sigma", d, d)
E, C_1, C_2, C_mean = PSD("Lambda_tilde", n, n), PSD("Lambda_1", m, m), PSD("Lambda_2", m, m), PSD("Lambda_mean", m, m)
half = Rational(1, 2)
EACH = (eq(E, A.T * P * A), eq(C_1, B_1 * Sigma * B_1.T), eq(C_2, B_2 * Sigma * B_2.T))
WHERE = ("Two places, s = 1, 2, with the inputs x_s = B_s x and the same layers A above. The Fisher matrix acts on a "
         "change V "
         "of the shared weights. Eschenhagen et al. 2023 (arXiv 2311.00636). ")

EXPAND = Theorem(
    name="sharing-expand",
    title="Outputs with noise of their own at every place: F = Λ̃ ⊗ sums of ⟨x_s x_sᵀ⟩, the factors of K-FAC-expand",
    equations=("22",),
    given=WHERE + "Output s is A V x_s plus its own noise, so the scores of the places are independent and their "
                  "covariances "
                  "add: Σ_s Aᵀ Σ̃⁻¹ A V ⟨x_s x_sᵀ⟩.",
    assumes=EACH,
    claims=(eq(A.T * P * (A * V * B_1) * Sigma * B_1.T + A.T * P * (A * V * B_2) * Sigma * B_2.T,
               E * V * (C_1 + C_2)),),
    wrong=(eq(A.T * P * (A * V * B_1) * Sigma * B_1.T + A.T * P * (A * V * B_2) * Sigma * B_2.T, E * V * C_1),
           eq(A.T * P * (A * V * B_1) * Sigma * B_1.T + A.T * P * (A * V * B_2) * Sigma * B_2.T, E * V * (C_1 - C_2)),
           eq(A.T * P * (A * V * B_1) * Sigma * B_1.T + A.T * P * (A * V * B_2) * Sigma * B_2.T,
              E * V * (B_1 + B_2) * Sigma * (B_1 + B_2).T)),
)

MEAN = half * (B_1 + B_2)
SEEN = A * V * MEAN
REDUCE = Theorem(
    name="sharing-reduce",
    title="One output, averaged over the places: F = Λ̃ ⊗ ⟨x̄ x̄ᵀ⟩, the factors of K-FAC-reduce; expand leaves out the "
          "covariances between places",
    equations=("22",),
    given=WHERE + "The output is the mean of A V x_s, with x̄ = (x_1 + x_2)/2. Second claim: what expand's factor, "
                  "the mean of ⟨x_s x_sᵀ⟩, has too much is ¼ ⟨(x_1 − x_2)(x_1 − x_2)ᵀ⟩.",
    assumes=(*EACH, eq(C_mean, MEAN * Sigma * MEAN.T)),
    claims=(eq(A.T * P * SEEN * Sigma * MEAN.T, E * V * C_mean),
            eq(half * (C_1 + C_2), C_mean + half * (B_1 - B_2) * Sigma * (half * (B_1 - B_2)).T)),
    wrong=(eq(A.T * P * SEEN * Sigma * MEAN.T, E * V * half * (C_1 + C_2)), eq(half * (C_1 + C_2), C_mean),
           eq(A.T * P * SEEN * Sigma * MEAN.T, -E * V * C_mean)),
)

THEOREMS = (EXPAND, REDUCE)
