"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

from .damping import Decay, Fixed, LevenbergMarquardt
from .factors import Refresh, kronecker_factors
from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from .optimizer import NGD
from .step import OutputNormalised, Plain

__all__ = [
    "NGD",
    "Bernoulli",
    "Categorical",
    "Decay",
    "Fixed",
    "Gaussian",
    "LevenbergMarquardt",
    "Likelihood",
    "OutputNormalised",
    "Plain",
    "Refresh",
    "kronecker_factors",
]
