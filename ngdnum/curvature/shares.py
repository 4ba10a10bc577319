"""Factorisations shared out: each is done on one of several ranks, which sends what comes of it to the others.

A factorisation costs about n³ operations and sends about n² numbers, so it is worth it for wide layers only. Where the
large ones are placed depends on their costs alone, as in KAISA (Pauloski et al. 2021). A piece of work is a block, that
is a stack of layers of one shape, which a rule may cut to a common rank: a stack is not split, nor a rule for networks.

All ranks lay out in memory alike what one of them has sent, bit by bit, so that they go on with equal bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..world import World
from .factorisation import Outcome, each
from .symmetric import full, packed

SMALL = 256.0**3
"""Cost up to which each rank factorises for itself, which takes no longer than to send what comes of it."""


def shared(
    costs: Sequence[float], work: Sequence[Callable[[], Outcome]], world: World, device: torch.device
) -> list[Outcome]:
    """What comes of all `work`: of each large piece on one of the ranks, and of small ones, or a single one, on all."""
    large = [i for i, cost in enumerate(costs) if cost > SMALL]
    if len(large) < 2:
        return [factorise() for factorise in work]
    owners = dict(zip(large, dealt([costs[i] for i in large], world.ranks)))
    done = {i: factorise() for i, factorise in enumerate(work) if owners.get(i, world.rank) == world.rank}
    own = {i: done[i] for i in owners if i in done}
    packs = [half(part) for part in tensors(own)]
    everyone = world.everyone(each((own, packs), partial(torch.empty_like, device="meta")))
    copies = [each(theirs, partial(torch.empty_like, device=device)) for _, theirs in everyone]
    for copy, original in zip(tensors(copies[world.rank]), tensors(packs)):
        copy.copy_(original)
    world.broadcast([tensors(theirs) for theirs in copies])
    for (outline, _), theirs in zip(everyone, copies):
        parts = [whole(*pack) for pack in theirs]
        done |= each(outline, lambda _: parts.pop(0))
    return [done[i] for i in range(len(work))]


def dealt(costs: Sequence[float], ranks: int) -> list[int]:
    """Which rank does each piece of work: the largest first, each where there is least to do so far.

    Examples
    --------
    >>> dealt([1.0, 5.0, 2.0, 4.0], ranks=2)
    [0, 0, 1, 1]
    """
    load, owners = [0.0] * ranks, [0] * len(costs)
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        owners[i] = load.index(min(load))
        load[owners[i]] += costs[i]
    return owners


def tensors(tree: object) -> list[Tensor]:
    """All tensors in `tree`."""
    found: list[Tensor] = []
    each(tree, found.append)
    return found


def half(part: Tensor) -> tuple[str, Tensor]:
    """What is sent of a part: of a symmetric one, or a lower triangle such as a Cholesky factor, half the numbers."""
    if part.ndim > 1 and part.shape[-2] == part.shape[-1] > 1:
        if part.equal(part.mT):
            return "symmetric", packed(part)[0]
        if part.equal(part.tril()):
            return "lower", packed(part.mT)[0]
    return "whole", part


def whole(kind: str, sent: Tensor) -> Tensor:
    """The part again; a triangle in columns, as Cholesky's is.

    Examples
    --------
    >>> A = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    >>> half(A)[0], whole(*half(A)).equal(A)
    ('lower', True)
    """
    if kind == "whole":
        return sent
    return full((sent,)) if kind == "symmetric" else full((sent,)).triu_().mT
