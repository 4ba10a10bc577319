"""Known preconditioners, each as the formula one would write on a blackboard."""
from __future__ import annotations

from sympy import Identity, sqrt

from ngdsym.rule import Rule
from ngdsym.symbols import G, L, Lambda, Lambda_tilde, lam, m, n

sgd = Rule("sgd", G, "steepest descent", "7")

kronecker = Rule(
    "kronecker",
    (Lambda_tilde + sqrt(lam) * Identity(n)).I * G * (Lambda + sqrt(lam) * Identity(m)).I / L,
    "natural gradient with Kronecker damping",
    "20",
)

ZOO = (sgd, kronecker)
