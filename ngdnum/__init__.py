"""Natural gradient descent for PyTorch, with preconditioners emitted by `ngdsym`."""

from .damping import Fixed, LevenbergMarquardt
from .factors import kronecker_factors
from .likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from .optimizer import NGD

__all__ = [
    "NGD",
    "Bernoulli",
    "Categorical",
    "Fixed",
    "Gaussian",
    "LevenbergMarquardt",
    "Likelihood",
    "kronecker_factors",
]
