from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from babysit.data.preprocessing import MeanImage
from babysit.data.sources import arrays, digits
from babysit.errors import DataError, RecipeError, SpaceError
from babysit.nn.networks import mlp, two_layer
from babysit.recipe.building import calling, groups, prepare
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, middle, uniform, when

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def classes(count):
    return lambda: arrays(X[:40], np.arange(40) % count, X[40:], np.arange(20) % count)


def numbers(targets=1):
    y = np.stack([X.sum(1)] * targets, 1) if targets > 1 else X.sum(1)
    return lambda: arrays(X[:40], y[:40], X[40:], y[40:])


def linear(width=10, inputs=64):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width))


def recipe(model, data=digits, **options):
    return Recipe(data, model, **{"space": {"learning_rate": 1e-3}, **options})


def validate(model, data=digits, **options):
    made = recipe(model, data, **options)
    prepare(made, seed=0).validate(middle(made.full_space()))


def refusal(model, data=digits, **options):
    with pytest.raises(RecipeError) as caught:
        validate(model, data, **options)
    assert caught.value.fix
    return str(caught.value)


@pytest.fixture(scope="module")
def prepared():
    return prepare(
        Recipe(
            lambda: digits(preprocess=[MeanImage()]),
            lambda hp: mlp(64, [hp.hidden], 10, weight_scale=1e-2, dropout=hp.dropout),
            update="momentum",
            batch_size=50,
            space={"learning_rate": 1e-2, "hidden": choice(20, 30), "dropout": 0.0},
        ),
        seed=5,
    )


def values(prepared, **changes):
    return {**middle(prepared.recipe.full_space()), **changes}


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_two_candidates_of_one_path_are_bit_identical(prepared):
    first, second = (prepared.candidate(values(prepared), ("trial", 0, 3)) for _ in range(2))
    assert first.key == second.key
    assert same(first.model, second.model)
    assert first.model is not second.model


@pytest.mark.parametrize("path", [("trial", 0, 4), ("trial", 1, 3), ("check",), ("trial", 0, "3")])
def test_candidates_of_different_paths_differ(prepared, path):
    first, second = (prepared.candidate(values(prepared), p) for p in (("trial", 0, 3), path))
    assert first.key != second.key
    assert not same(first.model, second.model)


def test_another_seed_gives_other_weights_and_another_order(prepared):
    other = prepare(prepared.recipe, seed=6)
    assert not same(prepared.model(values(prepared), ("a",)), other.model(values(prepared), ("a",)))
    mine, theirs = (next(iter(p.batches(50).epoch(1)))[0] for p in (prepared, other))
    assert not torch.equal(mine, theirs)


