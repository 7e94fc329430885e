"""The course's published numbers, out of the trainer that trains: losses, costs, gradients.

Everything runs in float64, several networks as one population.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.checks.questions.gradients import check_gradients
from babysit.nn.networks import mlp
from babysit.training.evaluation import Evaluation
from babysit.training.losses import LOSSES
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES
from reference import course_networks as course


class OneBatch:
    """The same rows at every step."""

    steps_per_epoch = 1

    def __init__(self, x, y):
        self.x, self.y = x, y

    def epoch(self, epoch):
        yield self.x, self.y


class Mask(nn.Module):
    """Dropout with a given mask."""

    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(mask))

    def forward(self, x):
        return x * self.mask


def affine(weight, bias):
    layer = nn.Linear(*weight.shape, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.T))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def network(case, between=lambda layer, width: [nn.ReLU()]):
    """The case as torch layers; ``between`` gives those after each hidden affine layer."""
    layers = [nn.Flatten()]
    for number, (weight, bias) in enumerate(zip(case.weights, case.biases, strict=True)):
        if number:
            layers += between(number, len(weight))
        layers.append(affine(weight, bias))
    return nn.Sequential(*layers)


def rows(case):
    return torch.from_numpy(np.ascontiguousarray(case.x)), torch.from_numpy(case.y)


def trainer_of(models, case, l2=0.0, *, epochs=1, schedule="constant", keys=None, **rates):
    x, y = rows(case)
    strengths = l2 if isinstance(l2, list) else [l2] * len(models)
    candidates = [
        Candidate(model, {"learning_rate": 0.1, "l2": strength, **rates}, key)
        for model, strength, key in zip(models, strengths, keys or [0] * len(models), strict=True)
    ]
    plan = Plan(LOSSES["softmax"], UPDATES["sgd"], SCHEDULES[schedule], epochs)
    return Trainer(candidates, plan, OneBatch(x, y), Evaluation(x, y, x, y))


def costs(models, case, l2=0.0):
    """What the trainer would print for each network as its first cost."""
    return trainer_of(models, case, l2).costs(*rows(case))[1].tolist()


def worst_gradient_error(case, l2=0.0, **options):
    return check_gradients(network(case, **options), F.cross_entropy, *rows(case), l2=l2, burn_in=0).worst


# 1: assignment 1's toy network; it counts l2 * sum(W^2), twice ours


def test_the_toy_networks_scores_and_both_conventions_of_its_cost():
    case = course.toy()
    trainer = trainer_of([network(case)] * 2, case, [0.05, 0.1])
    outputs = trainer.lowering.forward(trainer.population.parameters, {}, rows(case)[0])
    expected = [-0.81233741, -1.27654624, -0.70335995]
    np.testing.assert_allclose(outputs[0, 0].tolist(), expected, atol=5e-9)
    half, whole = trainer.costs(*rows(case))[1].tolist()
    assert half == pytest.approx(1.2848224717, abs=1e-9)
    assert whole == pytest.approx(1.30378789133, abs=1e-9)
    assert [course.cost(case, 0.05), course.cost(case, 0.1)] == pytest.approx([half, whole], abs=1e-12)


def test_the_toy_networks_gradients():
    assert worst_gradient_error(course.toy(), l2=0.1) < 1e-7


def test_the_toy_network_is_trained_below_two_hundredths():
    case = course.toy()
    trainer = trainer_of(
        [network(case)], case, 1e-5, epochs=100, schedule="multiplicative", learning_rate_decay=0.95
    )
    (*_, last) = trainer.epochs()
    assert last.readings[0].cost < 0.02
    assert last.readings[0].train_accuracy == 1


# 2 and 3: one layer


def test_an_affine_layer_on_evenly_spaced_tensors():
    case = course.Case(
        course.filled(-0.1, 0.5, 2, 4, 5, 6),
        np.array([0, 1]),
        [course.filled(-0.2, 0.3, 120, 3)],
        [course.filled(-0.3, 0.1, 3)],
    )
    trainer = trainer_of([network(case)] * 2, case)
    assert trainer.lowering.kind == "fused"
    outputs = trainer.lowering.forward(trainer.population.parameters, {}, rows(case)[0])
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    for member in outputs:
        np.testing.assert_allclose(member.detach(), expected, atol=5e-9)
    assert worst_gradient_error(case) < 1e-7


def test_a_relu_and_the_gradient_through_it():
    x = torch.from_numpy(course.filled(-0.5, 0.5, 3, 4)).requires_grad_()
    expected = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    np.testing.assert_allclose(nn.ReLU()(x).detach(), expected, atol=5e-9)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    report = check_gradients(model, lambda out, y: (out * y).sum(), x.detach(), torch.ones(3, 4), burn_in=0)
    assert report.worst < 1e-7


# 4: the losses of scores near zero


@pytest.mark.parametrize(
    ("loss", "chance", "exact"),
    [("hinge", 9, 8.999602749096233), ("softmax", math.log(10), 2.302545844500738)],
)
def test_losses_of_scores_near_zero(loss, chance, exact):
    np.random.seed(231)
    x, y = torch.from_numpy(0.001 * np.random.randn(50, 10)), torch.from_numpy(np.random.randint(10, size=50))
    found = LOSSES[loss].per_example(x.unsqueeze(0), y).mean().item()
    assert found == pytest.approx(chance, abs=1e-3)
    assert found == pytest.approx(exact, abs=1e-12)
    layer = affine(np.eye(10), np.zeros(10))
    report = check_gradients(layer, lambda out, y: LOSSES[loss].per_example(out[None], y).mean(), x, y)
    assert report.worst < 1e-7


# 5: a two-layer network on evenly spaced tensors


def test_the_filled_two_layer_network():
    case = course.two_layer_filled()
    trainer = trainer_of([network(case)] * 3, case, [0.0, 1.0, 2.0])
    outputs = trainer.lowering.forward(trainer.population.parameters, {}, rows(case)[0])
    assert outputs[0, 0, 0].item() == pytest.approx(11.53165108, abs=5e-9)
    assert outputs[0, 0, -1].item() == pytest.approx(16.09215096, abs=5e-9)
    np.testing.assert_allclose(outputs[1].detach(), course.scores(case), rtol=1e-12)
    found = trainer.costs(*rows(case))[1].tolist()
    assert found == pytest.approx([3.4702243556, 26.5948426952, 49.7194610349], abs=5e-10)


@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_the_filled_two_layer_networks_gradients(l2):
    assert worst_gradient_error(course.two_layer_filled(), l2=l2) < 1e-7


# 6 and 7: a deep network


def test_the_deep_networks_cost_without_and_with_regularization():
    plain, regularized = course.deep(2)
    found = costs([network(plain), network(regularized)], plain, [0.0, 3.14])
    assert found == pytest.approx([2.3004790897684924, 7.052114776533016], abs=1e-10)
    assert found == pytest.approx([course.cost(plain), course.cost(regularized, 3.14)], abs=1e-12)


@pytest.mark.parametrize("l2", [0.0, 3.14])
def test_the_deep_networks_gradients(l2):
    assert worst_gradient_error(course.deep(1)[0], l2=l2) < 1e-5


def normalized(layer, width):
    return [nn.BatchNorm1d(width, dtype=torch.float64), nn.ReLU()]


def test_the_deep_networks_cost_with_batch_normalization():
    plain, regularized = course.deep(2)
    found = costs([network(plain, normalized), network(regularized, normalized)], plain, [0.0, 3.14])
    assert found == pytest.approx([2.2611955101340957, 6.996533220108303], abs=1e-10)


# 8: dropout


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 2.3004790897684924), (1, 2.302371489704412), (2, 2.3042759220785896)]
)
def test_the_deep_networks_cost_with_the_courses_own_masks(number, expected):
    _, case, masks = course.deep_with_dropout()[number]
    with_masks = lambda layer, width: [nn.ReLU(), *(Mask(mask) for mask in masks[layer - 1 : layer])]  # noqa: E731
    (found,) = costs([network(case, with_masks)], case)
    assert found == pytest.approx(expected, abs=1e-10)
    after = lambda h, layer: np.maximum(h, 0) * (masks[layer - 1] if masks else 1)  # noqa: E731
    assert course.cost(case, after=after) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("number", [1, 2])
def test_our_own_masks_give_costs_of_the_same_size(number):
    keep, case, _ = course.deep_with_dropout()[number]
    dropping = network(case, lambda layer, width: [nn.ReLU(), nn.Dropout(1 - keep)])
    trainer = trainer_of([dropping] * 200, case, epochs=1, keys=list(range(200)))
    next(trainer.epochs())
    first = torch.tensor([run.first_cost for run in trainer.runs()])
    assert first.std() > 1e-3  # every member has masks of its own
    assert first.mean().item() == pytest.approx(course.cost(case), abs=3e-3)
    assert ((first > 2.28) & (first < 2.33)).all()


def test_a_kept_unit_counts_as_much_as_the_dropped_ones_lack():
    model = mlp(4, [400], 3, dropout=0.25)
    hidden = nn.Sequential(*model[:4])
    out = hidden.train()(torch.ones(200, 4)).mean().item()
    assert out == pytest.approx(hidden.eval()(torch.ones(200, 4)).mean().item(), rel=0.02)
