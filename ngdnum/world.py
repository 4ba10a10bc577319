"""Several processes, each with a part of the batch, that take one step: what they tell each other.

The loss is what `DistributedDataParallel` differentiates, the mean over ranks of their losses,

    L = (1/N) Σ_r L_r,

and all that a step measures is measured of L: passes of all ranks enter by their shares in it, as the passes of one
process do. Every decision follows from numbers that are the same on all ranks to the bit. A rank without examples has
no share in L; it takes part with sums over nothing.

Whenever ranks meet, they first exchange one short row of numbers each, which tells whether any of them has failed. So
a rank that fails anywhere in a step makes all others refuse it at the next meeting. What is worth it, the ranks share
out: see `ngdnum.curvature.shares`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Size, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .layers import uncompiled

R = TypeVar("R")
WIDTH = 16
"""Numbers in the row that each rank sends, the first of which tells whether it has failed."""
ALIKE = (
    "have different learning rates, dampings or other options of param_groups: step schedulers alike on all of them",
    "are at different steps: load the same state on all of them",
    "are not alike, only some of them have a loss or a closure: call step alike on all of them",
)
"""What is wrong if one of the first numbers of `World.begin` is not the same on all ranks."""
PASSES = "used different layers: call model alike on all of them"
GRADIENTS = (
    "have different gradients: wrap the model in torch.nn.parallel.DistributedDataParallel, and do not step within "
    "its no_sync()"
)
DIFFERENT = (
    "computed different steps from the same numbers: give all of them the same kind of processor, as many threads, "
    "and a rule and a control that do not depend on the rank"
)


class Refusal(RuntimeError):
    """Another rank could not take the step, or the ranks do not agree on it."""


class Part(NamedTuple):
    """What a rank tells of its part of a batch.

    The layers of its passes, nothing if there were none; what must be the same on all ranks; numbers of which the
    means over ranks are those of the batch; and what went wrong.
    """

    layers: tuple[int, ...]
    alike: object
    sums: tuple[float, float, float, float]
    error: Exception | None


class World:
    """The ranks of a process group.

    Attributes
    ----------
    rank, ranks : int
        The number of this one, and how many there are.
    empty : bool
        Whether there was a pass without examples on this one since the last step.
    idle : bool
        Whether some of them have no example of this batch.
    sums : tuple of four floats
        Those of the whole batch.
    """

    def __init__(
        self, group: dist.ProcessGroup, device: torch.device, wrapped: DistributedDataParallel | None = None
    ) -> None:
        self._group, self._wrapped = group, wrapped
        self._device = device if "nccl" in dist.get_backend(group) else torch.device("cpu")
        self.rank, self.ranks = dist.get_rank(group), dist.get_world_size(group)
        self.sums = 1.0, 0.0, 0.0, 0.0
        self.idle = self._settled = self.empty = self._idle = False

    def together(self, take: Callable[..., R], *arguments: Any) -> R:
        """Take a step; what is raised before it is settled is told to all other ranks, which raise a `Refusal`."""
        self._settled = False
        try:
            return take(*arguments)
        except Refusal:
            raise
        except BaseException as error:
            if not self._settled:
                self._exchange((), error)
            raise

    def note_empty(self, shape: Size) -> None:
        """There was a pass without examples; if there is no other one, the step tells the others."""
        self.empty = True

    def begin(self, part: Part, loss: Tensor | float | None, steps: int, groups: list[dict]) -> Tensor | float | None:
        """The loss before the step, a mean over ranks; a `Refusal` unless all ranks are about to take the same step."""
        if self._wrapped is not None and self._wrapped._join_config.enable:
            raise Refusal(
                "no weight was changed, since the model has been in join(), where ranks that have run out of batches "
                "do not take part in a step: leave it out, and let them go on with empty ones"
            )
        empty, self.empty = self.empty, False
        self._idle = not part.sums[0] if part.layers else empty
        if part.error is not None:
            raise part.error
        options = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None and not p.grad.is_sparse]
        size = sum(map(float, torch._foreach_norm(gradients))) if gradients else 0.0
        alike = _digest(options), float(steps), float(loss is None)
        passes = _digest((part.layers, part.alike))
        own = 0.0 if loss is None else self._own(loss)
        table = self.meet(*alike, float(self._idle), passes, size, *part.sums, own)
        _check_alike(table, *ALIKE)
        busy = [row[4:5] for row in table if not row[3]]
        if not busy:
            raise ValueError("empty batch: no rank has an example")
        _check_alike(busy, PASSES)
        _check_alike([row[5:6] for row in table], GRADIENTS)
        self.idle = len(busy) < self.ranks
        share, square, length, spread, mean = (sum(row[i] for row in table) / self.ranks for i in range(6, 11))
        self.sums = share, square, length, spread
        return torch.full_like(loss, mean) if isinstance(loss, Tensor) else None if loss is None else mean

    def settle(self, updates: Sequence[Tensor] = (), scale: float = 0.0) -> None:
        """Agree to add scale · `updates` to the weights: what fails later on one rank is not told to the others."""
        size = sum(map(float, torch._foreach_norm(list(updates)))) if updates else 0.0
        _check_alike(self.meet(scale, size), DIFFERENT, DIFFERENT)
        self._settled = True

    def meet(self, *numbers: float) -> list[list[float]]:
        """The numbers of every rank."""
        table: list[list[float]] = [[] for _ in range(self.ranks)]
        for start in range(0, max(1, len(numbers)), WIDTH - 1):
            for row, part in zip(table, self._exchange(numbers[start : start + WIDTH - 1], None)):
                row += part
        return table

    def total(self, *numbers: float) -> list[float]:
        """Sums over ranks."""
        return [sum(column) for column in zip(*self.meet(*numbers))]

    def average(self, loss: Callable[[], Tensor | float]) -> float:
        """The mean over ranks of what `loss` returns."""
        return self.total(self._own(loss()))[0] / self.ranks

    def _own(self, loss: Tensor | float) -> float:
        """The loss of this rank; a mean over no examples, which torch says is NaN, has no part in that of all."""
        return 0.0 if self._idle and math.isnan(loss) else float(loss)

    def told(self, value: R | None) -> R:
        """The `value` of the first rank that has one."""
        return next(found for found in self._told(value) if found is not None)

    def everyone(self, value: R) -> list[R]:
        """The `value` of every rank, without tensors."""
        self.meet()
        return self._told(value)

    def broadcast(self, tensors: Sequence[Sequence[Tensor]]) -> None:
        """Overwrite the `tensors` of each rank, dense ones, by those that it has, in one broadcast by rank."""
        sent = []
        for rank, own in enumerate(tensors):
            if own:
                flat = torch.cat([_bytes(t) for t in own]).to(self._device)
                source = dist.get_global_rank(self._group, rank)
                sent.append((own, flat, dist.broadcast(flat, source, self._group, async_op=True)))
        for own, flat, work in sent:
            work.wait()
            for t, piece in zip(own, flat.split([_bytes(t).numel() for t in own])):
                _bytes(t).copy_(piece)

    def mean(self, tensors: Sequence[Tensor], weight: float) -> list[Tensor]:
        """Σ_r weight_r A_r/Σ_r weight_r of every tensor A, in one all-reduce of all."""
        (total,) = self.total(weight)
        return self._reduced(tensors, weight / total)

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Σ_r A_r of every tensor A, in one all-reduce of all."""
        self.meet()
        return self._reduced(tensors, 1.0)

    def rows(self, roots: Sequence[Tensor], weight: float) -> list[Tensor]:
        """The X `[…, rows, m]` of all ranks one below the other, XᵀX being the mean of theirs by `weight`."""
        table = self.meet(weight, *(float(X.shape[-2]) for X in roots))
        total, *longest = sum(row[0] for row in table), *map(max, list(zip(*table))[1:])
        scaled = [X * (weight / total) ** 0.5 for X in roots]
        padded = [nn.functional.pad(X, (0, 0, 0, int(rows) - X.shape[-2])) for X, rows in zip(scaled, longest)]
        own = _flat(padded, self._device)
        everyone = own.new_empty(self.ranks, own.numel())
        dist.all_gather(list(everyone), own, self._group)
        pieces = [_shaped(part, padded) for part in everyone]
        return [torch.cat(same, -2) for same in zip(*pieces)]

    def part(self, rows: int | None) -> int | None:
        """How many of the first `rows` of a batch this rank has, if it is dealt out in turns; at least one."""
        return rows and max(1, len(range(self.rank, rows, self.ranks)))

    def dealt(self, *tensors: Tensor) -> list[Tensor]:
        """The rows of `tensors` that this rank has, if they are dealt out in turns."""
        return [t[self.rank :: self.ranks] for t in tensors]

    def scatter(self, generator: torch.Generator) -> None:
        """Turn a `generator` that is in the same state on all ranks into one of this rank's own."""
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        generator.manual_seed(int(seed) + self.rank)

    def _reduced(self, tensors: Sequence[Tensor], factor: float) -> list[Tensor]:
        flat = _flat(tensors, self._device).mul_(factor)
        dist.all_reduce(flat, group=self._group)
        return _shaped(flat, tensors)

    def _told(self, value: R) -> list[R]:
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value, self._group)
        return values

    def _exchange(self, numbers: Sequence[float], error: BaseException | None) -> list[list[float]]:
        """The `numbers` of every rank; if one has failed, a `Refusal` with its message on those that have not."""
        row = torch.tensor([error is not None, *numbers] + [0.0] * (WIDTH - 1 - len(numbers)), dtype=torch.float64)
        table = torch.empty(self.ranks, WIDTH, dtype=torch.float64, device=self._device)
        try:
            dist.all_gather(list(table), row.to(self._device), self._group)
        except RuntimeError as lost:
            self._settled = True
            raise RuntimeError(f"another rank is gone, so no weight was changed: {lost}") from lost
        rows = table.tolist()
        if any(failed for failed, *_ in rows):
            messages = self._told(None if error is None else f"{type(error).__name__}: {error}")
            if error is None:
                told = "; ".join(f"rank {rank}: {message}" for rank, message in enumerate(messages) if message)
                raise Refusal(f"no weight was changed, since a step that one rank cannot take no rank takes: {told}")
        return [found[: len(numbers)] for _, *found in rows]


