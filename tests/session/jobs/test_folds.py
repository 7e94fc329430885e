"""A search over folds: scores with a standard error, kept in the store, the same on every way there."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import mlp, two_layer
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform
from babysit.records import State
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import ties

RECIPE = Recipe(
    digits,
    lambda hp: two_layer(64, hp.hidden),
    space={"learning_rate": log_uniform(1e-4, 3.0), "hidden": choice(5, 7)},
    name="mine",
)
STAGES = "coarse:8x2,fine:3x2,final:2x2"


def searched(folder, settings, recipe=RECIPE, name="mine", resume=False):
    found = run_search(Job(name, folder=folder), prepare(recipe, seed=0), settings, resume=resume)
    with Reader(f"sqlite:///{folder}/babysit.sqlite") as reader:
        return found, queries.results(reader, found.study)


@pytest.fixture(scope="module")
def in_folds(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("folds"), SearchSettings(stages=STAGES, folds=4))


def test_every_complete_trial_has_a_score_of_each_fold_and_their_mean_is_its_score(in_folds):
    _, results = in_folds
    complete = [result for result in results if result.run.state is State.COMPLETE]
    assert len(complete) >= 6
    for result in complete:
        assert len(result.run.folds) == 4
        assert result.score == pytest.approx(statistics.fmean(result.run.folds))
        assert result.fold_error == pytest.approx(statistics.stdev(result.run.folds) / 2)


def test_ties_go_by_the_standard_error_over_folds(in_folds):
    found, results = in_folds
    best = max(results, key=lambda result: result.score)
    tied = [r.trial.key for r in results if r.score >= best.score - best.fold_error]
    assert sorted(map(tuple, found.outcome["ties"])) == sorted(tied)
    assert sorted(r.trial.key for r in ties(results, 10**9)) == sorted(tied)
    assert found.outcome["best"]["folds"] == list(best.run.folds)
    assert found.outcome["best"]["fold_error"] == best.fold_error


def test_the_last_stage_trains_on_the_training_split_and_scores_the_test_split(in_folds):
    final = in_folds[0].outcome["final"]
    assert final["test_examples"] == 360
    assert final["ensemble"]["members"] == 2


def test_population_size_and_resuming_change_no_score(in_folds, tmp_path):
    _, results = in_folds
    _, small = searched(tmp_path, SearchSettings(stages=STAGES, folds=4, population=2))
    for one, other in zip(results, small, strict=True):
        assert one.trial.key == other.trial.key
        assert one.run.state is other.run.state
        assert one.run.folds == pytest.approx(other.run.folds, abs=5e-3)
    _, again = searched(tmp_path, SearchSettings(stages=STAGES, folds=4, population=2), resume=True)
    assert [(r.trial, r.run.folds) for r in again] == [(r.trial, r.run.folds) for r in small]


def test_without_folds_there_are_none_and_another_number_is_another_search(in_folds, tmp_path):
    found, plain = searched(tmp_path, SearchSettings(stages="coarse:3x1,final:1x1"))
    assert {result.run.folds for result in plain} == {()}
    other, _ = searched(tmp_path, SearchSettings(stages="coarse:3x1,final:1x1", folds=2), resume=True)
    assert other.study != found.study


def test_what_cannot_be_folded_is_refused_before_anything_trains(tmp_path):
    with pytest.raises(InputError, match="1 folds cannot be made"):
        searched(tmp_path, SearchSettings(stages=STAGES, folds=1))
    mixing = replace(RECIPE, model=lambda hp: mlp(64, [hp.hidden], 10, batch_norm=True))
    with pytest.raises(InputError, match="mixes the examples"):
        searched(tmp_path, SearchSettings(stages=STAGES, folds=4), mixing)
    assert not list(tmp_path.glob("*.sqlite"))


@pytest.mark.slow
def test_workers_train_the_same_folds(tmp_path):
    asked = SearchSettings(stages="coarse:6x2,final:1x1", folds=3)
    here = searched(tmp_path / "one", asked, load_recipe("digits"), "digits")[1]
    there = searched(
        tmp_path / "two", replace(asked, workers=2, population=3), load_recipe("digits"), "digits"
    )[1]
    for one, other in zip(here, there, strict=True):
        assert one.run.folds == pytest.approx(other.run.folds, abs=5e-3)
