"""The exact rule against the dense natural gradient of linear networks with and without biases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ngdnum.rules import NETWORK_RULES, RULES
from ngdnum.rules.network import exact_factorise
from support.matrices import BATCH, covariance, error, eye, gaussian, inv

SIZES = [
    (4, 3, 2),
    (4, 2, 4),
    (2, 3, 2),
    (5, 3, 2, 3, 5),
    (2, 4, 2, 5, 3),
    (3, 5, 2, 4, 3, 6),
    (8, 5, 4, 2, 3, 6, 7),
]


BIASES = {"none": lambda i: 0, "all": lambda i: 1, "first": lambda i: int(i == 0)}


def change_of_outputs(sizes, bias, steps):
    """First-order change of all outputs under each update of `steps`, and under the dense F⁺ g."""
    layers = range(len(sizes) - 1)
    weights = [gaussian(sizes[i + 1], sizes[i] + bias(i), seed=i) / sizes[i] ** 0.5 for i in layers]
    count = 4 * sizes[0] + 10
    x, y = gaussian(count, sizes[0], seed=20), gaussian(count, sizes[-1], seed=21)
    noise = covariance(sizes[-1], 22)[0]

    def outputs(*weights):
        h = x
        for i, W in enumerate(weights):
            h = torch.cat([h, torch.ones(count, 1, dtype=h.dtype)], 1) if bias(i) else h
            inputs.append(h)
            h = h @ W.mT
        return h

    inputs: list[Tensor] = []
    residual = y - outputs(*weights)
    inputs = inputs[: len(weights)]
    A = [eye(sizes[-1])]
    for i in reversed(layers[1:]):
        A.insert(0, A[0] @ weights[i][:, : sizes[i]])
    Lambda_tilde = [a.mT @ inv(noise) @ a for a in A]
    Lambda = [h.mT @ h / count for h in inputs]
    G = [a.mT @ inv(noise) @ residual.mT @ h / count for a, h in zip(A, inputs)]
    jacobian = torch.autograd.functional.jacobian(lambda *W: outputs(*W).reshape(-1), tuple(weights))
    J = torch.cat([j.reshape(j.shape[0], -1) for j in jacobian], 1)
    F = J.mT @ torch.kron(eye(count), inv(noise).contiguous()) @ J / count
    flat = lambda matrices: torch.cat([a.reshape(-1) for a in matrices])
    dense = J @ torch.linalg.pinv(F, rtol=1e-11, hermitian=True) @ flat(G)
    return dense, [J @ flat(step(weights, Lambda_tilde, Lambda, G)) for step in steps]


def exact(weights, Lambda_tilde, Lambda, G):
    rule = NETWORK_RULES["exact"]
    return rule.apply(G, rule.factorise(weights, Lambda_tilde, Lambda))


def paper(weights, Lambda_tilde, Lambda, G):
    rule = RULES["kronecker"].undamped
    return [rule.apply(g, rule.factorise(E, X), len(G)) for g, E, X in zip(G, Lambda_tilde, Lambda)]


@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_exact_rule_is_the_dense_natural_gradient(sizes, bias):
    """Every output changes as under F⁺ g, with F from autodiff; under Eq. 10 it does so in wide nets only."""
    dense, (found, simple) = change_of_outputs(sizes, bias, [exact, paper])
    assert error(found[:, None], dense[:, None]) < 1e-10
    assert (error(simple[:, None], dense[:, None]) < 1e-10) == (sizes == (2, 3, 2))


def test_exact_rule_has_as_many_terms_as_widths_have_levels():
    sizes = (8, 5, 4, 2, 3, 6, 7)
    weights = [gaussian(sizes[i + 1], sizes[i]) for i in range(6)]
    state = exact_factorise(weights, [eye(s) for s in sizes[1:]], [eye(s) for s in sizes[:-1]])
    assert [len(pairs) for pairs in state] == [1, 1, 1, 2, 3, 4]


def test_exact_rule_keeps_batch_axes():
    sizes = (4, 2, 3)
    weights = [gaussian(BATCH, sizes[i + 1], sizes[i], seed=i) for i in range(2)]
    Lambda_tilde, Lambda = [covariance(s, s) for s in sizes[1:]], [covariance(s, s) for s in sizes[:-1]]
    together = exact(weights, Lambda_tilde, Lambda, weights)
    for b in range(BATCH):
        alone = exact(*([a[b] for a in q] for q in (weights, Lambda_tilde, Lambda, weights)))
        for one, all_ in zip(alone, together):
            assert error(one, all_[b]) < 1e-12


@pytest.mark.parametrize(
    "shapes, message",
    [
        ([(3, 4), (2, 5)], "layer 2 takes 5 inputs"),
        ([(3, 4), (2, 3), (2, 3)], "layer 3 has a bias, layer 2 has none"),
    ],
)
def test_exact_rule_refuses_what_is_no_chain(shapes, message):
    weights = [gaussian(*shape) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        exact_factorise(weights, [eye(a) for a, _ in shapes], [eye(b) for _, b in shapes])
    with pytest.raises(ValueError, match="each layer needs"):
        exact_factorise(weights, [], [])
