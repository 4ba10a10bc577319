"""Likelihoods q(y | f) of a target y given the model's output f.

One object serves three purposes: it is the training loss −⟨log q⟩ (without the additive constant), it draws
the targets from which the Fisher is estimated, and it knows a square root of the Fisher of the outputs, from
which the Kronecker factors are computed exactly.

Layout everywhere: outputs are `[M, n]`, one row per example, or `[M, …, n]`, one per position of an example: all
axes but the last count examples. Scores ∂ log q/∂f are `[M, n]`; a square root of the output Fisher is
`[R, M, n]`, R directions s_r per example with Σ_r s_r s_rᵀ = ⟨(∂ log q/∂f)(∂ log q/∂f)ᵀ⟩.
"""

from .bernoulli import Bernoulli
from .categorical import Categorical
from .density import Density, check_likelihood, fisher_product, sampled_score, score
from .gaussian import Gaussian
from .likelihood import Likelihood

__all__ = [
    "Bernoulli",
    "Categorical",
    "Density",
    "Gaussian",
    "Likelihood",
    "check_likelihood",
    "fisher_product",
    "sampled_score",
    "score",
]