def test_initial_weights_do_not_follow_the_global_seed(prepared):
    torch.manual_seed(1)
    first = prepared.model(values(prepared), ("a",))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert same(first, prepared.model(values(prepared), ("a",)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_order_of_the_batches_is_the_same_for_all_trials(prepared):
    first, second = ([y for _, y in prepared.batches(50).epoch(2)] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_groups_hold_what_can_train_together_and_lose_nothing(prepared):
    trials = [
        (values(prepared, hidden=20), ("t", 0)),
        (values(prepared, hidden=30), ("t", 1)),
        (values(prepared, hidden=20, learning_rate=0.5), ("t", 2)),
        (values(prepared, hidden=20, batch_size=10), ("t", 3)),
        (values(prepared, hidden=20, dropout=0.3), ("t", 4)),
        (values(prepared, hidden=20, dropout=0.6), ("t", 5)),
    ]
    found = groups([prepared.candidate(*trial) for trial in trials])
    assert sorted(index for group in found for index in group) == list(range(6))
    assert sorted(map(sorted, found)) == [[0, 2], [1], [3], [4, 5]]
    for group in found:
        prepared.trainer([trials[index] for index in group], epochs=1)


def test_a_trial_trains_alike_alone_and_among_others(prepared):
    trials = [(values(prepared, learning_rate=rate), ("trial", 0, n)) for n, rate in enumerate((1e-3, 1e-2))]
    together, alone = prepared.trainer(trials, epochs=2), prepared.trainer(trials[1:], epochs=2)
    for trainer in (together, alone):
        list(trainer.epochs())
    assert together.runs()[1].last.val_loss == pytest.approx(alone.runs()[0].last.val_loss, rel=1e-4)


def test_chance_is_what_a_network_that_knows_nothing_gets():
    assert prepare(BUILTIN["digits"], seed=0).chance_loss == pytest.approx(math.log(10))
    regression = prepare(recipe(lambda hp: linear(1, 4), numbers(), loss="mse"), seed=0)
    assert regression.chance_loss == pytest.approx(X[:40].sum(1).var(), rel=1e-4)
    assert math.isnan(regression.chance_accuracy)


def prepare_refusal(data, **options):
    with pytest.raises(RecipeError) as caught:
        prepare(recipe(lambda hp: linear(), data, **options), seed=0)
    assert caught.value.fix
    return str(caught.value)


def test_data_that_raises_names_its_line():
    def data():
        raise KeyError("no such column")

    message = prepare_refusal(data)
    assert f"{__file__}:{data.__code__.co_firstlineno + 1}" in message
    assert "data()" in message
    assert "KeyError" in message


@pytest.mark.parametrize(("returned", "kind"), [(None, "NoneType"), ((X, X), "tuple"), (X, "ndarray")])
def test_data_that_is_no_data_set_is_refused(returned, kind):
    assert kind in prepare_refusal(lambda: returned)


def test_a_fault_of_the_data_keeps_its_own_message():
    bad = X.copy()
    bad[7, 2] = math.nan
    with pytest.raises(DataError, match="row 7"):
        prepare(
            recipe(lambda hp: linear(), lambda: arrays(bad, np.arange(60) % 2, X, np.arange(60) % 2)), seed=0
        )


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        (digits, "mse"),
        (numbers(), "softmax"),
        (numbers(), "hinge"),
        (numbers(), "binary"),
        (digits, "binary"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused_before_anything_trains(data, loss):
    message = prepare_refusal(data, loss=loss)
    assert repr(loss) in message


@pytest.mark.parametrize(
    ("model", "data", "loss"),
    [
        (lambda hp: linear(), digits, "softmax"),
        (lambda hp: linear(), digits, "hinge"),
        (lambda hp: linear(1, 4), classes(2), "binary"),
        (lambda hp: linear(2, 4), classes(2), "softmax"),
        (lambda hp: linear(1, 4), numbers(), "mse"),
        (lambda hp: nn.Sequential(linear(1, 4), nn.Flatten(0)), numbers(), "mse"),
        (lambda hp: linear(3, 4), numbers(3), "mse"),
    ],
)
def test_outputs_that_fit_pass(model, data, loss):
    validate(model, data, loss=loss)


@pytest.mark.parametrize(
    ("model", "data", "loss", "wanted"),
    [
        (lambda hp: linear(9), digits, "softmax", 10),
        (lambda hp: linear(11), digits, "hinge", 10),
        (lambda hp: linear(2, 4), classes(2), "binary", 1),
        (lambda hp: linear(1, 4), classes(2), "softmax", 2),
        (lambda hp: linear(2, 4), numbers(), "mse", 1),
        (lambda hp: linear(1, 4), numbers(3), "mse", 3),
        (lambda hp: nn.Sequential(linear(10), nn.Flatten(0)), digits, "softmax", 10),
    ],
)
def test_outputs_of_the_wrong_width_say_the_right_one(model, data, loss, wanted):
    message = refusal(model, data, loss=loss)
    assert f"nn.Linear(..., {wanted})" in message


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = linear()

    def forward(self, x):
        return self.inner(x), x


def test_a_model_that_returns_a_tuple_is_refused():
    assert "tuple" in refusal(lambda hp: TwoOutputs())


@pytest.mark.parametrize(
    ("returned", "kind"),
    [(None, "NoneType"), ("a model", "str"), (nn.Linear, "the class Linear"), (len, "builtin")],
)
def test_what_is_no_module_is_refused_by_its_kind(returned, kind):
    message = refusal(lambda hp: returned)
    assert kind in message
    assert "nn.Module" in message


def test_a_model_that_raises_when_built_names_its_line():
    def model(hp):
        return nn.Linear(64, -1 * hp["batch_size"] if hp.batch_size else None)

    message = refusal(model)
    assert "model(hp) raised" in message
    assert f"{__file__}:{model.__code__.co_firstlineno + 1}" in message


def test_a_model_that_does_not_fit_its_inputs_is_refused():
    message = refusal(lambda hp: nn.Sequential(nn.Flatten(), nn.Linear(63, 10)))
    assert "the model raised RuntimeError" in message
    assert "63" in message


def test_a_misspelt_hyperparameter_in_the_model_gets_a_hint():
    with pytest.raises(SpaceError, match="did you mean 'hidden'"):
        validate(lambda hp: two_layer(64, hp.hiden), space={"learning_rate": 1e-3, "hidden": 5})


def test_a_name_that_nobody_reads_is_refused():
    message = refusal(lambda hp: linear(), space={"learning_rate": 1e-3, "hidden": 5})
    assert "'hidden'" in message


def test_a_rate_of_another_update_rule_is_a_name_that_nobody_reads():
    assert "'beta1'" in refusal(lambda hp: linear(), update="sgd", space={"learning_rate": 1, "beta1": 0.9})


def test_a_recipe_without_a_learning_rate_is_refused():
    assert "no learning rate" in refusal(lambda hp: linear(), space={})


def test_validation_leaves_no_trace_in_the_random_state():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    validate(lambda hp: nn.Sequential(linear(), nn.Dropout(0.5)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_interruption_by_the_user_passes_through():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calling("data()", interrupted)


def test_other_rules_and_preprocessings_are_other_groups(prepared):
    changes = [
        {},
        {"update": "momentum"},
        {"update": "adam"},
        {"update": "adam", "beta1": 0.8},
        {"schedule": "cosine"},
        {"preprocessing": "standardize"},
        {"preprocessing": "none"},
        {"preprocessing": "standardize", "learning_rate": 0.5},
    ]
    found = groups([prepared.candidate(values(prepared, **change), ("t",)) for change in changes])
    assert sorted(map(sorted, found)) == [[0], [1], [2, 3], [4], [5, 7], [6]]


def test_a_trial_trains_with_the_rules_that_it_names(prepared):
    plan = prepared.plan(3, {"update": "adam", "schedule": "cosine"})
    assert (plan.update.name, plan.schedule.name, plan.epochs) == ("adam", "cosine", 3)
    assert prepared.plan(3).update.name == "momentum"
    trainer = prepared.trainer([(values(prepared, update="adam"), ("t",))], epochs=1)
    assert trainer.plan.update.name == "adam"


def test_the_defaults_of_a_rule_apply_where_the_space_does_not_name_them(prepared):
    def loss(**changes):
        trainer = prepared.trainer([(values(prepared, update="adam", **changes), ("t",))], epochs=1)
        list(trainer.epochs())
        return trainer.runs()[0].last.val_loss

    assert loss() == loss(beta1=0.9, beta2=0.999, epsilon=1e-8)
    assert loss() != loss(beta1=0.5)


def test_a_preprocessing_is_fitted_on_the_training_split_alone_and_once(prepared):
    here = prepared.at({"preprocessing": "standardize"})
    (step,) = here.dataset.preprocessing
    train = prepared.dataset.train.x.astype(np.float64)
    np.testing.assert_allclose(step.mean_, train.mean(0))
    assert here.dataset.train.x is prepared.dataset.train.x  # the images themselves are shared
    assert prepared.at({"preprocessing": "standardize"}) is here
    assert here.at({"preprocessing": "standardize"}) is here
    assert prepared.at({}) is prepared
    assert prepared.at({"preprocessing": "none"}).dataset.preprocessing == ()
    inputs = here.dataset.inputs(here.dataset.train.x)
    assert inputs.reshape(len(inputs), -1).std(0).max() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(
        here.evaluation.val_x, torch.from_numpy(here.dataset.inputs(here.dataset.val.x))
    )


def test_a_trial_sees_the_inputs_that_it_names_in_training(prepared):
    hp = values(prepared, preprocessing="standardize")
    trainer = prepared.trainer([(hp, ("t",))], epochs=1)
    assert torch.equal(trainer.evaluation.val_x, prepared.at(hp).evaluation.val_x)
    assert trainer.batches.dataset is prepared.at(hp).dataset


def test_an_initialization_that_looks_at_data_sees_the_preprocessed(prepared):
    hp = values(prepared, initialization="lsuv")
    first, second = (
        prepared.model({**hp, "preprocessing": name}, ("t",)) for name in ("none", "standardize")
    )
    assert not same(first, second)


def test_a_name_that_only_another_choice_reads_is_no_stranger():
    def model(hp):
        return mlp(64, [hp.hidden], 10) if hp.kind == "deep" else linear()

    space = {"learning_rate": 1e-3, "kind": choice("linear", "deep")}
    validate(model, space={**space, "hidden": 5})
    validate(model, space={**space, "hidden": when("kind", "deep", 5)})
    with pytest.raises(RecipeError, match="'heads'"):
        validate(model, space={**space, "hidden": 5, "heads": when("kind", "deep", 3)})


def test_a_rate_that_only_one_of_the_searched_rules_reads_is_no_stranger():
    space = {"learning_rate": 1e-3, "update": choice("sgd", "adam"), "beta1": uniform(0.5, 0.9)}
    validate(lambda hp: linear(), space=space)
    with pytest.raises(RecipeError, match="'momentum'"):
        validate(lambda hp: linear(), space={**space, "momentum": 0.9})


def test_a_preprocessing_that_does_not_fit_the_data_is_refused():
    space = {"learning_rate": 1e-3, "preprocessing": "channel_mean"}
    with pytest.raises(DataError, match="ChannelMean"):
        validate(lambda hp: linear(3, 4), classes(3), space=space)
