"""Factors from part of a batch: with the examples along the first axis, the first of them; otherwise all of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev

from ngdnum import NGD, Factors, Gaussian

torch.set_num_threads(1)
T = 5


class Pooled(nn.Module):
    """B ⟨tanh(A x_t)⟩ over T times t, which lie along the first axis within the model, or along the second."""

    def __init__(self, time_first: bool) -> None:
        super().__init__()
        self.time_first, self.a, self.b = time_first, nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.time_first:
            return self.b(self.a(x.transpose(0, 1)).tanh().mean(0))
        return self.b(self.a(x).tanh().mean(1))


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("count", [T, 12, 40])
def test_factors_of_the_first_rows(time_first: bool, count: int) -> None:
    """Λ from the inputs, Λ̃ from Jacobians, at times that differ in scale by 30.

    If there are as many examples as times, which axis is which is not known.
    """
    torch.manual_seed(0)
    model, rows = Pooled(time_first).double(), 4
    x = torch.randn(count, T, 4).double() * torch.linspace(0.1, 3, T).view(T, 1)
    opt = NGD(model, Gaussian(), samples=None, factors=Factors(every=2, rows=rows))
    with torch.no_grad():
        J = torch.stack([jacrev(lambda z: model.b(z.tanh().mean(0)))(model.a(x[m])) for m in range(rows)])
    Gaussian()(model(x), torch.zeros(count, 2).double()).backward()
    opt.step()

    used = x if time_first or count == T else x[: math.ceil(rows / math.sqrt(T))]  # T times are worth √T rows
    rows_of_a = torch.cat([used, torch.ones_like(used[..., :1])], -1).flatten(0, 1)
    state = opt.state[model.a.weight]
    torch.testing.assert_close(state["Lambda"], rows_of_a.T @ rows_of_a / len(rows_of_a))
    torch.testing.assert_close(state["Lambda_tilde"], torch.einsum("mrti,mrtj->ij", J, J) / rows)
