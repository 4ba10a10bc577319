"""All statements, one file per section of the theory; each file reads beside the paper."""
from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module

from ngdsym.theorems.theorem import Theorem

SECTIONS = (
    "foundations", "natural_gradient", "moore_penrose", "generalized_inverse", "gradient", "fisher",
    "simple_inverse", "flow", "pseudo_inverse_flow", "exact_flow", "late_rate", "exact_rule", "existence",
    "discretization", "equivariance", "equalised", "damping", "running_inverses", "biases", "softmax", "nonlinear",
    "gradient_descent_flow", "imbalance", "block_diagonal", "conditioning", "scaled_descent", "sample_space",
    "damped_step", "weight_sharing", "muon_flow",
)


class UnknownTheorem(KeyError):
    """No theorem has this name; the message lists similar ones."""

    def __str__(self) -> str:
        return self.args[0]


def theorems(names: Iterable[str] | None = None) -> dict[str, Theorem]:
    """Theorems by name, in the order of the sections; all of them, or those asked for.

    Raises
    ------
    UnknownTheorem
        A name that no theorem has.

    Examples
    --------
    >>> print(theorems(["layer-flow"])["layer-flow"].title)
    Each layer moves W by Z/L: A_i Λ̃_i⁺ G_i Λ_{i-1}⁺ B_i = W* − W
    """
    known = {t.name: t for section in SECTIONS for t in import_module(f"{__name__}.{section}").THEOREMS}
    if not names:
        return known
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=5, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "python -m ngdsym verify lists all names"
            raise UnknownTheorem(f"there is no theorem {name!r}; {hint}")
    return {name: known[name] for name in names}
