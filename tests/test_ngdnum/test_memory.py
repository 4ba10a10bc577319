"""Exact factors of many outputs: pieces of bounded size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ngdnum import Bernoulli, Categorical, Gaussian, Likelihood, kronecker_factors
from support.networks import LIKELIHOODS, batch
from support.processes import apart

LARGE = 2**22
"""Numbers in the largest of several tensors that exact factors need at a time."""


class Sizes(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, operation: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        sizes = [t.untyped_storage().nbytes() // t.itemsize for t in tree_leaves(result) if isinstance(t, Tensor)]
        self.largest = max(self.largest, *sizes, 0)
        return result


@pytest.mark.what_if(
    "training loops",
    "exact factors are measured of hundreds of outputs",
    "they are measured in pieces, no one larger than 16 MB in float32",
)
@pytest.mark.parametrize("likelihood", [Bernoulli(), Categorical(), Gaussian()], ids=lambda x: type(x).__name__)
def test_many_outputs_take_no_more_memory_than_a_few(likelihood: Likelihood) -> None:
    """All directions at once would be 300² × 200 = 18 million numbers."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 300)), batch(200, 4).float()
    with Sizes() as sizes:
        found = kronecker_factors(model, likelihood, x, samples=None)
    assert LARGE // 4 < sizes.largest <= LARGE
    p = {Bernoulli: torch.sigmoid, Categorical: lambda f: f.softmax(1), Gaussian: torch.ones_like}[type(likelihood)](
        model(x).detach().double()
    )
    mean = p.mean(0) if not isinstance(likelihood, Bernoulli) else (p * (1 - p)).mean(0)
    expected = mean.diag() - (p.mT @ p / len(x) if isinstance(likelihood, Categorical) else 0)
    torch.testing.assert_close(found["2"][0].double(), expected, rtol=1e-4, atol=1e-7)


def growth(outputs: int, examples: int) -> int:
    """Prints by how many kB the process grows while exact factors are measured."""
    import resource  # which is not everywhere

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, outputs))
    kronecker_factors(model, Bernoulli(), torch.randn(8, 20), samples=None)
    before = peak()
    kronecker_factors(model, Bernoulli(), torch.randn(examples, 20), samples=None)
    print(peak() - before)
    return 0


@pytest.mark.what_if(
    "training loops",
    "exact factors are measured of 784 Bernoulli outputs and 500 examples",
    "the process grows by less than 150 MB, where all directions at once are 1.2 GB",
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ru_maxrss has other units, or does not exist")
def test_a_process_with_many_outputs_hardly_grows(tmp_path: Path) -> None:
    outputs, examples = 784, 500
    done = apart(growth, tmp_path, outputs, examples)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 150e6 < 4 * outputs**2 * examples / 8


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_parts_of_a_root_are_parts_of_the_whole(likelihood: Likelihood) -> None:
    output = batch(6, 3)
    whole = likelihood.fisher_root(output)
    for start in range(4):
        for stop in range(start, 5):
            part = likelihood.fisher_root(output, part=slice(start, stop))
            assert part.equal(whole[start:stop])


def test_a_root_that_takes_no_part_is_asked_for_all() -> None:
    class Own(Bernoulli):
        def fisher_root(self, output: Tensor) -> Tensor:
            return super().fisher_root(output) * 2

    torch.manual_seed(0)
    model, x = nn.Linear(4, 3).double(), batch(7, 4)
    ours, theirs = (kronecker_factors(model, likelihood, x, samples=None) for likelihood in (Bernoulli(), Own()))
    torch.testing.assert_close(theirs[""][0], 4 * ours[""][0])
