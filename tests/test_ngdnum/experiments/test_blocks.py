"""The full Fisher matrix against its definition, and what its parts do against calculations of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from ngdnum import Categorical, Gaussian
from ngdnum.experiments.blocks import NETWORKS, FullFisher, Network, compare_blocks, speed_and_alignment


def drawn(network: Network, depth: int, seed: int = 0) -> tuple[nn.Sequential, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    model = network.model(depth, generator)
    return model, torch.randn(30, 4, generator=generator, dtype=torch.float64), generator


@pytest.mark.parametrize("name", NETWORKS)
def test_the_full_fisher_is_the_mean_of_its_definition(name: str) -> None:
    """Jᵀ F_f J with J by reverse-mode derivatives of the whole model, F_f the covariance of all scores."""
    network = NETWORKS[name]
    model, x, _ = drawn(network, 3)
    named = dict(model.named_parameters())
    jacobians = jacrev(lambda weights: functional_call(model, weights, (x,)))(named)
    J = torch.cat([j.detach().flatten(2) for j in jacobians.values()], 2)
    output_fisher = torch.eye(4, dtype=torch.float64).expand(30, 4, 4)
    if isinstance(network.likelihood, Categorical):
        p = model(x).detach().softmax(1)
        scores = torch.eye(4, dtype=torch.float64) - p[:, None, :]  # of each class
        output_fisher = torch.einsum("mk,mka,mkb->mab", p, scores, scores)
    expected = torch.einsum("map,mab,mbq->pq", J, output_fisher, J) / 30
    assert torch.allclose(FullFisher(model, network.likelihood, x).matrix, expected, atol=1e-12)


def test_the_blocks_of_a_linear_network_are_kronecker_products_of_their_factors() -> None:
    model, x, _ = drawn(NETWORKS["bottleneck"], 3)
    fisher = FullFisher(model, Gaussian(), x)
    for i in fisher.layers:
        for j in fisher.layers:
            assert torch.allclose(fisher.block(i, j), torch.kron(*fisher.kronecker(i, j)), atol=1e-12)


def test_bands_hold_the_blocks_near_the_diagonal_and_no_others() -> None:
    model, x, _ = drawn(NETWORKS["wide"], 3)
    fisher = FullFisher(model, Gaussian(), x)
    first, last = torch.arange(24), torch.arange(60, 84)
    assert torch.equal(fisher.banded(2), fisher.matrix)
    assert not fisher.banded(1)[first][:, last].any() and fisher.matrix[first][:, last].any()
    total = sum(fisher.block(i, j).square().sum() for i in range(3) for j in range(3) if i != j)
    assert fisher.off_diagonal() == pytest.approx(float(total / fisher.matrix.square().sum()))


def test_speed_counts_length_and_alignment_does_not() -> None:
    F = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))
    g = torch.tensor([2.0, 1.0], dtype=torch.float64)
    natural = torch.linalg.solve(F, g)
    assert speed_and_alignment(F, g, 3 * natural) == pytest.approx((3.0, 1.0))
    assert speed_and_alignment(F, g, g)[1] == pytest.approx(5 / (17 * 2) ** 0.5)


def test_contributions_are_equal_where_theory_says_so_and_nowhere_else() -> None:
    unequal = {}
    for name in ("wide", "bottleneck", "tanh"):
        model, x, generator = drawn(NETWORKS[name], 3)
        y = NETWORKS[name].targets(x, generator)
        G = [-g for g in torch.autograd.grad(Gaussian()(model(x), y), list(model.parameters()))]
        unequal[name] = FullFisher(model, Gaussian(), x).unequal(G)
    assert unequal["wide"] < 1e-9 and unequal["bottleneck"] > 0.1 and unequal["tanh"] > 0.1


def test_the_experiment_finds_the_lengths_of_the_theory() -> None:
    result = compare_blocks(networks={"wide": Network(), "narrow": Network(2)}, depths=(4,), seeds=1, progress=False)
    for band, length in (("band 0", 4), ("band 1", 2), ("band 2", 1)):
        assert result.values(f"speed {band}", network="wide") == pytest.approx([length] * 2)
        assert result.values(f"alignment {band}", network="wide") == pytest.approx([1] * 2)
    assert max(result.values("alignment band 0", network="narrow")) < 0.99
    trained = [row["trained"] for row in result.rows]
    assert trained == [False, True, False, True] and result.complete
    start, end = result.values("off_diagonal", network="wide")
    assert start != end
