"""Each part of the set-up chosen by name in one recipe, searched, and equal to the trial trained alone."""

from __future__ import annotations

import pytest

from babysit.data.preprocessing import Standardize
from babysit.data.sources import digits
from babysit.nn.networks import mlp
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform, uniform
from babysit.records import State
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings


def model(hp):
    return mlp(64, [hp.hidden], 10, activation=hp.activation, batch_norm=hp.batch_norm, dropout=hp.dropout)


RECIPE = Recipe(
    lambda: digits(preprocess=[Standardize()]),
    model,
    update="nesterov",
    space={
        "learning_rate": log_uniform(1e-4, 1e-2),
        "l1": log_uniform(1e-7, 1e-4),
        "l2": log_uniform(1e-6, 1e-2),
        "max_norm": choice(0.0, 3.0),
        "dropout": uniform(0.1, 0.5),
        "hidden": choice(10, 20),
        "activation": choice("relu", "tanh", "elu", "leaky_relu"),
        "batch_norm": choice(False, True),
        "initialization": choice("he", "xavier", "orthogonal", "lsuv"),
    },
    name="by-name",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-name")
    found = run_search(
        Job("by-name", folder=folder), prepare(RECIPE, seed=0), SearchSettings(stages="coarse:16x2,fine:8x2")
    )
    with Reader(f"sqlite:///{folder}/babysit.sqlite") as reader:
        return queries.results(reader, found.study)


@pytest.mark.slow
def test_every_combination_trains(results):
    assert {result.run.state for result in results} == {State.COMPLETE}
    assert max(result.score for result in results) > 0.6  # 24 updates; chance is 0.1


@pytest.mark.slow
def test_a_trial_of_the_search_equals_the_same_trial_alone(results):
    prepared = prepare(RECIPE, seed=0)
    for result in results[:6]:
        asked = (result.trial.hyperparameters, ("trial", *result.trial.key))
        trainer = prepared.trainer([asked], epochs=2)
        list(trainer.epochs())
        (alone,) = trainer.runs()
        assert alone.last.cost == pytest.approx(result.run.last.cost, rel=2e-3)
        assert alone.first_cost == pytest.approx(result.run.first_cost, rel=1e-5)
