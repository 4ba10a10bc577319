"""Which parts of a step go together; everything else is refused at construction, with the reason."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from .control import Control, NeedsDual
from .curvature.factors import Factors
from .curvature.inverse import Inverse
from .rule import Preconditioner


def check_model(model: object, lr: object) -> None:
    """Refuse what is no module, weights of low precision, and a rate that is not positive."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, not {type(model).__name__}: NGD needs the layers")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("NGD cannot see into a scripted model: pass the module that torch.jit.script was given")
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        raise ValueError(
            "NGD needs whole weights, and FullyShardedDataParallel keeps parts of them: take DistributedDataParallel"
        )
    for name, p in model.named_parameters():
        if type(p.data) is not Tensor:
            raise ValueError(
                f"{name!r} is a {type(p.data).__name__}, which NGD does not know how to factorise: it needs whole, "
                "ordinary tensors, not quantized, and DistributedDataParallel in the place of fully_shard or tensor "
                "parallelism"
            )
        shaped = not isinstance(p, UninitializedParameter)
        if p.requires_grad and shaped and p.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{name!r} is {p.dtype}; NGD needs weights in float32 or float64: for speed, keep them so and run "
                "the model under torch.autocast"
            )
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
        raise ValueError(f"lr must be a finite number > 0; got {lr!r}")


def check_known(model: nn.Module, known: Collection[nn.Parameter]) -> None:
    """Refuse parameters with a gradient that are not among the `known` ones of the optimizer."""
    unknown = [name for name, p in model.named_parameters() if p.grad is not None and p not in known]
    if unknown:
        raise RuntimeError(
            f"parameters that were frozen, or not there, when NGD was built have gradients: {', '.join(unknown)}; no "
            "weight was changed: build a new NGD when you unfreeze or replace layers"
        )


def check_parts(rule: Preconditioner, factors: object, inverse: object, control: object) -> None:
    """Refuse parts of the wrong kind, and those that lack what another one needs; `rule` is the one at λ."""
    if not isinstance(factors, Factors):
        raise TypeError(f"factors must be a Factors(every, decay), not {factors!r}")
    if not isinstance(inverse, Inverse):
        raise TypeError(f"inverse must be an Inverse(every), not {inverse!r}")
    if not isinstance(control, Control):
        raise TypeError(f"control must be FixedStep() or another Control; not {control!r}")
    if isinstance(control.needs, NeedsDual) and not rule.product:
        raise ValueError(
            f'{type(control).__name__} needs a damped rule that is a product with G, such as "pi_damped"; '
            f"rule {rule.name!r} is not"
        )
