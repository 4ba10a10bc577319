"""Known preconditioners, each as the formula one would write on a blackboard."""
from __future__ import annotations

from sympy import Identity, MatrixSymbol, Rational, Symbol, Trace, sqrt

from ngdsym.rules.rule import Rule, Update
from ngdsym.algebra.symbols import PD, PSD, G, G_0, L, Lambda, Lambda_tilde, Pinv, Polar, gamma, k, lam, m, n, n_0, n_L

I_n, I_m = Identity(n), Identity(m)
half, quarter = Rational(1, 2), Rational(1, 4)

sgd = Rule("sgd", G, "steepest descent", "Eq. 7")

# --- the paper's rule -----------------------------------------------------------------------------

natural = Rule(
    "natural",
    PD("Lambda_tilde", n, n).I * G * PD("Lambda", m, m).I / L,
    "natural gradient of a deep linear network", "Eq. 10",
)
kronecker = Rule(
    "kronecker",
    (Lambda_tilde + sqrt(lam) * I_n).I * G * (Lambda + sqrt(lam) * I_m).I / L,
    "natural gradient with Kronecker damping", "Eq. 20",
)
pi = sqrt((Trace(Lambda) / m) / (Trace(Lambda_tilde) / n))
c_tilde, c = sqrt(lam) / pi, pi * sqrt(lam)
balanced = (Lambda_tilde + c_tilde * I_n).I * G * (Lambda + c * I_m).I
pi_damped = Rule(
    "pi_damped", balanced / L,
    "natural gradient with damping shared between the factors", "Eq. 20; Martens & Grosse 2015",
)
pi_damped_cached = Rule(
    "pi_damped_cached", balanced / L,
    "natural gradient with damping shared between the factors, for inverses that serve many steps",
    "Eq. 20; Martens & Grosse 2015", reuse=20,
)
pi_damped_leading = Rule(
    "pi_damped_leading", balanced / L,
    "natural gradient with damping shared between the factors, by the leading eigenpairs of wide factors",
    "Eq. 20; Martens & Grosse 2015; Halko et al. 2011", leading=True,
)

A, B = MatrixSymbol("A", n_L, n), MatrixSymbol("B", m, n_0)
D, Sigma = MatrixSymbol("D", n_L, n_0), PD("Sigma", n_0, n_0)
pseudo_backprop = Rule(
    "pseudo_backprop", Pinv(A) * D * Sigma.I * Pinv(B) / L,
    "natural gradient with errors sent back through pseudo-inverses", "Eq. 16", gradient=D,
)

# --- others ---------------------------------------------------------------------------------------

kfac = Rule("kfac", balanced, "K-FAC", "Martens & Grosse 2015")
whitening = Rule(
    "whitening", (Lambda_tilde + lam * I_n)**-half * G * (Lambda + lam * I_m)**-half,
    "descent in whitened activations and errors", "Desjardins et al. 2015",
)
foof = Rule("foof", G * (Lambda + lam * I_m).I, "input-only natural gradient", "Heskes 2000; Benzing 2022")

S_tilde, S = PSD("S_tilde", n, n), PSD("S", m, m)
shampoo = Rule(
    "shampoo", (S_tilde + lam * I_n)**-quarter * G * (S + lam * I_m)**-quarter, "Shampoo", "Gupta et al. 2018"
)
muon = Rule("muon", Polar(G), "Muon without momentum", "Jordan et al. 2024")

root_tilde, root = (Lambda_tilde + lam * I_n)**-half, (Lambda + lam * I_m)**-half
fisher_muon = Rule(
    "fisher_muon", root_tilde * Polar(root_tilde * G * root) * root,
    "Muon in the metric of the factors: whiten, orthogonalise, unwhiten",
)

C, eps = PD("C", m, m), Rational(3, 10)
left, right = (Lambda_tilde + c_tilde * I_n)**-half, (Lambda + c * I_m)**-half
gram = (left * G_0 * right).T * left * G_0 * right
fisher_shampoo = Rule(
    "fisher_shampoo", left**2 * G * right * (C + eps * I_m)**-half * right / L,
    "one-sided Shampoo in the metric of the factors: whiten, equalise, unwhiten, by leading eigenpairs",
    "Gupta et al. 2018; Jordan et al. 2024", leading=True,
    memory=(C, 4 * C / 5 + (1 - eps) * m * gram / (5 * Trace(gram))),
)

K_tilde, K = PD("K_tilde", n, n), PD("K", m, m)
running = Rule("running", K_tilde * G * K / L, "natural gradient with running inverses", "Eq. 10")

# --- not a rule: how running inverses follow their factors ----------------------------------------

X, eta = MatrixSymbol("X", k, m), Symbol("eta", positive=True)
woodbury = Update(
    "woodbury", (gamma * K.I + eta * X.T * X).I,
    "inverse of γ K⁻¹ + η XᵀX (Woodbury 1950; for one row Sherman & Morrison 1950)",
)

ZOO = (
    sgd, natural, kronecker, pi_damped, pi_damped_cached, pi_damped_leading, kfac, whitening, foof,
    pseudo_backprop, shampoo, muon, fisher_muon, fisher_shampoo, running,
)
UPDATES = (woodbury,)
