"""Several positions of an example, and layers that are used several times."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, Categorical, Gaussian, kronecker_factors
from support.networks import batch, close, images, network, output_jacobians

torch.set_num_threads(1)


class Recurrent(nn.Module):
    """One layer used twice; its uses may have layers of their own instead."""

    def __init__(self, apart: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, last = nn.Linear(4, 4).double(), nn.Linear(4, 3).double()
        self.uses = nn.ModuleList([first, nn.Linear(4, 4).double() if apart else first])
        self.uses[1].load_state_dict(first.state_dict())
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.uses:
            x = layer(x).tanh()
        return self.last(x)


def test_a_layer_used_twice_has_two_positions() -> None:
    x = batch(6, 4)
    shared, apart = (kronecker_factors(Recurrent(a), Gaussian(), x) for a in (False, True))
    assert list(shared) == ["uses.0", "last"]
    uses = apart["uses.0"], apart["uses.1"]
    torch.testing.assert_close(shared["uses.0"][0], uses[0][0] + uses[1][0])
    torch.testing.assert_close(shared["uses.0"][1], (uses[0][1] + uses[1][1]) / 2)
    torch.testing.assert_close(shared["last"], apart["last"])


def test_a_layer_used_twice_reduced_has_one_error_and_one_input() -> None:
    """Errors are summed and inputs averaged over both uses."""
    model, x = Recurrent(), batch(1, 4)
    (lambda_tilde, lambda_) = kronecker_factors(model, Gaussian(), x, kfac_approx="reduce")["uses.0"]
    jacobian = output_jacobians(model, x)["uses.0.bias"][0]
    torch.testing.assert_close(lambda_tilde, jacobian.mT @ jacobian)
    hidden = model.uses[0](x).tanh()
    mean = torch.cat([(x + hidden) / 2, torch.ones(1, 1, dtype=x.dtype)], 1)
    torch.testing.assert_close(lambda_, (mean.mT @ mean).detach())


def test_positions_of_the_output_are_examples() -> None:
    model, x = network([4, 5, 3]), batch(12, 4)
    for likelihood in (Gaussian(), Categorical()):
        flat = kronecker_factors(model, likelihood, x)
        close(kronecker_factors(model, likelihood, x.view(2, 3, 2, 4)), flat)
    y = batch(12, 3, seed=2)
    results = []
    for shape in ((12,), (3, 4)):
        model = network([4, 5, 3])
        opt = NGD.fast(model, Gaussian(), samples=None)
        Gaussian()(model(x.view(*shape, 4)), y.view(*shape, 3)).backward()
        opt.step()
        results.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(*results)


class Mixing(nn.Module):
    """Each position of the output depends on all positions of the input."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.flat = nn.Linear(4, 5).double(), nn.Linear(5, 3).double(), flat

    def forward(self, x: Tensor) -> Tensor:
        output = self.last(self.first(x).tanh().cumsum(1))
        return output.flatten(1) if self.flat else output


def test_exact_factors_are_exact_where_positions_mix() -> None:
    """The same distribution of targets, once with 12 outputs of one example, once with 3 of each of four."""
    x = images(5, 4, 4)
    flat, sequence = (kronecker_factors(Mixing(flat), Gaussian(), x) for flat in (True, False))
    for name in flat:
        torch.testing.assert_close(sequence[name][0] * 4, flat[name][0])
        torch.testing.assert_close(sequence[name][1], flat[name][1])


def test_rows_that_do_not_belong_to_examples_can_only_be_expanded() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.last = nn.Linear(4, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.layer(x[:5]).repeat(2, 1)[: len(x)])

    model, x = Pooled().double(), batch(6, 4)
    kronecker_factors(model, Gaussian(), x)
    with pytest.raises(ValueError, match=r"'layer' acts on 5 rows, no multiple of the 6 examples.*expand"):
        kronecker_factors(model, Gaussian(), x, kfac_approx="reduce")
