"""Step control: from the directions ΔW of a rule to the change of the weights, W ← W + lr · scale · u.

A control is a frozen description (`Control`). What it remembers from step to step, one velocity
per layer, is kept by the blocks, and replaced only when the step is taken.
"""

from ..schedule import Needs, NeedsDual, NeedsFisher
from .conjugate_gradient import ConjugateGradient
from .control import Control, Step, StepContext, dot, judged
from .dual import DualConjugateGradient
from .exact_line_search import ExactLineSearch
from .fixed_step import FixedStep
from .output_normalised import OutputNormalised
from .retraction import Retraction
from .trust_region import TrustRegion

__all__ = [
    "ConjugateGradient",
    "Control",
    "DualConjugateGradient",
    "ExactLineSearch",
    "FixedStep",
    "Needs",
    "NeedsDual",
    "NeedsFisher",
    "OutputNormalised",
    "Retraction",
    "Step",
    "StepContext",
    "TrustRegion",
    "dot",
    "judged",
]
