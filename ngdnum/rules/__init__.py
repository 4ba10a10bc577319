"""Learning rules: what was emitted, the loops over layers, and the linear algebra that both are built from.

`layer`, `control` and `registry` are written by `python -m ngdsym emit`; `linalg`, `network` and `definition` by hand.
"""

from . import control, layer, linalg, network
from .definition import RETIRED, Rule
from .network import NETWORK_RULES
from .registry import RULES

__all__ = ["NETWORK_RULES", "RETIRED", "RULES", "Rule", "control", "layer", "linalg", "network"]
