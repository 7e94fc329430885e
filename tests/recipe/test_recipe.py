from __future__ import annotations

import pickle

import pytest
from torch import nn

from babysit.data.sources import digits
from babysit.errors import InputError, SpaceError
from babysit.nn.networks import two_layer
from babysit.recipe.recipe import Hyperparameters, Recipe
from babysit.recipe.space import Fixed, choice, integer, log_uniform, middle, uniform, when


def network(hp):
    return two_layer(64, hp.hidden)


def recipe(**options):
    return Recipe(digits, network, **{"space": {"learning_rate": 1e-3, "hidden": 20}, **options})


def test_hyperparameters_are_read_by_attribute_and_by_name():
    hp = Hyperparameters({"hidden": 50, "act": "relu"})
    assert (hp.hidden, hp["act"], dict(hp)) == (50, "relu", {"hidden": 50, "act": "relu"})
    assert len(hp) == 2


def test_what_was_read_is_remembered_and_nothing_else():
    hp = Hyperparameters({"hidden": 50, "act": "relu"})
    assert hp.read == set()
    _ = hp.hidden
    _ = "act" in hp
    _ = list(hp)
    assert hp.read == {"hidden"}


def test_a_model_may_ask_whether_a_name_is_there():
    hp = Hyperparameters({"hidden": 50})
    assert "hidden" in hp
    assert "dropout" not in hp
    assert hp.get("dropout", 0.5) == 0.5
    assert hp.get("dropout") is None
    assert hp.get("hidden", 3) == 50
    assert hp.read == {"hidden"}


@pytest.mark.parametrize("ask", [lambda hp: hp.hiden, lambda hp: hp["hiden"]])
def test_a_misspelt_hyperparameter_gets_a_hint(ask):
    with pytest.raises(SpaceError, match="did you mean 'hidden'"):
        ask(Hyperparameters({"hidden": 50}))


def test_hyperparameters_can_be_pickled():
    assert dict(pickle.loads(pickle.dumps(Hyperparameters({"hidden": 50})))) == {"hidden": 50}


def test_the_full_space_holds_what_the_rules_read():
    full = recipe(update="momentum", learning_rate_decay=0.9).full_space()
    assert full["momentum"] == Fixed(0.9)
    assert full["learning_rate_decay"] == Fixed(0.9)
    assert "l2" not in full  # off unless it is named
    assert recipe().with_settings({"l2": Fixed(0.1)}).full_space()["l2"] == Fixed(0.1)
    assert full["batch_size"] == Fixed(100)


def test_the_space_wins_over_the_rules_defaults():
    searched = uniform(0.5, 0.99)
    full = recipe(
        update="momentum", space={"learning_rate": 1e-3, "hidden": 9, "momentum": searched}
    ).full_space()
    assert full["momentum"] == searched


def test_a_decay_chooses_the_schedule_that_decays():
    assert recipe().schedule == "constant"
    assert recipe(learning_rate_decay=0.9).schedule == "multiplicative"
    assert recipe(schedule="cosine").schedule == "cosine"


def test_training_names_are_those_that_the_model_need_not_read():
    names = recipe(update="adam", schedule="step").training_names()
    assert {"learning_rate", "l2", "batch_size", "beta1", "step_every"} <= names
    assert "hidden" not in names


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"epochs": -1},
        {"epochs": 2.5},
        {"epochs": True},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"batch_size": True},
        {"learning_rate_decay": 0.0},
        {"learning_rate_decay": 1.01},
        {"loss": "sofmax"},
        {"update": "SGD!"},
        {"schedule": "linear"},
        {"space": {"l2": None}},
        {"space": {"l2": -1}},
        {"space": {"learning_rate": "1e-3"}},
        {"schedule": "step", "space": {"step_every": 0}},
        {"update": "adam", "space": {"beta2": 1.0}},
        {"space": {"batch_size": uniform(1, 20)}},
    ],
)
def test_an_impossible_recipe_is_refused_when_it_is_written(options):
    with pytest.raises(InputError) as caught:
        recipe(**options)
    assert caught.value.fix


