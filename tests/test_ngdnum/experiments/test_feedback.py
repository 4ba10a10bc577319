"""Training with errors sent back by other matrices than the transposes, against autograd and closed forms."""

from __future__ import annotations

import pytest
import torch

from ngdnum.experiments.feedback import (
    FEEDBACKS,
    NETWORKS,
    Network,
    Training,
    compare_feedback,
    learnt,
    learnt_from_targets,
    pseudo_inverses,
    transposes,
)


@pytest.mark.parametrize("name", NETWORKS)
def test_transposes_are_back_propagation(name: str) -> None:
    training = Training(NETWORKS[name], transposes, seed=0)
    weights = [W.clone().requires_grad_() for W in training.weights]
    outputs = NETWORKS[name].activations(weights, training.x)[-1]
    loss = 0.5 * (training.y - outputs).square().sum(1).mean()
    activations = NETWORKS[name].activations(training.weights, training.x)
    changes = training.changes(transposes([], training.weights, activations, training.y), activations)
    for change, gradient in zip(changes, torch.autograd.grad(loss, weights)):
        assert torch.allclose(change, -gradient, atol=1e-12)


def test_every_feedback_starts_from_the_same_network_and_sends_back_by_its_own_matrices() -> None:
    trainings = {name: Training(NETWORKS["two layers"], feedback, seed=1) for name, feedback in FEEDBACKS.items()}
    first = trainings["fixed"]
    for training in trainings.values():
        assert all(torch.equal(a, b) for a, b in zip(training.weights, first.weights))
    for training in trainings.values():
        training.step()
    before = first.B[0].clone()
    first.step()
    assert torch.equal(before, first.B[0])
    assert not torch.equal(trainings["learnt"].B[0], before)
    updates = [training.weights[0] for training in trainings.values()]
    assert all(not torch.allclose(a, b) for i, a in enumerate(updates) for b in updates[:i])


def test_learnt_matrices_end_as_the_inverse_where_there_is_one() -> None:
    network = Network((6, 4, 4))
    generator = torch.Generator().manual_seed(0)
    weights = network.draw(generator)
    weights[1] = torch.diag(torch.tensor([2.0, 1.5, 1.0, 0.8], dtype=torch.float64))
    x = torch.randn(300, 6, generator=generator, dtype=torch.float64)
    activations, B = network.activations(weights, x), [torch.zeros(4, 4, dtype=torch.float64)]
    for _ in range(20_000):
        B = learnt(B, weights, activations, activations[-1])
    assert torch.allclose(B[0], pseudo_inverses([], weights, activations, activations[-1])[0], atol=1e-3)


def test_cosines_are_one_with_themselves_and_the_loss_is_a_share_of_the_first() -> None:
    for name in ("transposes", "pseudo-inverses"):
        training = Training(NETWORKS["three layers"], FEEDBACKS[name], seed=0)
        found = training.compare()
        assert found["loss"] == 1.0 and found[name] == pytest.approx(1.0)
        (other,) = {"transposes", "pseudo-inverses"} - {name}
        assert abs(found[other]) < 0.9
        for _ in range(30):
            training.step()
        assert training.compare()["loss"] < 0.5


def test_checkpoints_are_points_of_one_training() -> None:
    result = compare_feedback(networks=("two layers",), checkpoints=(0, 5, 12), seeds=1, progress=False)
    training = Training(NETWORKS["two layers"], FEEDBACKS["learnt"], seed=0)
    for _ in range(12):
        training.step()
    assert result.values("loss", feedback="learnt", steps=12) == [training.compare()["loss"]]
    assert len(result.rows) == 15 and result.complete


def test_matrices_learnt_from_targets_are_regressions_of_activations_on_what_comes_back() -> None:
    generator = torch.Generator().manual_seed(0)
    y, x_2, x_1 = (torch.randn(300, n, generator=generator, dtype=torch.float64) for n in (3, 4, 5))
    x_2[:, :3] += 2 * y
    x_1[:, :4] += x_2
    B = [torch.zeros(5, 4, dtype=torch.float64), torch.zeros(4, 3, dtype=torch.float64)]
    for _ in range(3_000):
        B = learnt_from_targets(B, [], [y, x_1, x_2, y], y)
    back = y @ torch.linalg.lstsq(y, x_2).solution
    assert torch.allclose(y @ B[1].mT, back)
    assert torch.allclose(back @ B[0].mT, y @ torch.linalg.lstsq(y, x_1).solution)  # back spans what y does


@pytest.mark.parametrize("feedback", ["learnt", "from targets"])
def test_learnt_matrices_undo_the_last_layer_once_the_task_is_learnt(feedback: str) -> None:
    training = Training(Network((8, 6, 3)), FEEDBACKS[feedback], seed=0)
    first = training.compare()
    for _ in range(4_000):
        training.step()
    last = training.compare()
    assert float(str(first["not undone"])) > 0.5 and float(str(last["not undone"])) < 0.02
    assert last["pseudo-inverses"] != pytest.approx(1.0, abs=1e-3)  # one right inverse of many


def test_pseudo_inverses_undo_the_last_layer_from_the_start() -> None:
    assert float(str(Training(NETWORKS["two layers"], pseudo_inverses, seed=0).compare()["not undone"])) < 1e-12
