"""Formulas of the natural gradient in SymPy: derived, proved for all sizes, and compiled to PyTorch.

Everything a user needs is here and in `ngdsym.symbols` (the letters of rules), `ngdsym.zoo` (rules by name),
`ngdsym.theorems` (statements by name) and `ngdsym.dense` (networks of float64 numbers). All other modules are
internal. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngdsym.algebra.explicit import equal
    from ngdsym.algebra.operators import Eigenbasis, Eigenvalues, EntrywisePower, Hadamard, Pinv, Polar, Sign
    from ngdsym.algebra.substitution import SingularPoint
    from ngdsym.algebra.symbols import PD, PSD
    from ngdsym.network.linear_network import LinearNetwork
    from ngdsym.proof.certificate import Certificate
    from ngdsym.proof.counterexample import Counterexample
    from ngdsym.proof.derivation import Derivation, StepRefused
    from ngdsym.proof.existence import exists
    from ngdsym.proof.prover import ProofNotFound, VacuousHypotheses, prove
    from ngdsym.proof.refute import CounterexampleNotFound, refute
    from ngdsym.proof.words import TypeMismatch
    from ngdsym.rules.properties import compare
    from ngdsym.rules.rule import Rule
    from ngdsym.rules.table import Table
    from ngdsym.theorems.catalogue import catalogue
    from ngdsym.theorems.claims import claims
    from ngdsym.theorems.identities import IDENTITIES
    from ngdsym.theorems.theorem import Theorem, eq
    from ngdsym.theorems.verify import verify

HOMES = {
    "algebra.explicit": ("equal",),
    "algebra.substitution": ("SingularPoint",),
    "algebra.operators": ("EntrywisePower", "Eigenbasis", "Eigenvalues", "Hadamard", "Pinv", "Polar", "Sign"),
    "algebra.symbols": ("PD", "PSD"),
    "network.linear_network": ("LinearNetwork",),
    "proof.certificate": ("Certificate",),
    "proof.counterexample": ("Counterexample",),
    "proof.derivation": ("Derivation", "StepRefused"),
    "proof.existence": ("exists",),
    "proof.prover": ("ProofNotFound", "VacuousHypotheses", "prove"),
    "proof.refute": ("CounterexampleNotFound", "refute"),
    "proof.words": ("TypeMismatch",),
    "rules.properties": ("compare",),
    "rules.rule": ("Rule",),
    "rules.table": ("Table",),
    "theorems.catalogue": ("catalogue",),
    "theorems.claims": ("claims",),
    "theorems.identities": ("IDENTITIES",),
    "theorems.theorem": ("Theorem", "eq"),
    "theorems.verify": ("verify",),
}

__all__ = [
    "Certificate",
    "Counterexample",
    "CounterexampleNotFound",
    "Derivation",
    "Eigenbasis",
    "Eigenvalues",
    "EntrywisePower",
    "Hadamard",
    "LinearNetwork",
    "PD",
    "PSD",
    "Pinv",
    "Polar",
    "ProofNotFound",
    "Rule",
    "Sign",
    "SingularPoint",
    "StepRefused",
    "Table",
    "Theorem",
    "TypeMismatch",
    "VacuousHypotheses",
    "IDENTITIES",
    "catalogue",
    "claims",
    "compare",
    "eq",
    "equal",
    "exists",
    "prove",
    "refute",
    "verify",
]


def __getattr__(name: str) -> object:
    for module, names in HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
