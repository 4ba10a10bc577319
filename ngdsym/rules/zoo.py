"""Known preconditioners, each as the formula one would write on a blackboard."""
from __future__ import annotations

from sympy import Identity, MatrixSymbol, Rational, Symbol, Trace, sqrt

from ngdsym.algebra.symbols import G_0, PD, PSD, G, L, Lambda, Lambda_tilde, Pinv, Polar, gamma, k, lam, m, n, n_0, n_L
from ngdsym.rules.rule import Rule, Update

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

C, beta, eps = PD("C", m, m), Symbol("beta", positive=True), Symbol("epsilon", positive=True)
left, right = (Lambda_tilde + c_tilde * I_n)**-half, (Lambda + c * I_m)**-half
gram = (left * G_0 * right).T * left * G_0 * right
fisher_shampoo = Rule(
    "fisher_shampoo", left**2 * G * right * (C + eps * I_m)**-half * right / L,
    "one-sided Shampoo in the metric of the factors: whiten, equalise, unwhiten",
    "Gupta et al. 2018; Jordan et al. 2024", solver="low_rank",
    memory=(C, beta * C + (1 - beta) * (1 - eps) * m * gram / Trace(gram)),
    constants=((beta, Rational(4, 5)), (eps, Rational(3, 10))),
)

K_tilde, K = PD("K_tilde", n, n), PD("K", m, m)
running = Rule("running", K_tilde * G * K / L, "natural gradient with running inverses", "Eq. 10")

# --- not a rule: how running inverses follow their factors ----------------------------------------

X, eta = MatrixSymbol("X", k, m), Symbol("eta", positive=True)
woodbury = Update(
    "woodbury_update", (gamma * K.I + eta * X.T * X).I,
    "inverse of γ K⁻¹ + η XᵀX (Woodbury 1950; for one row Sherman & Morrison 1950)",
)

# --- not rules: what loops over the layers of a network use ------------------------------------------

V, P = MatrixSymbol("V", n, k), PSD("P", k, k)
brought_inverse = Update("brought_inverse", V * P * V.T, "inverse of the factor of one layer, brought to another")
source_map = Update(
    "source_map", Pinv(PSD("Lambda_tilde", n_L, n_L)) * Pinv(A).T,
    "what turns the gradient of the first layer into D of Eq. 16, if rank A = n_L",
)

ZOO = (
    sgd, natural, kronecker, pi_damped, kfac, whitening, foof, pseudo_backprop, shampoo,
    muon, fisher_muon, fisher_shampoo, running,
)
UPDATES = (brought_inverse, source_map, woodbury)
