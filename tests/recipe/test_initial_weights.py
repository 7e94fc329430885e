"""An initialization named in a recipe sets every trial's first weights."""

from __future__ import annotations

import math

import pytest
import torch

from babysit.data.preprocessing import Standardize
from babysit.data.sources import digits
from babysit.errors import SpaceError
from babysit.nn.initialization import INITIALIZERS
from babysit.nn.networks import mlp
from babysit.recipe.building import prepare
from babysit.recipe.initial_weights import parse_scheme
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice


def prepared(scheme):
    recipe = Recipe(
        lambda: digits(preprocess=[Standardize()]),
        lambda hp: mlp(64, [100, 100], 10),
        space={"learning_rate": 1e-3, "initialization": scheme},
    )
    return prepare(recipe, seed=0)


def model_of(scheme, number=0):
    task = prepared(scheme)
    return task.model({"learning_rate": 1e-3, "initialization": scheme}, ("trial", 0, number)), task


@pytest.mark.parametrize("scheme", INITIALIZERS)
def test_every_scheme_by_name(scheme):
    model, task = model_of(scheme)
    with torch.no_grad():
        assert model(task.evaluation.train_x[:10]).isfinite().all()
    again, _ = model_of(scheme)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_options_reach_the_scheme_and_trials_differ():
    model, _ = model_of("small_random(scale=1e-4)")
    assert model[1].weight.std().item() == pytest.approx(1e-4, rel=0.05)
    other, _ = model_of("small_random(scale=1e-4)", number=1)
    assert not torch.equal(model[1].weight, other[1].weight)
    he, _ = model_of("he")
    assert he[3].weight.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.05)


def test_data_dependent_schemes_see_the_training_data():
    model, task = model_of("lsuv")
    with torch.no_grad():
        hidden = model[:2](task.evaluation.train_x[:500])
    assert hidden.std().item() == pytest.approx(1.0, abs=0.1)


def test_a_choice_of_schemes_may_be_searched():
    recipe = Recipe(
        digits,
        lambda hp: mlp(64, [20], 10),
        space={"learning_rate": 1e-3, "initialization": choice("he", "xavier")},
    )
    prepare(recipe, seed=0).validate({"learning_rate": 1e-3, "initialization": "he", "batch_size": 100})


@pytest.mark.parametrize("setting", ["initialization=he", "initialization=small_random(scale=1e-3)"])
def test_a_setting_on_the_command_line(setting):
    recipe = apply_settings(load_recipe("digits"), [setting])
    assert str(recipe.full_space()["initialization"]) == setting.partition("=")[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [("hee", "'he'"), ("he(slop=1)", "slope"), ("he(0.1)", "cannot be read"), ("he(", "cannot be read")],
)
def test_what_does_not_exist_is_refused_with_a_hint(text, words):
    with pytest.raises(SpaceError, match=words):
        parse_scheme(text)
    with pytest.raises(SpaceError):
        Recipe(digits, lambda hp: None, space={"learning_rate": 1e-3, "initialization": text})
