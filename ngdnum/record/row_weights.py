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


def telling(loss: Tensor, output: Tensor, weights: Tensor | float) -> Tensor:
    """The `loss` of a likelihood; its backward pass tells the passes behind `output` the `weights` `[M, …]`, or one."""
    hidden = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if PASSES and loss.requires_grad and output.grad_fn is not None and not hidden:
        fixed = weights.detach() if isinstance(weights, Tensor) else weights
        loss.register_hook(partial(_tell, get_gradient_edge(output), fixed, output.shape))
    return loss


def _tell(edge: GradientEdge, weights: Tensor | float, shape: Size, gradient: Tensor) -> None:
    weights = gradient.detach() * weights
    node: Any = edge.node
    if node in PASSES:
        _note(node.record, weights)
        return
    passes: list[Any] = [node for node in reachable(node, PASSES) if node in PASSES]
    sent_along = weights.expand(shape[:-1]).unsqueeze(-1).expand(shape)
    found = Paths(edge, [GradientEdge(node, 0) for node in passes], last=True)(sent_along)
    for node, sent in zip(passes, found):
        if sent is not None:
            _note(node.record, sent[..., 0].where((sent == sent[..., :1]).all(-1), torch.nan))


def _note(record: Record, weights: Tensor) -> None:
    """Note, in the backward pass under way, how much (more) the rows `[M, …]`, or all `[]`, count in its loss."""
    task = torch._C._current_graph_task_id()
    if record.told is not None and record.told[0] == task:
        weights = weights + record.told[1]
    record.told = task, weights


def weigh(record: Record, gradient: Tensor) -> None:
    """Set `weights` and `share` of a pass from what its loss has told, or else from ∂ loss/∂f `[M, …, n]`.

    Where nothing is told, or what is between output and likelihood does more than choose and reshape rows, the rows
    with a gradient other than 0 count alike.
    """
    if record.told is not None and record.told[0] == torch._C._current_graph_task_id():
        told = record.told[1]
        rows = gradient.shape[:-1].numel()
        if told.ndim:
            low, high, total = torch.stack([told.min(), told.max(), told.sum()]).tolist()
        else:
            low = high = told.item()
            total = low * rows
        if low >= 0 and total > 0:
            record.share, record.weights = total, None if low == high else told * (rows / total)
            return
    counted = gradient.any(-1)
    count = int(counted.sum())
    if 0 < count < counted.numel():
        record.weights = counted.to(gradient.dtype) * (counted.numel() / count)


def weigh_again(record: Record, gradient: Tensor) -> float:
    """The same for one more loss of a pass, which adds to what its rows count; returns the share of this loss."""
    share, weights = record.share, record.weights
    record.share, record.weights = 1.0, None
    weigh(record, gradient)
    own, total = record.share, share + record.share
    if weights is not None or record.weights is not None:
        alike = torch.ones_like(gradient[..., 0])
        parts = [(share, weights), (own, record.weights)]
        record.weights = sum((s * (alike if w is None else w) for s, w in parts), torch.zeros_like(alike)) / total
    record.share = total
    return own
