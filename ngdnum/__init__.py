"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

from .control import (
    ConjugateGradient,
    Control,
    DualConjugateGradient,
    ExactLineSearch,
    FixedStep,
    OutputNormalised,
    Retraction,
    TrustRegion,
)
from .damping import Damping, Decay, Fixed, LevenbergMarquardt
from .factors import Factors, kronecker_factors
from .inverse import Inverse
from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from .optimizer import NGD
from .stack import NotFinite
from .sufficient_statistics import SufficientStatistics

__all__ = [
    "NGD",
    "Bernoulli",
    "Categorical",
    "ConjugateGradient",
    "Control",
    "Damping",
    "Decay",
    "DualConjugateGradient",
    "ExactLineSearch",
    "Factors",
    "Fixed",
    "FixedStep",
    "Gaussian",
    "Inverse",
    "LevenbergMarquardt",
    "Likelihood",
    "NotFinite",
    "OutputNormalised",
    "Retraction",
    "SufficientStatistics",
    "TrustRegion",
    "kronecker_factors",
]
