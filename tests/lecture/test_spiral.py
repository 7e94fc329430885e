"""The course's case study, end to end and without a download: a spiral that no line separates.

3 x 100 points, noise .2. A linear softmax stays at half, 2-100-3 separates the arms.
Source: CS231n notes, "Putting it together: Minimal Neural Network Case Study".
"""

from __future__ import annotations

import math
import statistics

import pytest
from torch import nn

from babysit.checks.questions.gradients import gradients_match
from babysit.checks.questions.initial_loss import initial_loss
from babysit.checks.questions.regularization import regularization_raises_loss
from babysit.data.sources import arrays
from babysit.nn.networks import mlp
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import middle
from babysit.records import State
from babysit.verdicts import Status
from reference.course_networks import spiral


def linear(hp):
    layer = nn.Linear(2, 3)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def two_layer(hp):
    return mlp(2, [100], 3, weight_scale=0.01)


def recipe_of(model, data_seed=0):
    x, y = spiral(data_seed)
    return Recipe(lambda: arrays(x, y, x, y), model, batch_size=300, space={"learning_rate": 1.0, "l2": 1e-3})


def trained(model, *, epochs, members, data_seed=0):
    """That many members from different initial weights, as one population, in full batches."""
    recipe = recipe_of(model, data_seed)
    prepared, hyperparameters = prepare(recipe, seed=data_seed), middle(recipe.full_space())
    trainer = prepared.trainer([(hyperparameters, ("trial", 0, n)) for n in range(members)], epochs)
    for _ in prepared.reports(trainer):
        pass
    return trainer.runs()


@pytest.mark.parametrize("data_seed", range(6))
def test_a_linear_softmax_stays_at_half(data_seed):
    for run in trained(linear, epochs=200, members=5, data_seed=data_seed):
        assert run.state is State.COMPLETE
        assert run.first_cost == pytest.approx(math.log(3), abs=0.02)
        assert 0.748 <= run.last.cost < 0.7865
        assert 0.49 <= run.last.train_accuracy <= 0.54


def test_the_notes_own_spiral_gives_the_notes_own_loss():
    (run,) = trained(linear, epochs=200, members=1)
    assert run.last.cost == pytest.approx(0.786302, abs=1e-4)
    assert round(run.last.train_accuracy, 2) == 0.49


@pytest.mark.slow
def ends(run):
    return run.last.cost, run.last.train_accuracy


@pytest.mark.slow
def test_a_hidden_layer_separates_the_arms():
    runs = trained(two_layer, epochs=10_000, members=5)
    assert {run.state for run in runs} == {State.COMPLETE}
    assert all(run.first_cost == pytest.approx(1.0987, abs=1e-3) for run in runs)
    # 38 of 40 starts ended between .2439 and .2523; the other two in worse minima, at .261 and .280 with an
    # accuracy of .957. Which start it is changes with the order in which numbers are added: on another
    # processor the worst of five ended at .937.
    costs, accuracies = (sorted(values) for values in zip(*(ends(run) for run in runs), strict=True))
    assert 0.240 <= statistics.median(costs) <= 0.250
    assert costs[-2] < 0.255
    assert costs[-1] < 0.30
    assert 0.97 <= statistics.median(accuracies) <= 0.993
    assert accuracies[1] > 0.97
    assert accuracies[0] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("check", [initial_loss, regularization_raises_loss, gradients_match])
@pytest.mark.parametrize("model", [linear, two_layer])
def test_the_checks_find_no_fault_with_the_set_up(check, model):
    recipe = recipe_of(model)
    assert check(prepare(recipe, seed=0), middle(recipe.full_space())).status is Status.PASS
