"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

from .damping import Decay, Fixed, LevenbergMarquardt
from .factors import Factors, kronecker_factors
from .inverse import Inverse
from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from .optimizer import NGD
from .step import OutputNormalised, Plain

__all__ = [
    "NGD",
    "Bernoulli",
    "Categorical",
    "Decay",
    "Factors",
    "Fixed",
    "Gaussian",
    "Inverse",
    "LevenbergMarquardt",
    "Likelihood",
    "OutputNormalised",
    "Plain",
    "kronecker_factors",
]
