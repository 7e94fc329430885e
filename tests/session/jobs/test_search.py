"""A whole search through the session: budgets, broken trials, prescribed boxes, the final model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from babysit.data.sources import digits
from babysit.errors import InputError, SpaceError
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform, uniform, when
from babysit.records import State
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import budgets_of


def recipe(model=lambda hp: two_layer(64, hp.hidden), **options):
    space = {"learning_rate": log_uniform(1e-4, 1e-2), "hidden": choice(5, 7)}
    return Recipe(digits, model, space=space, name="mine", **options)


def searched(tmp_path, the_recipe, settings, seed=0, resume=False):
    prepared = prepare(the_recipe, seed=seed)
    found = run_search(Job("mine", seed=seed, folder=tmp_path), prepared, settings, resume=resume)
    with Reader(f"sqlite:///{tmp_path}/babysit.sqlite") as reader:
        return found, queries.results(reader, found.study)


def test_the_usual_budget_follows_the_recipes_epochs():
    assert [tuple(budget) for budget in budgets_of(recipe(epochs=7), SearchSettings())] == [
        ("coarse", 100, 7),
        ("fine", 50, 7),
    ]
    assert budgets_of(recipe(stages="coarse:3x1"), SearchSettings())[0].trials == 3
    assert budgets_of(recipe(stages="coarse:3x1"), SearchSettings(stages="wide:4x2"))[0].name == "wide"


def test_two_stages_of_one_name_are_refused():
    with pytest.raises(SpaceError, match="same name"):
        budgets_of(recipe(), SearchSettings(stages="coarse:3x1,coarse:4x1"))


class FailsInTraining(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.inner = two_layer(64, hidden)

    def forward(self, x):
        if self.training:
            raise ValueError("only when it counts")
        return self.inner(x)


def unbuildable(hp):
    if hp.hidden == 7:
        raise ValueError("seven is too many")
    return two_layer(64, hp.hidden)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (unbuildable, "seven is too many"),
        (
            lambda hp: FailsInTraining(hp.hidden) if hp.hidden == 7 else two_layer(64, hp.hidden),
            "only when it counts",
        ),
    ],
)
def test_a_trial_that_cannot_train_fails_with_its_reason_and_the_rest_go_on(tmp_path, model, reason):
    found, results = searched(tmp_path, recipe(model), SearchSettings(stages="coarse:12x1,fine:4x1"))
    failed = [result for result in results if result.run.state is State.FAILED]
    assert failed
    assert {result.trial.hyperparameters["hidden"] for result in failed} == {7}
    assert all(reason in result.run.message for result in failed)
    complete = [result for result in results if result.run.state is State.COMPLETE]
    assert {result.trial.hyperparameters["hidden"] for result in complete} == {5}
    assert found.outcome["best"]["hyperparameters"]["hidden"] == 5


def test_a_search_in_which_everything_explodes_ends_with_advice_and_no_best(tmp_path):
    wild = replace(recipe(), space={"learning_rate": log_uniform(1e3, 1e5), "hidden": 5})
    found, results = searched(tmp_path, wild, SearchSettings(stages="coarse:6x2,fine:3x2,final:1x2"))
    assert {result.run.state for result in results} == {State.EXPLODED}
    assert found.outcome["best"] is None
    assert found.outcome["final"] is None
    assert found.weights is None
    assert "lower the learning rate" in found.outcome["advice"][0]


def test_a_prescribed_box_is_used(tmp_path):
    box = {"learning_rate": log_uniform(2e-3, 3e-3)}
    _, results = searched(
        tmp_path, recipe(), SearchSettings(stages="coarse:4x1,fine:5x1", boxes={"fine": box})
    )
    rates = [r.trial.hyperparameters["learning_rate"] for r in results if r.trial.stage == 1]
    assert len(rates) == 5
    assert all(2e-3 <= rate <= 3e-3 for rate in rates)


def test_the_saved_weights_are_the_model_that_was_scored(tmp_path):
    found, _ = searched(tmp_path, recipe(), SearchSettings(stages="coarse:6x2,final:2x6"))
    final = found.outcome["final"]
    model = two_layer(64, final["hyperparameters"]["hidden"])
    model.load_state_dict(load_file(found.weights))
    test = digits().test
    predicted = model(torch.from_numpy(test.x).float()).argmax(1).numpy()
    assert float((predicted == test.y).mean()) == pytest.approx(final["test_accuracy"], abs=1e-9)
    assert final["val_accuracy"] == max(reading["val_accuracy"] for reading in final["readings"])


def test_every_trials_series_is_in_the_store_to_its_last_step(tmp_path):
    wide = replace(recipe(), space={"learning_rate": log_uniform(1e-3, 1e2), "hidden": 5})
    found, results = searched(tmp_path, wide, SearchSettings(stages="coarse:10x2"))
    assert {State.EXPLODED, State.COMPLETE} == {result.run.state for result in results}
    with Reader(f"sqlite:///{tmp_path}/babysit.sqlite") as reader:
        costs = queries.all_costs(reader, found.study)
    for result in results:
        steps, values = costs[result.trial.key]
        assert steps.tolist() == list(range(1, result.run.steps + 1))
        if result.run.explosion:
            assert values[-1] == pytest.approx(result.run.explosion.cost, rel=1e-6)


class Scaled(nn.Module):
    """Holds a closure, whose identity is all that tells one such model from another."""

    def __init__(self, scale):
        super().__init__()
        self.inner = two_layer(64, 5)
        self.act = lambda x: x * scale

    def forward(self, x):
        return self.act(self.inner(x))


@pytest.mark.slow
def test_models_that_only_a_closure_tells_apart_do_not_train_as_one(tmp_path):
    space = {"learning_rate": log_uniform(1e-3, 1e-2), "scale": log_uniform(1e-2, 1.0)}
    closures = Recipe(digits, lambda hp: Scaled(hp.scale), space=space, name="closures")
    _, results = searched(tmp_path, closures, SearchSettings(stages="coarse:12x1"))
    prepared = prepare(closures, seed=0)
    for result in results:
        trainer = prepared.trainer([(result.trial.hyperparameters, ("trial", *result.trial.key))], epochs=1)
        list(trainer.epochs())
        assert trainer.runs()[0].first_cost == pytest.approx(result.run.first_cost, rel=1e-5)


RULES = {
    "learning_rate": log_uniform(1e-4, 1e-2),
    "hidden": choice(5, 7),
    "update": choice("sgd", "adam"),
    "beta1": when("update", "adam", uniform(0.8, 0.95)),
    "preprocessing": choice("mean_image", "standardize"),
}


def test_a_search_over_rules_tries_the_enqueued_points_first_and_goes_on_after_a_kill(tmp_path):
    points = [{"update": "adam", "beta1": 0.9, "preprocessing": "standardize"}, {"hidden": 7}]
    made = replace(recipe(), space=RULES, enqueue=points)
    found, results = searched(tmp_path, made, SearchSettings(stages="coarse:6x1,fine:4x1,final:1x2"))
    coarse = [result.trial.hyperparameters for result in results if result.trial.stage == 0]
    assert {**coarse[0], **points[0]} == dict(coarse[0])
    assert coarse[1]["hidden"] == 7
    assert all(
        ("beta1" in hp) == (hp["update"] == "adam") for hp in (r.trial.hyperparameters for r in results)
    )
    assert {result.run.state for result in results} == {State.COMPLETE}
    assert found.outcome["final"]["test_accuracy"] > 0.1
    with Reader(f"sqlite:///{tmp_path}/babysit.sqlite") as reader:
        study, stages = queries.study(reader, found.study), queries.stages(reader, found.study)
    assert [dict(point) for point in study.settings["enqueue"]] == points
    assert study.settings["update"] == "sgd or adam"
    assert "trials 0 to 1 were enqueued" in stages[0].reason
    again, same = searched(
        tmp_path, made, SearchSettings(stages="coarse:6x1,fine:4x1,final:1x2"), resume=True
    )
    assert again.study == found.study
    assert [result.trial for result in same] == [result.trial for result in results]


def test_more_points_than_trials_are_refused_before_anything_trains():
    with pytest.raises(InputError, match="2 points are enqueued"):
        budgets_of(
            recipe(enqueue=[{"hidden": 5}, {"hidden": 7}]), SearchSettings(stages="coarse:1x1,fine:9x1")
        )


def test_a_search_until_stable_repeats_the_last_stage_and_resumes_alike(tmp_path):
    settings = SearchSettings(stages="coarse:4x1,fine:10x1", until_stable=2)
    found, results = searched(tmp_path, recipe(), settings)
    last = max(result.trial.stage for result in results)
    assert last in (2, 3)  # ten fine trials better four coarse ones, so that one more is due at least
    with Reader(f"sqlite:///{tmp_path}/babysit.sqlite") as reader:
        stages = queries.stages(reader, found.study)
    assert [stage.name for stage in stages] == ["coarse", "fine", "fine+1", "fine+2"][: last + 1]
    assert stages[2].reason.startswith("once more, as the best")
    assert {each["stage"] for each in found.outcome["importance"]} == {stage.name for stage in stages[1:]}
    again, same = searched(tmp_path, recipe(), settings, resume=True)
    assert again.study == found.study
    assert [result.trial for result in same] == [result.trial for result in results]
    assert again.outcome["ties"] == found.outcome["ties"]