def test_a_searched_batch_size_must_be_whole():
    assert recipe(space={"batch_size": integer(10, 20)}).full_space()["batch_size"] == integer(10, 20)


def test_new_settings_leave_the_old_recipe_as_it_was():
    old = recipe()
    new = old.with_settings({"l2": log_uniform(1e-3, 1)}, epochs=9)
    assert (old.epochs, "l2" in old.space) == (5, False)
    assert (new.epochs, new.space["hidden"]) == (9, 20)


def test_new_settings_are_checked_like_the_old():
    with pytest.raises(SpaceError, match="l2"):
        recipe().with_settings({"l2": Fixed(-1)})


def test_a_recipe_takes_any_module():
    assert isinstance(recipe().model(Hyperparameters({"hidden": 4})), nn.Module)


SEARCHED = {
    "learning_rate": log_uniform(1e-4, 1e-1),
    "hidden": 20,
    "update": choice("sgd", "momentum"),
    "momentum": when("update", "momentum", uniform(0.5, 0.99)),
    "schedule": choice("constant", "step"),
    "preprocessing": choice("none", "standardize"),
}


def test_rules_named_in_the_space_are_searched():
    made = recipe(space=SEARCHED)
    assert made.options("update") == ("sgd", "momentum")
    assert made.options("schedule") == ("constant", "step")
    assert made.full_space()["update"] == SEARCHED["update"]
    assert {"momentum", "step_every", "preprocessing", "update"} <= made.training_names()
    assert "step_every" not in made.full_space()  # each trial takes its own schedule's default


def test_a_rule_named_in_the_space_alone_brings_its_defaults():
    full = recipe(space={"learning_rate": 1e-3, "hidden": 9, "update": "adam"}).full_space()
    assert full["beta1"] == Fixed(0.9)
    assert full["update"] == Fixed("adam")


def test_a_condition_on_a_rule_that_is_not_searched_sees_the_recipes_own():
    space = {"learning_rate": 1e-3, "hidden": 9, "momentum": when("update", "momentum", uniform(0.5, 0.9))}
    assert set(middle(recipe(update="momentum", space=space).full_space())) >= {"update", "momentum"}
    assert "momentum" not in middle(recipe(update="sgd", space=space).full_space())


@pytest.mark.parametrize(
    "changes",
    [
        {"update": choice("sgd", "adam")},
        {"schedule": choice("constant")},
        {"loss": choice("softmax", "hinge")},
        {"space": {**SEARCHED, "update": choice("sgd", "adma")}},
        {"space": {**SEARCHED, "update": uniform(0, 1)}},
        {"space": {**SEARCHED, "update": 3}},
        {"space": {**SEARCHED, "schedule": choice("linear")}},
        {"space": {**SEARCHED, "preprocessing": "whiten!"}},
        {"space": {**SEARCHED, "momentum": when("update", "momentum", uniform(0.5, 1.5))}},
        {"space": {**SEARCHED, "momentum": when("updaet", "momentum", uniform(0.5, 0.9))}},
        {"space": {**SEARCHED, "learning_rate": when("update", "sgd", 0.1)}},
        {"space": {**SEARCHED, "batch_size": when("update", "sgd", 10)}},
        {"enqueue": [{"l3": 1}]},
        {"enqueue": [{"hidden": 30}]},
        {"enqueue": [3]},
        {"space": SEARCHED, "enqueue": [{"momentum": 0.9}]},
    ],
)
def test_an_impossible_space_or_point_is_refused_when_it_is_written(changes):
    with pytest.raises(InputError) as caught:
        recipe(**changes)
    assert caught.value.fix


def test_points_to_try_first_are_kept_with_the_kinds_of_their_ranges():
    made = recipe(space=SEARCHED, enqueue=[{"update": "momentum", "momentum": 0.9}, {"learning_rate": 0.1}])
    assert made.enqueue == ({"update": "momentum", "momentum": 0.9}, {"learning_rate": 0.1})
    assert recipe().enqueue == ()
