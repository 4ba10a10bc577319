"""Tasks beyond the autoencoder: their data, what is measured on them, and the methods that take part."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn
from torch.func import hessian, vmap

from ngdnum import NGD, Categorical, Gaussian
from ngdnum.data import Examples, Problem
from ngdnum.errors import accuracy, cross_entropy, mean_squared_error
from ngdnum.experiments import packages
from ngdnum.experiments.chars import ALPHABET, Transformer, windows
from ngdnum.experiments.compare import compare
from ngdnum.experiments.fits import friedman
from ngdnum.experiments.method import method, natural, nesterov
from ngdnum.experiments.packages import lbfgs, packaged
from ngdnum.experiments.poisson import Poisson, exact, relative_error
from ngdnum.experiments.rivals import FULL_BATCH, OTHERS, STRONG
from ngdnum.experiments.task import Benchmark, unscaled
from ngdnum.experiments.tasks import BEYOND
from ngdnum.experiments.training import Budget, Run
from ngdnum.experiments.tuned import load_tuned
from ngdnum.experiments.tuning import tune_task
from ngdnum.fisher import FisherOperator
from support.interrupts import METHODS_WITHOUT_PACKAGES


@pytest.mark.parametrize("task", BEYOND, ids=lambda task: task.name)
def test_a_seed_decides_the_initial_weights_and_nothing_else(task: Benchmark) -> None:
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (task.problem(seed, None) for seed in (0, 0, 1))
    assert torch.rand(1) == drawn  # torch's generator is as before
    state, same, others = (list(p.model.state_dict().values()) for p in (first, again, other))
    assert all(map(torch.equal, state, same)) and not all(map(torch.equal, state, others))
    for part in ("train", "validation", "test"):
        examples = getattr(first, part)
        assert all(map(torch.equal, examples, getattr(other, part))) and len(examples.x) == len(examples.y)
        assert len(examples.x) == first.source[part]
    output = first.model(first.train.x[:3])
    assert first.likelihood(output, first.train.y[:3]).isfinite()
    start = first.error(first.model, *first.test)
    assert 0 < start < math.inf and start == first.error(first.model, *first.test)
    assert (first.accuracy is None) == isinstance(first.likelihood, Gaussian)
