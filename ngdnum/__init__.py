"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

import signal
import sys

if sys.argv[:1] == ["-m"] and "ngdnum" in sys.orig_argv:  # `python -m ngdnum` is importing this
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback until the command takes over

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
from .curvature.factors import Factors, kronecker_factors
from .curvature.inverse import Inverse
from .damping import Damping, Decay, Fixed, LevenbergMarquardt
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
