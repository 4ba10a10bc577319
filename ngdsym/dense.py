"""Linear networks of float64 numbers: the reference that statements and rules are measured against."""

from ngdsym.algebra.instance import floats
from ngdsym.rules.evaluate import LinearInstance
from ngdsym.theorems.dense import Net, unvec, vec
from ngdsym.theorems.existence import crossing, paper_speed
from ngdsym.theorems.gradient_descent_flow import descent
from ngdsym.theorems.paths import follow, minimal_speed

__all__ = [
    "LinearInstance",
    "Net",
    "crossing",
    "descent",
    "floats",
    "follow",
    "minimal_speed",
    "paper_speed",
    "unvec",
    "vec",
]
