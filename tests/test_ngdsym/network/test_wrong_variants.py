"""Wrong variants of the paper's statements are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ngdsym.network.formulas import Formulas, Share
from ngdsym.network.linear_network import LinearNetwork
from support import identities
from support.rational_points import RationalPoint

NET_IDENTITIES = [  # identity, sizes, method of Formulas, wrong method
    (identities.model_covariances, (2, 2, 2), "backward_covariance", lambda C: lambda f, i, j: C(f, j, i)),
    (identities.model_covariances, (2, 2, 2), "forward_covariance", lambda C: lambda f, i, j: C(f, i, j).T),
    (identities.fisher_blocks, (2, 2, 2), "forward_covariance", lambda C: lambda f, i, j: C(f, j, i)),
    (identities.fisher_blocks, (2, 2, 2), "backward_covariance", lambda C: lambda f, i, j: 2 * C(f, i, j)),
    (identities.exact_inverse, (2, 1, 2), "exact_shares", lambda S: lambda f, i: S(f, i)[:1]),
    (
        identities.exact_inverse,
        (2, 1, 2),
        "exact_shares",
        lambda S: lambda f, i: [Share(s.weight / 2, s.E, s.D) for s in S(f, i)],
    ),
    (
        identities.exact_rule,
        (3, 2, 2),
        "exact_shares",
        lambda S: lambda f, i: [Share(s.weight, s.E, -s.D) for s in S(f, i)],
    ),
    (
        identities.exact_rule,
        (3, 2, 2),
        "exact_shares",
        lambda S: lambda f, i: [Share(s.weight * f.L / f.L**2, s.E, s.D) for s in S(f, i)],
    ),
    (identities.exact_flow, (2, 1, 2), "P_a", lambda P: lambda f, i: P(f, i).T),
    (identities.exact_flow, (2, 1, 2), "P_b", lambda P: lambda f, i: P(f, i).T),
    (identities.staircase, (2, 1, 2), "P_b", lambda P: lambda f, i: P(f, min(i, f.L))),
    (identities.flow_pseudo_inverse, (2, 1, 2), "P_a", lambda P: lambda f, i: P(f, i).T),
    (
        identities.flow_pseudo_inverse,
        (2, 1, 2),
        "paper_block",
        lambda B: lambda f, i, j: (B(f, i, j)[0], -B(f, i, j)[1]),
    ),
    (identities.paper_inverse, (2, 2, 2), "paper_block", lambda B: lambda f, i, j: tuple(m.T for m in B(f, i, j))),
    (
        identities.equal_contributions,
        (2, 2, 2),
        "paper_block",
        lambda B: lambda f, i, j: ((1 + (i < j)) * B(f, i, j)[0], B(f, i, j)[1]),
    ),
    (
        identities.row_times_gradient,
        (2, 2, 2),
        "paper_block",
        lambda B: lambda f, i, j: ((1 + (i < j)) * B(f, i, j)[0], B(f, i, j)[1]),
    ),
    (
        identities.trace_criterion,
        (2, 1, 2),
        "paper_block",
        lambda B: lambda f, i, j: (2 * B(f, i, j)[0], B(f, i, j)[1]),
    ),
    (identities.flow_wide, (2, 2, 2), "A", lambda A: lambda f, i: A(f, i).T),
    (
        identities.inverse_weights,
        (2, 2, 2),
        "paper_block",
        lambda B: lambda f, i, j: (B(f, i, j)[0].T * 2, B(f, i, j)[1]),
    ),
]


@pytest.mark.parametrize("identity, sizes, method, wrong", NET_IDENTITIES)
def test_wrong_variant_is_refused(monkeypatch, identity, sizes, method, wrong):
    assert identity(LinearNetwork(sizes))
    monkeypatch.setattr(Formulas, method, wrong(getattr(Formulas, method)))
    assert not identity(LinearNetwork(sizes))


def test_backpropagation_without_transposes_and_wrong_metric_are_refused(monkeypatch):
    net = LinearNetwork((2, 2, 2))
    f = net.formulas

    def wrong_errors(net, e):
        return [f.weights[1] @ f.precision @ e, f.precision @ e]

    monkeypatch.setattr(identities, "_errors", wrong_errors)
    assert not identities.backpropagation(net)
    wrong = LinearNetwork((2, 2, 2))
    doubled = 2 * wrong.formulas.output_covariance
    wrong.__dict__["formulas"] = replace(wrong.formulas, output_covariance=doubled)
    assert not identities.fisher_pullback(wrong)


@pytest.mark.parametrize("wrong", [lambda G: lambda f, i: -G(f, i), lambda G: lambda f, i: G(f, i).T])
def test_wrong_gradient_is_refused(monkeypatch, wrong):
    monkeypatch.setattr(identities, "negative_gradient", wrong(identities.negative_gradient))
    assert not identities.gradient(LinearNetwork((2, 2, 2)))


def test_wrong_rank_is_refused(monkeypatch):
    monkeypatch.setattr(identities, "generic_fisher_rank", lambda sizes: 13)
    assert not identities.fisher_rank(RationalPoint((4, 2, 4)))
