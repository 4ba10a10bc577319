"""Factorisations shared out: each is done on one of several ranks, which sends what comes of it to the others.

That takes about n³ operations and sends about n² numbers, so it is for wide layers, and not for Cholesky factors, which
take so few operations that to send them takes as long. Who does what depends on costs alone, the largest first, as in
KAISA (Pauloski et al. 2021). A piece of work is a block: a stack of layers of one shape, which a rule may cut to a
common rank, is not split, nor is a rule for networks.

All ranks lay out in memory alike what one of them has sent, so that they go on with equal bits.
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
"""Cost up to which each rank factorises for itself: between two processes of one machine, it takes as long to send
explicit inverses of this cost as to compute them."""


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
    packs = [packed(part) if symmetric(part) else part for part in tensors(own)]
    everyone = world.everyone(each((own, packs), partial(torch.empty_like, device="meta")))
    copies = [each(theirs, partial(torch.empty_like, device=device)) for _, theirs in everyone]
    for copy, original in zip(tensors(copies[world.rank]), tensors(packs)):
        copy.copy_(original)
    world.broadcast([tensors(theirs) for theirs in copies])
    for (outline, _), theirs in zip(everyone, copies):
        parts = [full(pack) for pack in theirs]
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


def symmetric(part: Tensor) -> bool:
    """Whether a part is equal to its transpose, to the bit, so that half of it is enough."""
    return part.ndim > 1 and part.shape[-2] == part.shape[-1] > 1 and part.equal(part.mT)
