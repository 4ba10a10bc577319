r"""Errors sent back by other matrices than the transposes of the weights.

Back-propagation sends the error of layer i + 1 to layer i by W_{i+1}ᵀ; the natural gradient of a square network
by W_{i+1}⁻¹ (16). Here a matrix B_i `[n_i, n_{i+1}]` does, which may be fixed or learnt:

.. math::

    e_i = \phi'(z_i) \odot B_i e_{i+1}, \qquad \Delta W_i = \eta \langle e_i x_{i-1}^\top \rangle .
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .measurements import Measurements, Row, measure_rows

RATE, EXAMPLES = 0.02, 300
CHECKPOINTS = (0, 10, 30, 100, 300, 1_000)
RANK = 1e-3  # singular values of W below this share of the largest are not inverted


@dataclass(frozen=True)
class Network:
    """Layer sizes, and whether tanh is between the layers; the last one is linear."""

    sizes: tuple[int, ...]
    tanh: bool = False

    def draw(self, generator: torch.Generator) -> list[Tensor]:
        """W_i from N(0, 1/n_{i-1}), float64.

        Examples
        --------
        >>> [tuple(W.shape) for W in Network((3, 4, 2)).draw(torch.Generator())]
        [(4, 3), (2, 4)]
        """
        return [torch.randn(n, m, generator=generator, dtype=torch.float64) / m**0.5 for m, n in pairwise(self.sizes)]

    def activations(self, weights: list[Tensor], x: Tensor) -> list[Tensor]:
        """x_0 … x_L, examples in rows; the last are the outputs."""
        found = [x]
        for i, W in enumerate(weights):
            z = found[-1] @ W.mT
            found.append(z.tanh() if self.tanh and i < len(weights) - 1 else z)
        return found


NETWORKS = {
    "two layers": Network((30, 20, 10)),
    "three layers": Network((30, 20, 20, 10)),
    "tanh": Network((30, 20, 20, 10), tanh=True),
}


class Training:
    """A network that learns what a random one of its kind does, with full batches.

    Parameters
    ----------
    network : Network
        Sizes and activations of teacher and student.
    feedback : Feedback
        Gives the matrices that send errors back.
    seed : int
        Decides inputs, teacher, student and the B_i at the start: the same for every feedback.
    """

    def __init__(self, network: Network, feedback: Feedback, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.network, self.feedback = network, feedback
        self.x = torch.randn(EXAMPLES, network.sizes[0], generator=generator, dtype=torch.float64)
        self.y = network.activations(network.draw(generator), self.x)[-1]
        self.weights = network.draw(generator)
        self.B = [W.mT for W in network.draw(generator)[1:]]
        self.steps = 0
        self._begin = self.loss()

    def loss(self) -> float:
        """Squared error, summed over outputs."""
        return float((self.y - self.network.activations(self.weights, self.x)[-1]).square().sum(1).mean())

    def changes(self, B: list[Tensor], activations: list[Tensor]) -> list[Tensor]:
        """⟨e_i x_{i-1}ᵀ⟩ of all layers, with errors sent back by `B`."""
        errors = [self.y - activations[-1]]
        for B_i, x in zip(reversed(B), reversed(activations[1:-1])):
            back = errors[0] @ B_i.mT
            errors.insert(0, back * (1 - x.square()) if self.network.tanh else back)
        return [e.mT @ x / EXAMPLES for e, x in zip(errors, activations)]

    def step(self) -> None:
        """Renew the matrices that send errors back, then update all weights."""
        activations = self.network.activations(self.weights, self.x)
        self.B = self.feedback(self.B, self.weights, activations, self.y)
        self.weights = [W + RATE * change for W, change in zip(self.weights, self.changes(self.B, activations))]
        self.steps += 1

    def compare(self) -> Row:
        """`loss`, as a share of the first, how the hidden layers' changes point, and what the last B does.

        `transposes` and `pseudo-inverses` are the cosines between these changes and those that W_{i+1}ᵀ and W_{i+1}⁺
        in the places of B_i would make. `not undone` is ‖W_L B_{L-1} − I‖_F/√n_L: 0 for a right inverse of W_L.
        """
        activations = self.network.activations(self.weights, self.x)
        own, *others = (
            feedback(self.B, self.weights, activations, self.y)
            for feedback in (self.feedback, transposes, pseudo_inverses)
        )
        hidden = [torch.cat([c.flatten() for c in self.changes(B, activations)[:-1]]) for B in (own, *others)]
        cosines = [float(hidden[0] @ other / (hidden[0].norm() * other.norm())) for other in hidden[1:]]
        undone = self.weights[-1] @ own[-1]
        return {
            "loss": self.loss() / self._begin,
            "transposes": cosines[0],
            "pseudo-inverses": cosines[1],
            "not undone": float((undone - torch.eye(len(undone))).norm()) / len(undone) ** 0.5,
        }


Feedback = Callable[[list[Tensor], list[Tensor], list[Tensor], Tensor], list[Tensor]]
"""B_1 … B_{L-1} of the next step from those of the last one, the weights, the activations and the targets."""


def transposes(B: list[Tensor], weights: list[Tensor], activations: list[Tensor], y: Tensor) -> list[Tensor]:
    """W_{i+1}ᵀ: back-propagation."""
    return [W.mT for W in weights[1:]]


def pseudo_inverses(B: list[Tensor], weights: list[Tensor], activations: list[Tensor], y: Tensor) -> list[Tensor]:
    """W_{i+1}⁺, as in (16)."""
    return [torch.linalg.pinv(W, rtol=RANK) for W in weights[1:]]


def fixed(B: list[Tensor], weights: list[Tensor], activations: list[Tensor], y: Tensor) -> list[Tensor]:
    """Random matrices that stay as they are: feedback alignment (Lillicrap et al. 2016)."""
    return B


def learnt(B: list[Tensor], weights: list[Tensor], activations: list[Tensor], y: Tensor) -> list[Tensor]:
    """Matrices that learn to undo the next layer, by descent on ⟨‖x_i − B_i W_{i+1} x_i‖²⟩/2."""
    found = []
    for B_i, W, x in zip(B, weights[1:], activations[1:]):
        z = x @ W.mT
        found.append(B_i + RATE * (x - z @ B_i.mT).mT @ z / EXAMPLES)
    return found


def learnt_from_targets(B: list[Tensor], weights: list[Tensor], activations: list[Tensor], y: Tensor) -> list[Tensor]:
    """Matrices that learn to reach the activations from the other end, by descent on ⟨‖x_i − B_i ⋯ B_{L-1} y‖²⟩.

    The idea of Luo, Fu and Glass (2017), whose feedback "is trained to approximate the forward activations", in its
    simplest form: linear, and each matrix with an error of its own.
    """
    found: list[Tensor] = []
    for B_i, x in zip(reversed(B), reversed(activations[1:-1])):
        back = y @ B_i.mT
        found.insert(0, B_i + RATE * (x - back).mT @ y / EXAMPLES)
        y = back
    return found


FEEDBACKS: dict[str, Feedback] = {
    "transposes": transposes,
    "pseudo-inverses": pseudo_inverses,
    "fixed": fixed,
    "learnt": learnt,
    "from targets": learnt_from_targets,
}


def compare_feedback(
    *,
    networks: tuple[str, ...] = tuple(NETWORKS),
    checkpoints: tuple[int, ...] = CHECKPOINTS,
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """Train each network with each feedback, and compare at each of `checkpoints`, numbers of steps in rising order.

    The columns are those of `Training.compare`.
    """
    cases: list[Row] = [
        {"network": network, "feedback": feedback, "seed": seed, "steps": steps}
        for network in networks
        for feedback in FEEDBACKS
        for seed in range(seeds)
        for steps in checkpoints
    ]
    running: dict[tuple[object, ...], Training] = {}

    def measure(case: Row) -> Row:
        key = case["network"], case["feedback"], case["seed"]
        if key not in running:
            running[key] = Training(NETWORKS[str(key[0])], FEEDBACKS[str(key[1])], int(str(key[2])))
        while running[key].steps < int(str(case["steps"])):
            running[key].step()
        return running[key].compare()

    title = "Errors sent back by other matrices than the transposes"
    return measure_rows("feedback", title, cases, measure, progress=progress, output=output, resume=resume)
