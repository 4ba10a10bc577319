"""Step control: from the directions ΔW of a rule to the change of the weights, W ← W + lr · scale · u.

A control is a frozen description (`Control`). What it remembers from step to step, one tensor per layer, is
kept by the optimizer, and replaced only when the step is taken.
"""

from .conjugate_gradient import ConjugateGradient
from .dual import DualConjugateGradient
from .move import Control, Memory, Move, Probe, dot, predicted
from .output_normalised import OutputNormalised
from .plain import Plain
from .quadratic import Quadratic
from .retraction import Retraction
from .trust_region import TrustRegion

__all__ = [
    "ConjugateGradient",
    "Control",
    "DualConjugateGradient",
    "Memory",
    "Move",
    "OutputNormalised",
    "Plain",
    "Probe",
    "Quadratic",
    "Retraction",
    "TrustRegion",
    "dot",
    "predicted",
]
