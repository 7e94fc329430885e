"""l2, l1 and max-norm against autograd and the definition, for every member with its own strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.data.batches import Batches
from babysit.data.sources import digits
from babysit.nn.networks import two_layer
from babysit.training.evaluation import evaluation_of
from babysit.training.gradients import Dense, Penalized
from babysit.training.losses import LOSSES
from babysit.training.regularization import penalty, project
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_added_gradient_is_the_gradient_of_the_penalty():
    rates = {"l2": vector(0.0, 0.3, 2.0), "l1": vector(0.5, 0.0, 1.5)}
    weights = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(penalty([weights], rates).sum(), weights)
    found = Penalized(Dense(torch.zeros_like(weights)), weights.detach(), rates).dense()
    torch.testing.assert_close(found, expected)


def test_the_penalty_sums_over_all_weights():
    one, other = torch.randn(2, 3, 4), torch.randn(2, 5, 3)
    rates = {"l2": vector(0.7, 0.7), "l1": vector(0.2, 0.2)}
    whole = penalty([one, other], rates)
    parts = penalty([one], rates) + penalty([other], rates)
    torch.testing.assert_close(whole, parts, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 6, 4), (3, 6, 2, 3, 3)])
def test_max_norm_bounds_each_unit_and_leaves_smaller_ones_alone(shape):
    weight = torch.randn(shape)
    weight[:, 0] *= 1e-3
    before = weight.clone()
    project(weight, {"max_norm": vector(0.0, 1.0, 2.0)})
    norms = weight.flatten(2).norm(dim=2)
    assert torch.equal(weight[0], before[0])
    assert (norms[1] <= 1 + 1e-5).all()
    assert (norms[2] <= 2 + 1e-5).all()
    assert torch.equal(weight[1, 0], before[1, 0])
    cosines = F.cosine_similarity(weight.flatten(2), before.flatten(2), dim=2)
    assert (cosines > 1 - 1e-5).all()


def test_a_unit_of_zeros_stays_zero():
    weight = torch.zeros(1, 2, 3)
    project(weight, {"max_norm": vector(1.0)})
    assert torch.equal(weight, torch.zeros(1, 2, 3))


def trained(members, epochs=3):
    data = digits()
    plan = Plan(LOSSES["softmax"], UPDATES["sgd"], SCHEDULES["constant"], epochs)
    trainer = Trainer(members, plan, Batches(data, 100, seed=0), evaluation_of(data, seed=0))
    reports = list(trainer.epochs())
    return trainer, reports


def test_each_members_own_strength_acts_on_it_alone():
    model = two_layer(64)
    options = [{}, {"l1": 1e-1}, {"l2": 1.0}, {"max_norm": 0.5}]
    members = [Candidate(model, {"learning_rate": 1e-3, **option}) for option in options]
    trainer, _ = trained(members)
    states = [trainer.weights(index) for index in range(4)]
    plain, l1, l2, bounded = (torch.cat([s["1.weight"].flatten(), s["3.weight"].flatten()]) for s in states)
    assert l1.abs().sum() < plain.abs().sum()
    assert l2.norm() < plain.norm()
    assert states[3]["1.weight"].norm(dim=1).max() <= 0.5 + 1e-5
    assert bounded.norm() < plain.norm()
    alone, _ = trained([members[1]])
    torch.testing.assert_close(alone.weights(0)["1.weight"], states[1]["1.weight"], rtol=1e-4, atol=1e-6)


def test_the_recorded_cost_holds_both_penalties():
    model = two_layer(64)
    _, reports = trained([Candidate(model, {"learning_rate": 1e-9, "l1": 0.01, "l2": 0.1})], 1)
    weights = [model[1].weight.detach().double(), model[3].weight.detach().double()]
    expected = sum(0.05 * (w**2).sum().item() + 0.01 * w.abs().sum().item() for w in weights)
    _, plain = trained([Candidate(model, {"learning_rate": 1e-9})], 1)
    found = reports[0].costs[0][0] - plain[0].costs[0][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_biases_and_norm_layers_are_not_regularized():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    with torch.no_grad():
        model[1].bias.fill_(5.0)
        model[2].weight.fill_(3.0)
    plain, strong = (
        {"learning_rate": 1e-6},
        {"learning_rate": 1e-6, "l2": 10.0, "l1": 10.0, "max_norm": 0.1},
    )
    trainer, _ = trained([Candidate(model, plain), Candidate(model, strong)], 1)
    for name in ("1.bias", "2.weight", "2.bias", "4.bias"):
        one, other = trainer.weights(0)[name], trainer.weights(1)[name]
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
