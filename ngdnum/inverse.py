"""From factors and gradients to the directions ΔW of a rule, factorising anew only what has to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .batch import Matrices
from .rule import BoundRule, Quantities
from .rules.definition import SOLVERS
from .schedule import check_every, due
from .stack import Stack
from .symmetric import Upper, full, packed

RAISE = 10.0
"""What the damping is multiplied by where a factor cannot be factorised."""
_ADVICE = "look for NaN or infinity in the batch and in the weights"


class State(NamedTuple):
    """What a rule factorised, and when.

    Its state; the damping it was given; how often that had to be raised by `RAISE`; the number of the step;
    a copy of what it was computed from, if `Inverse.drift` asks for it; and what the rule is to remember.
    """

    parts: tuple
    lam: float
    raised: int
    step: int
    origin: Quantities
    memory: Upper | None = None


States = dict[tuple, State]
"""By the layers they are for; the key starts with whether λ was 0."""


@dataclass(frozen=True)
class Inverse:
    r"""When the factors are factorised anew, in which precision, and what happens if one is nearly singular.

    Parameters
    ----------
    every : int, default 1
        Steps between two factorisations; before the first such interval is over, more often (`schedule.due`).
    drift : float, optional
        Factorise earlier if a factor of the layer has moved by more than this part of itself,
        ‖Λ − Λ₀‖ > drift ‖Λ₀‖ (Frobenius), since it was factorised. Needs copies of the factors.
    retries : int, default 3
        If a damped factor is not numerically positive definite, λ is raised tenfold for its layer in this
        factorisation, up to so many times, before the step is refused. `opt.report()` shows the λ in use.
    solver : {"cholesky", "inverse", "low_rank"}, optional
        How damped inverses are applied: by triangular solves, as explicit inverses (faster where one serves many
        steps), or by the leading eigenpairs of factors wider than 256. The default is the rule's own, and a rule
        that is not written for a solver refuses it.
    dtype : torch.float32 or torch.float64, optional
        Precision of the factorisation; its result is applied in the precision of the gradient, which is also
        the default.

    Raises
    ------
    ValueError
        For options out of range.

    Examples
    --------
    Inverses in double precision that serve 100 steps, or fewer if the factors move by a tenth:

    >>> Inverse(every=100, drift=0.1, dtype=torch.float64)
    Inverse(every=100, drift=0.1, retries=3, dtype=torch.float64, solver=None)
    """

    every: int = 1
    drift: float | None = None
    retries: int = 3
    dtype: torch.dtype | None = None
    solver: str | None = None

    def __post_init__(self) -> None:
        check_every(self.every)
        drift, retries = self.drift, self.retries
        if drift is not None:
            if isinstance(drift, bool) or not isinstance(drift, (int, float)) or not 0 < drift < math.inf:
                raise ValueError(f"drift must be a number > 0, or None for the calendar alone; got {drift!r}")
            if self.every == 1:
                raise ValueError("drift has nothing to do with every=1: each step factorises; raise every")
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 20:
            raise ValueError(f"retries must be an integer from 0 to 20; got {retries!r}")
        if self.solver not in (None, *SOLVERS):
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, or None; got {self.solver!r}")
        if self.dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32, torch.float64 or None; got {self.dtype!r}")

    def states(
        self,
        rule: BoundRule,
        stacks: list[Stack],
        gradients: list[Tensor],
        factors: Matrices,
        lam: float,
        step: int,
        past: States,
    ) -> States:
        """What the rule needs of the factors at this step: what is in `past`, or factorised anew.

        Raises
        ------
        NotFinite
            If a factor that is to be factorised is not finite.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite, however often λ was raised.
        """
        rule, calendar = rule.at(lam), due(step, self.every)
        found: States = {}
        for together, key, G in _jobs(rule, stacks, gradients, lam):
            state = past.get(key)
            if state is None or state.step < step and (calendar or self.drift is not None):
                quantities = rule.gather(together, factors, rule.slow) | {"lam": lam, "L": _depth(stacks)}
                if state is None or calendar or self._moved(state.origin, quantities):
                    for name in factors:
                        for stack in together:
                            stack.check_finite(name, stack.gather(factors[name]), _ADVICE)
                    if rule.remembers:
                        (G_0,), m = G, G[0].shape[-1]
                        C = full(state.memory) if state else torch.eye(m).to(G_0).expand(*G_0.shape[:-2], m, m)
                        quantities |= {"G_0": G_0, "C": C}
                    state = self._factorise(rule, together, quantities, step)
            found[key] = state
        return found

    def _factorise(self, rule: BoundRule, stacks: list[Stack], quantities: Quantities, step: int) -> State:
        """The slow part of the rule for one job, at the first damping for which it works."""
        dtype = next(iter(stacks[0].members.values())).weight.dtype
        lam, slow = quantities["lam"], {name: quantities[name] for name in rule.slow}
        matrices = {name: q for name, q in slow.items() if name not in ("lam", "L", "G_0", "C")}
        origin = {} if self.drift is None else _each(matrices, Tensor.clone)
        precise = slow if self.dtype is None else _each(slow, partial(Tensor.to, dtype=self.dtype))
        for raised in range(self.retries + 1 if "lam" in slow and lam else 1):
            try:
                parts = rule.factorise(precise | {"lam": lam * RAISE**raised})
            except torch.linalg.LinAlgError as error:
                last = error
            else:
                parts = parts if self.dtype is None else _each(parts, partial(Tensor.to, dtype=dtype))
                memory = None
                if rule.remembers:
                    _check_memory(rule, parts, quantities["G_0"])
                    parts, memory = (*parts[:-1], None), packed(parts[-1])
                return State(parts, lam, raised, step, origin, memory)
        names = ", ".join(layer.name for stack in stacks for layer in stack.members.values())
        up_to = f" and up to {lam * RAISE**raised:g}" if raised else ""
        raise torch.linalg.LinAlgError(
            f"a factor of layers {names} could not be factorised at damping {lam:g}{up_to}, so no weight was "
            f"changed: raise the damping, or use damping=0.0 for pseudo-inverses ({last})"
        ) from last

    def _moved(self, origin: Quantities, quantities: Quantities) -> bool:
        """Whether a matrix is further from its `origin` than `drift` allows."""
        for name, old in origin.items():
            new = quantities[name]
            for a, b in zip(old, new) if isinstance(old, list) else [(old, new)]:
                norm = torch.linalg.matrix_norm
                if (norm(b - a) > self.drift * norm(a)).any():
                    return True
        return False


def directions(
    rule: BoundRule, stacks: list[Stack], gradients: list[Tensor], factors: Matrices, lam: float, states: States
) -> list[Tensor]:
    """ΔW of every stack for α = 1, in memory of their own."""
    rule, updates = rule.at(lam), []
    for together, key, G in _jobs(rule, stacks, gradients, lam):
        state = states[key]
        quantities = rule.gather(together, factors, rule.fast) | {"L": _depth(stacks)}
        found = rule.apply(G, state.parts, quantities | {"lam": lam * RAISE**state.raised})
        updates += [u.clone() if u.data_ptr() == g.data_ptr() else u for u, g in zip(found, G)]
    return updates


def _jobs(
    rule: BoundRule, stacks: list[Stack], gradients: list[Tensor], lam: float
) -> Iterator[tuple[list[Stack], tuple, list[Tensor]]]:
    """The stacks that are treated together, their key in `States`, and G of each."""
    remaining = iter(gradients)
    for together in rule.jobs(stacks):
        key = (lam == 0.0, *(k for stack in together for k in stack.members))
        yield together, key, [next(remaining) for _ in together]


def _depth(stacks: list[Stack]) -> int:
    """L, the number of layers."""
    return sum(len(stack.members) for stack in stacks)


def _check_memory(rule: BoundRule, parts: tuple, G: Tensor) -> None:
    """Refuse `parts` of which the last cannot be the C of the next factorisation, with G `[..., n, m]`."""
    C, m = parts[-1] if parts else None, G.shape[-1]
    if not isinstance(C, Tensor) or C.shape != (*G.shape[:-2], m, m):
        raise ValueError(
            f"rule {rule.name!r} asks for C, so the last entry of what its factorise returns must be the next C, "
            f"of shape {(*G.shape[:-2], m, m)}; it is {tuple(C.shape) if isinstance(C, Tensor) else C!r}"
        )


def dated(states: States) -> States:
    """Only when and with which damping the states were made, not what they hold."""
    return {key: state._replace(parts=(), origin={}, memory=None) for key, state in states.items()}


def _each(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`tree` with `change` done to each tensor in it."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _each(value, change) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(_each(part, change) for part in tree)
    return tree
