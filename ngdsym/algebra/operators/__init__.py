"""Operators on matrices, a file for each, with all that is to be known of it."""

from ngdsym.algebra.operators.eigen import Eigenbasis, Eigenvalues
from ngdsym.algebra.operators.entrywise_power import EntrywisePower
from ngdsym.algebra.operators.exp import Exp
from ngdsym.algebra.operators.hadamard import Hadamard
from ngdsym.algebra.operators.maximum import Maximum
from ngdsym.algebra.operators.operator import Lowering, Operator
from ngdsym.algebra.operators.pinv import Pinv
from ngdsym.algebra.operators.polar import Polar
from ngdsym.algebra.operators.sign import Sign

__all__ = [
    "Eigenbasis",
    "Eigenvalues",
    "EntrywisePower",
    "Exp",
    "Hadamard",
    "Lowering",
    "Maximum",
    "Operator",
    "Pinv",
    "Polar",
    "Sign",
]
