"""The sample-efficient preset on the tasks of Figure 1A–C."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ngdnum import NGD, Gaussian
from ngdnum.data import Examples, linear_teacher
from ngdnum.errors import mean_squared_error
from ngdnum.experiments.training import batches

torch.set_num_threads(1)
TASKS = {
    "A": ((20,) * 17, 5_000),
    "B": ((*range(20, 100, 10), *range(100, 10, -10)), 3_000),
    "C": ((200, 80, 34, 20, 10, 5, 2, 5, 10, 20, 34, 80, 200), 5_000),
}


@pytest.mark.parametrize(("task", "dtype"), [*((task, torch.float32) for task in TASKS), ("C", torch.float64)], ids=str)
def test_the_floor_is_reached_with_few_samples_and_kept(task: str, dtype: torch.dtype) -> None:
    """1.5 × the smallest achievable error, then below twice of it for as long again."""
    sizes, budget = TASKS[task]
    problem = linear_teacher(sizes, seed=50)
    train, test = (Examples(*(a.to(dtype) for a in part)) for part in (problem.train, problem.test))
    model, likelihood, samples, reached = problem.model.to(dtype), Gaussian(), 0, None
    opt = NGD.sample_efficient(model, likelihood)
    opt.generator.manual_seed(0)
    for x, y in batches(train, 100, torch.Generator().manual_seed(0)):
        opt.zero_grad()
        loss = likelihood(model(x), y)
        loss.backward()
        opt.step(lambda: likelihood(model(x), y), loss=loss)
        samples += len(x)
        error = mean_squared_error(model, *test) / problem.floor
        if reached is None:
            assert samples <= budget
            reached = samples if error < 1.5 else None
        else:
            assert error < 2
            if samples >= 2 * reached:
                break


def test_the_preset_takes_options() -> None:
    opt = NGD.sample_efficient(nn.Linear(3, 2), Gaussian(), damping=0.5, lr=0.3)
    assert opt.param_groups[0]["damping"] == 0.5 and opt.param_groups[0]["lr"] == 0.3
    assert opt.control.steps == 5 and opt.factors.decay == 0.9
