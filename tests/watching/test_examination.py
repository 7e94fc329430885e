"""Findings on layers join those on readings where a run does not learn, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.data.sources import digits
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.records import State
from babysit.session.job import Job
from babysit.session.training import train


def deep_sigmoid(hp):
    layers = [nn.Flatten(), nn.Linear(64, 30), nn.Sigmoid()]
    for _ in range(5):
        layers += [nn.Linear(30, 30), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(30, 10))


def drowned(hp):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    with torch.no_grad():
        model[1].bias[:] = -100.0
    return model


def squashed(hp):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10))
    with torch.no_grad():
        model[1].weight.mul_(1000.0)
        model[3].weight.mul_(1e-3)
    return model


def good(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))


def half_dead_but_learning(hp):
    model = good(hp)
    with torch.no_grad():
        model[1].bias[:40] = -100.0
    return model


def verdict(tmp_path, model, rate=0.05, epochs=6, **options):
    recipe = Recipe(
        digits, model, space={"learning_rate": rate}, epochs=epochs, batch_size=50, name="layers", **options
    )
    trained = train(Job("layers", folder=tmp_path), prepare(recipe, seed=0))
    return trained.run, {finding.rule: finding for finding in trained.findings}


def test_a_deep_sigmoid_stack_that_does_not_learn_has_vanishing_gradients(tmp_path):
    run, found = verdict(tmp_path, deep_sigmoid)
    assert run.state is State.COMPLETE
    assert list(found) == ["vanishing_gradients"]
    assert found["vanishing_gradients"].where == "1.weight"
    assert found["vanishing_gradients"].since == 1


def test_dead_units_are_named_where_nothing_is_learned(tmp_path):
    _, found = verdict(tmp_path, drowned)
    assert list(found) == ["dead_units"]
    assert "30 of 30" in found["dead_units"].message


def test_saturated_units_are_named_where_nothing_is_learned(tmp_path):
    _, found = verdict(tmp_path, squashed, rate=1e-5)
    assert list(found) == ["saturated"]
    assert found["saturated"].where == "2"


@pytest.mark.parametrize(("model", "update"), [(good, "adam"), (half_dead_but_learning, "sgd")])
def test_a_run_that_learns_has_no_finding_on_its_layers(tmp_path, model, update):
    run, found = verdict(tmp_path, model, rate={"sgd": 0.01, "adam": 3e-3}[update], update=update)
    assert run.best.val_accuracy > 0.6
    assert not found.keys() & {"dead_units", "saturated", "vanishing_gradients", "rate_too_high"}


def test_an_explosion_is_its_own_cause(tmp_path):
    run, found = verdict(tmp_path, good, rate=1e5)
    assert run.state is State.EXPLODED
    assert list(found) == ["exploded"]


def test_a_rate_that_is_too_low_is_still_that(tmp_path):
    _, found = verdict(tmp_path, good, rate=1e-7)
    assert found
    assert found.keys() <= {"learning_rate_too_low", "learned_nothing"}
