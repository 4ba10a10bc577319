"""The rules that are compiled to `ngdnum.rules`, by name, and the letters of their own."""
from ngdsym.rules.zoo import (UPDATES, ZOO, C, I_m, I_n, eps, fisher_muon, fisher_shampoo, foof, half, kfac, kronecker,
                              muon, natural, pi_damped, pseudo_backprop, running,
                              sgd, shampoo, whitening, woodbury)

__all__ = ["UPDATES", "ZOO", "C", "I_m", "I_n", "eps", "fisher_muon", "fisher_shampoo", "foof", "half", "kfac",
           "kronecker", "muon", "natural", "pi_damped", "pseudo_backprop",
           "running", "sgd", "shampoo", "whitening", "woodbury"]
