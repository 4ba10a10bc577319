"""Known preconditioners, each as the formula one would write on a blackboard."""
from __future__ import annotations

from sympy import Identity, MatrixSymbol, OneMatrix, Rational, Symbol, Trace, sqrt
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators import Eigenbasis, Eigenvalues, EntrywisePower, Hadamard, Maximum, Sign
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

# --- of entries, and of entries in eigenbases ------------------------------------------------------

ones = OneMatrix(n, m)


def divided(matrix: MatrixExpr, by: MatrixExpr) -> MatrixExpr:
    """Entries of `matrix` over those of `by`."""
    return Hadamard(matrix, EntrywisePower(by, -1))


sign_descent = Rule("sign_descent", Sign(G), "descent along signs", "Bernstein et al. 2018")

U, U_0, U_F, U_S, U_W = (MatrixSymbol(name, n, m) for name in ("U", "U_0", "U_F", "U_S", "U_W"))
adagrad = Rule(
    "adagrad", divided(G, EntrywisePower(U, half) + lam * ones),
    "AdaGrad; with running means for G and U, RMSProp and Adam",
    "Duchi et al. 2011; Tieleman & Hinton 2012; Kingma & Ba 2015",
)
amsgrad = Rule(
    "amsgrad", divided(G, EntrywisePower(Maximum(U_0, U), half) + lam * ones),
    "AMSGrad, with running means for G and U", "Reddi, Kale & Kumar 2018",
)
adadelta = Rule(
    "adadelta", Hadamard(G, Hadamard(EntrywisePower(U_W + lam * ones, half), EntrywisePower(U + lam * ones, -half))),
    "AdaDelta, with a running mean for U: steps have the units of weights", "Zeiler 2012",
)
left_basis, right_basis = Eigenbasis(Lambda_tilde), Eigenbasis(Lambda)
rotated = left_basis.T * G * right_basis
ekfac = Rule(
    "ekfac", left_basis * divided(rotated, U_F + lam * ones) * right_basis.T,
    "K-FAC with its eigenvalues measured in its eigenbasis", "George et al. 2018",
)
tikhonov = Rule(
    "tikhonov",
    left_basis * divided(rotated, Eigenvalues(Lambda_tilde) * Eigenvalues(Lambda).T + lam * ones) * right_basis.T / L,
    "natural gradient with λ added to the Kronecker product of the factors", "Martens & Grosse 2015",
)
left_basis_S, right_basis_S = Eigenbasis(S_tilde), Eigenbasis(S)
soap = Rule(
    "soap",
    left_basis_S
    * divided(left_basis_S.T * G * right_basis_S, EntrywisePower(U_S, half) + lam * ones)
    * right_basis_S.T,
    "SOAP without momentum: Adam in the eigenbases of Shampoo", "Vyas et al. 2024",
)
splus = Rule(
    "splus", left_basis_S * Sign(left_basis_S.T * G * right_basis_S) * right_basis_S.T,
    "SPlus without averages: descent along signs in the eigenbases of Shampoo", "Frans et al. 2025",
)
asgo = Rule("asgo", G * (S + lam * I_m)**-half, "one-sided Shampoo", "An et al. 2025")
newton_muon = Rule("newton_muon", Polar(G * (Lambda + lam * I_m).I), "Muon of the input-only natural gradient",
                   "Du & Su 2026")
fismo_left, fismo_right = (S_tilde + lam * I_n)**-half, (S + lam * I_m)**-half
fismo = Rule(
    "fismo", fismo_left * Polar(fismo_left * G * fismo_right) * fismo_right,
    "FISMO without normalisation: Muon in the metric of gradients", "Xu, Yan & Zhang 2026",
)
mousse_left, mousse_right = (S_tilde + lam * I_n)**(-half * quarter), (S + lam * I_m)**(-half * quarter)
mousse = Rule(
    "mousse", mousse_left * Polar(mousse_left * G * mousse_right) * mousse_right,
    "Mousse without grafting: FISMO with Shampoo's eighth roots", "Zhang et al. 2026",
)
p = Symbol("p", positive=True)
pmuon = Rule(
    "pmuon", Polar((S_tilde + lam * I_n)**-p * G * (S + lam * I_m)**-p),
    "PMuon: Muon of a gradient preconditioned on both sides", "modded-nanogpt, track 3", constants=((p, half),),
)

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

FOR_NGD = (
    sgd, natural, kronecker, pi_damped, kfac, whitening, foof, pseudo_backprop, muon, fisher_muon, fisher_shampoo,
    running,
)
"""Rules that are written for the optimizer."""
ZOO = (
    *FOR_NGD, shampoo, asgo, newton_muon, fismo, mousse, pmuon, sign_descent, adagrad, amsgrad, adadelta, ekfac, soap,
    splus, tikhonov,
)
"""All rules; the optimizer takes the `emit()` of one that is not written for it, if it knows its quantities."""
UPDATES = (brought_inverse, source_map, woodbury)
