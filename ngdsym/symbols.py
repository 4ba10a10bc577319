"""The letters that rules are written in, and the types that say what is assumed of them."""
from ngdsym.algebra.symbols import (
                                    G_0,
                                    PD,
                                    PSD,
                                    G,
                                    L,
                                    Lambda,
                                    Lambda_tilde,
                                    Pinv,
                                    Polar,
                                    Unvec,
                                    gamma,
                                    k,
                                    lam,
                                    m,
                                    n,
                                    n_0,
                                    n_L,
                                    positive,
)

__all__ = ["PD", "PSD", "G", "G_0", "L", "Lambda", "Lambda_tilde", "Pinv", "Polar", "Unvec", "gamma", "k", "lam", "m",
           "n", "n_0", "n_L", "positive"]
