"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

import signal
import sys

if sys.argv[:1] == ["-m"] and "ngdnum" in sys.orig_argv:  # `python -m ngdnum` is importing this
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback until the command takes over

from .control import (
    ConjugateGradient,
    DualConjugateGradient,
    OutputNormalised,
    Plain,
    Quadratic,
    Retraction,
    TrustRegion,
)
from .damping import Decay, Fixed, LevenbergMarquardt
from .factors import Factors, kronecker_factors
from .inverse import Inverse
from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from .optimizer import NGD
from .statistics import Statistics

__all__ = [
    "NGD",
    "Bernoulli",
    "Categorical",
    "ConjugateGradient",
    "Decay",
    "DualConjugateGradient",
    "Factors",
    "Fixed",
    "Gaussian",
    "Inverse",
    "LevenbergMarquardt",
    "Likelihood",
    "OutputNormalised",
    "Plain",
    "Quadratic",
    "Retraction",
    "Statistics",
    "TrustRegion",
    "kronecker_factors",
]
