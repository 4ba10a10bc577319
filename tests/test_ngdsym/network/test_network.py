"""A deep linear network derived from its log-density: every statement, and wrong variants refused."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
from sympy import Float, Matrix, Rational, latex, zeros

from ngdsym.algebra.explicit import equal, is_zero
from ngdsym.network.linear_network import LinearNetwork
from ngdsym.network.points import random_values
from support import identities
from support.rational_points import RationalPoint, failure_bound

FROM_DENSITY = [
    identities.chain_rule,
    identities.gradient,
    identities.backpropagation,
    identities.model_covariances,
    identities.fisher_blocks,
    identities.fisher_pullback,
]
ALWAYS = [
    identities.exact_inverse,
    identities.trace_criterion,
    identities.flow_pseudo_inverse,
    identities.exact_flow,
    identities.staircase,
    identities.exact_rule,
]
IFF_WIDE = [
    identities.paper_inverse,
    identities.row_times_gradient,
    identities.equal_contributions,
    identities.flow_wide,
    identities.paper_flow_exact,
]
WIDE = [(2, 2, 2), (2, 3, 2), (3, 3, 3), (2, 2, 2, 2)]
NARROW = [(2, 1, 2), (2, 1, 1, 2), (3, 2, 2), (2, 2, 3)]


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), *WIDE, *NARROW])
def test_every_identity_by_proof(sizes):
    net = LinearNetwork(sizes)
    for identity in FROM_DENSITY + ALWAYS:
        assert identity(net), identity.__name__
    if net.L > 1:
        for identity in IFF_WIDE:
            assert identity(net) == net.formulas.is_wide, identity.__name__


LARGER = [(3, 2, 2, 3), (4, 3, 2), (2, 3, 4), (4, 4, 4, 4), (3, 5, 4, 2), (5, 3, 2, 3, 5), (6, 3, 5, 2, 4, 5)]


@pytest.mark.parametrize("sizes", LARGER)
def test_every_identity_at_a_rational_point(sizes):
    point = RationalPoint(sizes)
    for identity in [*ALWAYS, identities.fisher_rank]:
        assert identity(point), identity.__name__
    for identity in IFF_WIDE:
        assert identity(point) == point.formulas.is_wide, identity.__name__


def test_width_twelve_at_a_rational_point():
    point = RationalPoint((12, 6, 3, 6, 12))
    assert identities.exact_flow(point) and identities.staircase(point)
    assert not identities.paper_flow_exact(point)
    assert failure_bound(10**5) < Rational(1, 10**14)


def test_inverse_weights_need_square_layers():
    assert identities.inverse_weights(LinearNetwork((3, 3, 3)))
    with pytest.raises(ValueError, match="square"):
        identities.inverse_weights(LinearNetwork((2, 3, 2)))


def there(net: LinearNetwork, matrix: Matrix, seed: int = 3) -> np.ndarray:
    """Float64 values of a matrix with the same numbers for the symbols each time."""
    rng = np.random.default_rng(seed)
    numbers = {w: round(v, 3) for w, v in zip(net.parameters, rng.standard_normal(len(net.parameters)))}
    for S in (net.input_covariance, net.output_covariance):
        R = rng.standard_normal(S.shape)
        numbers |= dict(zip(S, (R @ R.T + np.eye(len(R))).flat))
    numbers |= dict(zip(net.cross_covariance, rng.standard_normal(net.cross_covariance.shape).flat))
    numbers = {symbol: Float(value) for symbol, value in numbers.items()}
    return np.array(matrix.xreplace(numbers).tolist(), dtype=float)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2), (2, 1, 2), (3, 2, 2), (2, 2, 3)])
def test_substituted_numbers_agree_with_dense_algebra(sizes):
    net = LinearNetwork(sizes)
    F, J, H = there(net, net.fisher()), there(net, net.jacobian()), there(net, net.metric())
    np.testing.assert_allclose(F, J.T @ H @ J, rtol=1e-9, atol=1e-10)
    gradient = np.concatenate([there(net, net.loss_gradient(i)).flatten("F") for i in range(1, net.L + 1)])
    dense = -np.linalg.pinv(F, rcond=1e-9, hermitian=True) @ gradient
    flow = (J @ dense).reshape(net.cross_covariance.shape, order="F")
    np.testing.assert_allclose(there(net, net.flow("exact")), flow, rtol=1e-6, atol=1e-8)
    for kind in ("paper", "exact"):
        X = there(net, net.generalized_inverse(kind))
        updates = np.concatenate([there(net, dW).flatten("F") for dW in net.natural_gradient(kind)])
        if kind == "exact" or net.formulas.is_wide:
            np.testing.assert_allclose(F @ X @ F, F, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(-X @ gradient, updates, rtol=1e-6, atol=1e-8)
        moved = (J @ updates).reshape(net.cross_covariance.shape, order="F")
        np.testing.assert_allclose(moved, there(net, net.flow(kind)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2), (2, 1, 2), (2, 1, 3)])
def test_paper_inverse_is_made_of_moore_penrose_inverses(sizes):
    net = LinearNetwork(sizes)
    L, X = net.L, there(net, net.generalized_inverse("paper"))
    ends = np.cumsum([0, *(len(W) for W in net.weights)])
    for i in range(1, L + 1):
        for j in range(1, L + 1):
            block = X[ends[i - 1] : ends[i], ends[j - 1] : ends[j]]
            expected = np.linalg.pinv(there(net, net.fisher_block(j, i)), rcond=1e-9) / L**2
            np.testing.assert_allclose(block, expected, rtol=1e-6, atol=1e-8)


def test_numbers_may_be_substituted_for_every_symbol():
    net = LinearNetwork((2, 1, 2))
    numbers = {symbol: k % 7 + 1 for k, symbol in enumerate(net.field.symbols)}
    updates = net.natural_gradient("paper")
    for matrix in (net.fisher(), net.generalized_inverse("exact"), *updates, net.flow("paper")):
        assert not matrix.subs(numbers).free_symbols and matrix.subs(numbers) == matrix.xreplace(
            {symbol: Rational(value) for symbol, value in numbers.items()}
        )


def test_fisher_is_its_blocks_and_prints_as_latex():
    net = LinearNetwork((2, 2, 2))
    blocks = Matrix.vstack(*[Matrix.hstack(net.fisher_block(i, 1), net.fisher_block(i, 2)) for i in (1, 2)])
    assert equal(net.fisher(), blocks)
    assert r"\tilde{\Sigma}_{11}" in latex(net.fisher_block(1, 2)) and "W_{1 12}" in latex(net.weights[0])


def test_bottleneck_flow_is_not_the_papers_but_narrow_output_is_free():
    net = LinearNetwork((3, 2, 2))
    Z = net.cross_covariance * net.input_covariance.inv() - net.end_to_end()
    assert equal(net.flow("exact"), Z) and not equal(net.flow("paper"), Z)
    wide = LinearNetwork((2, 3, 2))
    assert equal(wide.flow("paper"), wide.flow("exact"))
    assert all(equal(a, b) for a, b in zip(wide.natural_gradient("paper"), wide.natural_gradient("exact")))
    bottleneck = LinearNetwork((2, 1, 2))
    assert not equal(bottleneck.flow("paper"), bottleneck.flow("exact"))


def test_is_generalized_inverse_decides():
    wide, narrow = LinearNetwork((2, 2, 2)), LinearNetwork((2, 1, 2))
    for net in (wide, narrow):
        assert net.is_generalized_inverse(net.generalized_inverse("exact"), proof=True)
        assert not net.is_generalized_inverse(net.generalized_inverse("exact") * Rational(3, 2))
        assert not net.is_generalized_inverse(zeros(len(net.parameters)))
    assert wide.is_generalized_inverse(wide.generalized_inverse("paper"), proof=True)
    assert not narrow.is_generalized_inverse(narrow.generalized_inverse("paper"))
    with pytest.raises(ValueError, match="8 × 8"):
        wide.is_generalized_inverse(zeros(3))


def test_the_proof_of_a_generalized_inverse_ends_in_time() -> None:
    net = LinearNetwork((3, 1, 3))
    X = net.generalized_inverse("exact")
    started = process_time()
    with pytest.raises(TimeoutError, match=r"no proof was found in 0\.2 s, though the identity holds at random points"):
        net.is_generalized_inverse(X, proof=True, timeout=0.2)
    assert process_time() - started < 10
    small = LinearNetwork((2, 1, 2))
    assert small.is_generalized_inverse(small.generalized_inverse("exact"), proof=True, timeout=60)


def test_random_values_cover_every_symbol_and_follow_the_seed():
    net = LinearNetwork((2, 1, 2))
    assert random_values(net.field, 1) == random_values(net.field, 1) != random_values(net.field, 2)
    assert net.fisher().free_symbols <= set(random_values(net.field, 0))
    assert is_zero(net.fisher() - net.fisher().T)


@pytest.mark.parametrize("sizes", [(), (2,), (2, 0), (2, -1, 2), (2.0, 2), (True, 2), "22", 3, None])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes must be"):
        LinearNetwork(sizes)


def test_bad_kinds_and_layers_are_refused():
    net = LinearNetwork((2, 1, 2))
    for method in (net.flow, net.natural_gradient, net.generalized_inverse):
        with pytest.raises(ValueError, match='"paper" or "exact"'):
            method("best")
    products = net.backward_product, net.forward_product
    for call in (net.loss_gradient, net.error_factor, net.input_factor, *products):
        for layer in (0, 3, 1.0):
            with pytest.raises(ValueError, match="layers are counted 1 … 2"):
                call(layer)
    with pytest.raises(ValueError, match="layers are counted"):
        net.fisher_block(1, 3)


def test_substituting_at_once_is_sympys_substitution():
    net = LinearNetwork((1, 2, 1))
    update = net.natural_gradient("exact")[0]
    values = {s: k + 2 for k, s in enumerate(sorted(update.free_symbols, key=str))}
    one_by_one = Matrix(update)
    for symbol, value in values.items():
        one_by_one = one_by_one.subs(symbol, value)
    assert update.subs(values) == one_by_one and not one_by_one.free_symbols
    w, v = net.weights[0]
    assert net.fisher().subs({w: v, v: w}) == Matrix(net.fisher()).subs({w: v, v: w})
