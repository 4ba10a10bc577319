"""Weights that lose rank: the true flow, or a refusal, never the generic formula."""

from __future__ import annotations

import numpy as np
import pytest
from sympy import QQ, Matrix, Rational, zeros
from sympy.polys.matrices import DomainMatrix

from ngdsym import SingularPoint
from ngdsym.network.linear_network import LinearNetwork

SINGULAR = [  # sizes, weights that are zero
    ((2, 2, 2), (1, 2)),
    ((2, 1, 2), (1, 2)),
    ((2, 1, 2), (1,)),
    ((2, 3, 2), (1, 2)),
    ((2, 2, 2, 2), (1, 2)),
    ((3, 2, 2), (1, 2)),
    ((1, 2, 1), (1, 2)),
]


def values(net: LinearNetwork, zero: tuple[int, ...], seed: int = 0) -> dict:
    """Rational numbers for every symbol, Σ and Σ̃ positive definite, some weight matrices zero."""
    rng = np.random.default_rng(seed)
    numbers = {
        w: Rational(int(rng.integers(1, 20)), 7) * int(i not in zero) for i, W in enumerate(net.weights, 1) for w in W
    }
    for S in (net.input_covariance, net.output_covariance):
        R = Matrix(*S.shape, lambda a, b: int(rng.integers(-4, 5))) + 5 * Matrix.eye(S.shape[0])
        numbers |= dict(zip(S, R * R.T))
    return numbers | {c: Rational(int(rng.integers(-9, 9)), 3) for c in net.cross_covariance}


def true_flow(net: LinearNetwork, numbers: dict) -> np.ndarray:
    """−J F⁺ ∇ in float64."""
    F, J = (np.array(M.subs(numbers).tolist(), dtype=float) for M in (net.fisher(), net.jacobian()))
    gradient = np.concatenate(
        [np.array(net.loss_gradient(i).subs(numbers).tolist(), dtype=float).flatten("F") for i in range(1, net.L + 1)]
    )
    return -(J @ np.linalg.pinv(F, rcond=1e-9, hermitian=True) @ gradient).reshape(
        net.cross_covariance.shape, order="F"
    )


@pytest.mark.parametrize("sizes, zero", SINGULAR)
def test_generic_formulas_refuse_weights_that_lose_rank(sizes, zero):
    net = LinearNetwork(sizes)
    weights = {w: v for w, v in values(net, zero).items() if w in net.parameters}
    for matrix in (net.flow("exact"), *net.natural_gradient("exact"), net.generalized_inverse("paper")):
        with pytest.raises(SingularPoint, match="generic weights: rank"):
            matrix.subs(weights)
        with pytest.raises(SingularPoint, match="generic weights: rank"):
            matrix.xreplace({w: Rational(v) for w, v in weights.items()})


@pytest.mark.parametrize(
    "sizes, zero",
    [*SINGULAR, ((2, 2, 2), (1,)), ((2, 2, 2, 2), (2,)), ((4, 3, 2, 3), (2,)), ((3, 2, 4, 3), ()), ((2, 2, 2), ())],
)
def test_at_given_weights_the_flow_is_the_true_one_whatever_their_rank(sizes, zero):
    net = LinearNetwork(sizes)
    numbers = values(net, zero)
    flow = np.array(net.flow("exact", at=numbers).subs(numbers).tolist(), dtype=float)
    np.testing.assert_allclose(flow, true_flow(net, numbers), rtol=1e-8, atol=1e-9)
    updates = [dW.subs(numbers) for dW in net.natural_gradient("exact", at=numbers)]
    A, B = ([M(i).subs(numbers) for i in range(1, net.L + 1)] for M in (net.backward_product, net.forward_product))
    moved = sum((a * dW * b for a, dW, b in zip(A, updates, B)), zeros(*net.cross_covariance.shape))
    np.testing.assert_allclose(np.array(moved.tolist(), dtype=float), flow, rtol=1e-8, atol=1e-9)
    F, X = (
        DomainMatrix.from_Matrix(M.subs(numbers)).convert_to(QQ)
        for M in (net.fisher(), net.generalized_inverse("exact", at=numbers))
    )
    assert F * X * F == F


def test_the_generic_flow_is_given_where_it_holds_although_a_weight_is_singular():
    """One layer that reaches every map is enough: A_1 = W_2 is invertible though W_1 = 0."""
    net = LinearNetwork((2, 2, 2))
    numbers = values(net, (1,))
    flow = net.flow("exact").subs(numbers)
    np.testing.assert_allclose(np.array(flow.tolist(), dtype=float), true_flow(net, numbers), rtol=1e-9, atol=1e-9)


def test_rank_lost_by_a_relation_between_weights_is_refused():
    net = LinearNetwork((2, 1, 2))
    (a, b), Z = net.weights[0], net.flow("exact")
    assert Z.subs({a: b}).free_symbols == Z.free_symbols - {a}
    with pytest.raises(SingularPoint, match="rank B_2 = 1"):
        Z.subs({a: 0}).subs({b: 0})
    net_2 = LinearNetwork((2, 2, 2))
    with pytest.raises(SingularPoint, match="rank A_1 = 2"):
        net_2.natural_gradient("exact")[0].subs(dict(zip(net_2.weights[1], net_2.weights[1].flat()[:2] * 2)))


def test_points_must_be_complete_and_rational():
    net = LinearNetwork((1, 1, 1))
    with pytest.raises(ValueError, match="without: W_2_11"):
        net.flow("exact", at={net.weights[0][0]: 1})
    with pytest.raises(TypeError, match="0.5 is no rational number"):
        net.flow("exact", at=dict.fromkeys(net.parameters, 0.5))
