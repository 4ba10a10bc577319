"""Results of `LinearNetwork` stay factored: a sum over one denominator, which is written once."""

from __future__ import annotations

import flint
import pytest
from sympy import Matrix, Pow, fraction

from ngdsym import LinearNetwork
from ngdsym.algebra.explicit import equal
from ngdsym.algebra.fields import rational_functions


def test_equal_quotients_are_written_alike() -> None:
    draw = rational_functions(2)
    x, y = draw(), draw()
    assert str(y * flint.fmpq(1, 2) / (x * y)) == str(1 / (2 * x))


@pytest.mark.parametrize("result", [lambda net: net.fisher(), lambda net: net.loss_gradient(1)], ids=["F", "gradient"])
def test_entries_have_one_denominator(result) -> None:
    net = LinearNetwork((2, 2, 2))
    volume = net.output_covariance.det()
    for entry in result(net):
        above, below = fraction(entry)
        assert below in (1, volume) and not any(power.exp < 0 for power in above.atoms(Pow))


def test_fisher_is_the_pulled_back_metric() -> None:
    net = LinearNetwork((2, 1, 2))
    J = net.jacobian()
    assert equal(Matrix(net.fisher()), J.T * net.metric() * J)
