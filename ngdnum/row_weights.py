"""How much each row of a model's output counts in the loss, learnt from the backward pass of the loss.

A likelihood's loss is −Σ_m w_m log q(y_m | f_m)/Σ_m w_m. What comes after it (a factor, a sum with other losses) gives
it a gradient c, so that −log q(y_m | f_m) enters the whole with v_m = c w_m/Σ w. Between the output of the model and
what the likelihood was called with there may be slices, masks and changes of shape: v_m is sent back through them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Size, Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from .capture import PASSES, Record
from .graph import Paths, reachable


def telling(loss: Tensor, output: Tensor, weights: Tensor) -> Tensor:
    """The `loss` of a likelihood; its backward pass tells the passes behind `output` the `weights` `[M, …]` or `[]`."""
    hidden = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if PASSES and loss.requires_grad and output.grad_fn is not None and not hidden:
        loss.register_hook(partial(_tell, get_gradient_edge(output), weights.detach(), output.shape))
    return loss


def _tell(edge: GradientEdge, weights: Tensor, shape: Size, gradient: Tensor) -> None:
    weights = (gradient.detach() * weights).expand(shape[:-1])
    node: Any = edge.node
    if node in PASSES:
        node.record.tell(weights)
        return
    passes: list[Any] = [node for node in reachable(node, PASSES) if node in PASSES]
    found = Paths(edge, [GradientEdge(node, 0) for node in passes], last=True)(weights.unsqueeze(-1).expand(shape))
    for node, sent in zip(passes, found):
        if sent is not None:
            node.record.tell(sent[..., 0].where((sent == sent[..., :1]).all(-1), torch.nan))


def weigh(record: Record, gradient: Tensor) -> None:
    """Set `weights` and `share` of a pass from what its loss has told, or else from ∂ loss/∂f `[M, …, n]`.

    Where nothing is told, or what is between output and likelihood does more than choose and reshape rows, the rows
    with a gradient other than 0 count alike.
    """
    told = record.told
    if told is not None:
        if any(told.stride()):
            low, high, total = torch.stack([told.min(), told.max(), told.sum()]).tolist()
        else:  # one number
            low = high = told[(0,) * told.ndim].item()
            total = low * told.numel()
        if low >= 0 and total > 0:
            record.share, record.weights = total, None if low == high else told * (told.numel() / total)
            return
    counted = gradient.any(-1)
    count = int(counted.sum())
    if 0 < count < counted.numel():
        record.weights = counted.to(gradient.dtype) * (counted.numel() / count)
