"""Derivatives by evaluation: exact for polynomials, to rounding for analytic functions."""
from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import flint
import numpy as np

Curve = Callable[[Any], Any]
"""Of numbers or arrays of numbers, exact or in float64."""
REACH = 6
WEIGHTS = {k: flint.fmpq((-1)**(k + 1) * factorial(REACH)**2, k * factorial(REACH - k) * factorial(REACH + k))
           for k in range(1, REACH + 1)}


def slope(curve: Curve) -> Any:
    """Derivative at 0 of a polynomial of degree ≤ 12, exactly, from its values at −6 … 6.

    Examples
    --------
    >>> slope(lambda t: 3 * t + t**11)
    3
    """
    return sum(weight * (curve(k) - curve(-k)) for k, weight in WEIGHTS.items())


def complex_slope(curve: Curve) -> Any:
    """Derivative at 0 of a real analytic function, to rounding (Squire & Trapp 1998)."""
    step = 1e-30
    return np.imag(curve(1j * step)) / step


def curvature(curve: Curve) -> Any:
    """Second derivative at 0 of a polynomial of degree ≤ 5, exactly.

    Examples
    --------
    >>> curvature(lambda t: t + 3 * t**2 + t**4)
    6.0
    """
    return (16 * (curve(1) + curve(-1)) - (curve(2) + curve(-2)) - 30 * curve(0)) / 12
