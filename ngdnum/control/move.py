"""What step controls have in common: what they are asked, what they may ask back, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from ..dual import Dual
from ..fisher import Fisher, Vector
from ..rules.control import predicted_change, quadratic_change
from ..stack import Stack

Memory = dict[int, Tensor]
"""What a control remembers from step to step, by layers."""


class Probe(NamedTuple):
    """What a control may ask about this step.

    Attributes
    ----------
    gradients : Vector
        G of every stack, the negative gradient of the loss.
    lr, lam : float
        Learning rate and damping λ.
    precondition : callable
        The rule, with the factors and inverses of this step, as a map from G to ΔW.
    fisher : Fisher
        The exact Fisher on the examples that the control keeps.
    dual : callable
        Makes the `Dual` of this step, for controls whose attribute `dual` is true.
    residual : callable
        ℓ, length of the best step in the space of outputs, in the metric of their Fisher (`Batch.residual`).
    chain : list of int or None
        The layers in the order of the forward pass, if each was fed with the unchanged output of the one before
        and the output of the last is the model's; otherwise None.
    """

    gradients: Vector
    lr: float
    lam: float
    precondition: Callable[[Vector], Vector]
    fisher: Fisher
    residual: Callable[[], float]
    dual: Callable[[], Dual]
    chain: list[int] | None


class Move(NamedTuple):
    """The step lr · scale · u.

    u; the scale; (scale · u)ᵀF(scale · u) if it is known; what to remember; the norm of u in each layer of each
    stack, `[B]`, if it is known.
    """

    updates: Vector
    scale: float
    curvature: float | None
    memory: Memory
    lengths: list[Tensor] | None = None


class Control(Protocol):
    """A frozen description of how directions become the change of the weights.

    Attributes
    ----------
    rows : int or None
        How many examples of the batch are kept for `Probe.fisher`: the first so many, or all (None).
    dual : bool, optional
        Whether the control asks for `Probe.dual`, for which the rule must have two halves.
    """

    rows: int | None

    def move(self, stacks: list[Stack], directions: Vector, memory: Memory, probe: Probe) -> Move:
        """The step along the `directions` ΔW of the rule; `memory` is what the last step left.

        The control may overwrite the `directions`. There are none for a control with `dual`.
        """


def recall(stacks: list[Stack], memory: Memory) -> list[Tensor | None]:
    """The remembered tensor of every stack, None where one of its layers is new."""
    return [stack.gather(memory) if memory.keys() >= stack.members.keys() else None for stack in stacks]


def remember(stacks: list[Stack], vector: Vector, memory: Memory) -> Memory:
    """`memory` with `vector` in the place of what was known of its layers."""
    fresh: Memory = {}
    for stack, v in zip(stacks, vector):
        fresh.update(zip(stack.members, stack.split(v)))
    return memory | fresh


def dot(first: Vector, second: Vector) -> float:
    """Σ_i tr u_iᵀ v_i.

    Not by `torch.dot`, which "medium" precision of matrix products rounds, and slows down.
    """
    return sum(float((u * v).sum()) for u, v in zip(first, second))


def predicted(lr: float, trace: float, curvature: float | None) -> float:
    """Change of the loss along lr · u: −lr gᵀu + ½ lr² uᵀFu; by footnote 1 if uᵀFu is unknown."""
    if curvature is None:
        return predicted_change(lr, trace)
    return quadratic_change(lr, trace, curvature)