def world_of(model: nn.Module) -> World | None:
    """The ranks that train `model`, or its copies, together; None if this process is alone."""
    if not (dist.is_available() and dist.is_initialized()):
        return None
    wrapped = uncompiled(model)
    parallel = wrapped if isinstance(wrapped, DistributedDataParallel) else None
    group = parallel.process_group if parallel else dist.group.WORLD
    if group is None or dist.get_world_size(group) < 2:
        return None
    return World(group, next(model.parameters()).device, parallel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module itself, where `model` is what `torch.compile` or `DistributedDataParallel` made of it."""
    inner = uncompiled(model)
    return uncompiled(inner.module) if isinstance(inner, DistributedDataParallel) else inner


def check_alone() -> None:
    """Refuse ranks that have met only after their optimizers were built."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise RuntimeError(
            f"there are {dist.get_world_size()} ranks, but this NGD was built before they were: call "
            "torch.distributed.init_process_group first, then build NGD"
        )


def _check_alike(table: list[list[float]], *sentences: str) -> None:
    """Refuse numbers that differ between ranks, and say what is wrong with the ranks then."""
    for sentence, column in zip(sentences, zip(*table)):
        if len({str(number) for number in column}) > 1:
            raise Refusal(f"no weight was changed, since the ranks {sentence}")


def _digest(value: object) -> float:
    """A number that differs where the text of `value` does."""
    return float(zlib.crc32(repr(value).encode()))


def _flat(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.cat([t.reshape(-1).to(device) for t in tensors])


def _bytes(dense: Tensor) -> Tensor:
    """What a tensor without gaps has in memory, as it lies there."""
    return dense.as_strided((dense.numel(),), (1,)).view(torch.uint8)


def _shaped(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    pieces = flat.split([t.numel() for t in like])
    return [piece.view(t.shape).to(t) for piece, t in zip(pieces, like)]
