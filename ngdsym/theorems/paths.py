"""Weights followed in continuous time, in float64."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import solve_ivp

from ngdsym.theorems.dense import Net, unvec, vec

Speed = Callable[[Net], Sequence[np.ndarray]]


def minimal_speed(net: Net) -> list[np.ndarray]:
    """dW_i/dt under −F⁺∇."""
    step, updates = net.pinv(net.F) @ net.J.T @ net.H @ vec(net.Z), []
    for weights in net.W:
        updates.append(unvec(step[:weights.size], len(weights)))
        step = step[weights.size:]
    return updates


def follow(net: Net, speed: Speed, end: float, stop: float = 0.0) -> float:
    """Move the weights of `net` to time `end`, or until det W has shrunk to `stop`; the time reached."""
    shapes = [w.shape for w in net.W]
    cuts = np.cumsum([w.size for w in net.W])[:-1]

    def load(theta: np.ndarray) -> None:
        net.W = [part.reshape(shape) for part, shape in zip(np.split(theta, cuts), shapes)]
        for cached in ("J", "F"):
            net.__dict__.pop(cached, None)

    def rate(_: float, theta: np.ndarray) -> np.ndarray:
        load(theta)
        return np.concatenate([update.ravel() for update in speed(net)])

    def singular(_: float, theta: np.ndarray) -> float:
        load(theta)
        return np.linalg.det(net.product(1, net.L)) / volume - stop

    events = None
    if stop:
        volume, events = np.linalg.det(net.product(1, net.L)), [singular]
        vars(singular)["terminal"] = True
    start = np.concatenate([w.ravel() for w in net.W])
    path = solve_ivp(rate, (0, end), start, method="DOP853", rtol=1e-10, atol=1e-12, events=events)
    load(path.y[:, -1])
    return float(path.t[-1])
