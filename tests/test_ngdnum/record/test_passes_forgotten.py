"""Nothing is kept of a pass that no step will use."""

from __future__ import annotations

import gc

import torch

from ngdnum import (
    NGD,
    Gaussian,
)
from ngdnum.record.capture import PASSES
from support.networks import batch, network

torch.set_num_threads(1)
M, N = 30, 3


def test_nothing_is_kept_of_a_pass_whose_output_is_gone() -> None:
    model, x, y = network([4, 6, N]), batch(M, 4), batch(M, N, seed=2)
    gc.collect()
    opt, before = NGD.fast(model, Gaussian()), len(PASSES)
    for _ in range(3):
        opt.zero_grad()
        Gaussian()(model(x), y, weight=torch.arange(M) < 9).backward()
        opt.step()
    assert len(PASSES) == before


def test_the_likelihood_of_a_model_with_another_optimizer_looks_for_no_passes() -> None:
    """Neither while one of NGD's is there, nor when it is gone before the backward pass."""
    model, other, x, y = network([4, 6, N]), network([4, N]), batch(M, 4), batch(M, N, seed=2)
    _ = NGD.fast(model, Gaussian())
    expected = torch.autograd.grad(0.5 * (other(x) - y).square().sum(-1).mean(), list(other.parameters()))
    for keep in (True, False):
        output = model(x)
        loss = Gaussian()(other(x)[:, :], y)
        if not keep:
            del output
            gc.collect()
        torch.testing.assert_close(torch.autograd.grad(loss, list(other.parameters())), expected)
