"""Samplers, pruners, patience and time limits through a whole search of real digits and its store."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform, uniform, when
from babysit.records import State
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import Hooks, run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.settings import SAMPLERS, SearchSettings

SPACE = {
    "learning_rate": log_uniform(1e-4, 1.0),
    "l2": log_uniform(1e-5, 1e-1),
    "update": choice("sgd", "momentum"),
    "momentum": when("update", "momentum", uniform(0.5, 0.95)),
}
NEEDS = {"tpe": "optuna", "gp": "optuna", "cmaes": "cmaes"}
LEARNT = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")


def searched(folder, settings, seed=0, **options):
    recipe = Recipe(digits, lambda hp: two_layer(64, 10), space=SPACE, name="mine")
    job, prepared = Job("mine", seed=seed, folder=folder), prepare(recipe, seed=seed)
    found = run_search(job, prepared, settings, **options)
    with Reader(f"sqlite:///{folder}/babysit.sqlite") as reader:
        return found, queries.results(reader, found.study)


def essence(results):
    return [
        (r.trial.key, dict(r.trial.hyperparameters), r.run.state, r.run.message, len(r.run.readings))
        for r in sorted(results, key=lambda result: result.trial.key)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_searches_to_the_end(tmp_path, sampler):
    if find_spec(NEEDS.get(sampler, "babysit")) is None:
        pytest.skip(f"{NEEDS[sampler]} is not installed")
    settings = SearchSettings(stages="coarse:12x1,fine:8x1,final:1x3", sampler=sampler, round_size=6)
    found, results = searched(tmp_path, settings)
    coarse = [result for result in results if result.trial.stage == 0]
    assert 8 <= len(coarse) <= 12
    assert len(coarse) == 12 or sampler == "grid"
    for result in results:
        hp = result.trial.hyperparameters
        assert ("momentum" in hp) == (hp["update"] == "momentum")
    assert found.outcome["best"]["val_accuracy"] > 0.2
    assert found.outcome["final"]["test_accuracy"] > 0.12


class Killed(BaseException):
    """Nothing that anybody expects."""


def killing(after):
    def stage(now):
        if now.stage.name == "coarse" and now.done == after:
            raise Killed

    return Hooks(stage=stage)


@pytest.mark.slow
@LEARNT
def test_a_killed_search_goes_on_to_the_same_end(tmp_path):
    stages = "coarse:14x4,final:1x1"
    options = {"sampler": "tpe", "pruner": "asha", "round_size": 5, "patience": 2}
    _, whole = searched(tmp_path / "whole", SearchSettings(stages=stages, **options))
    with pytest.raises(Killed):
        searched(tmp_path / "killed", SearchSettings(stages=stages, **options), hooks=killing(9))
    kept = []
    hooks = Hooks(resumed=lambda study, done: kept.append(done))
    found, resumed = searched(
        tmp_path / "killed", SearchSettings(stages=stages, **options), resume=True, hooks=hooks
    )
    assert kept == [9]
    assert essence(resumed) == essence(whole)
    assert found.study == 1
    assert State.PRUNED in {result.run.state for result in whole}


def test_the_pruned_are_in_the_store_with_epoch_and_reason_and_are_not_the_best(tmp_path):
    shown = []
    hooks = Hooks(stage=lambda now: shown.append(now.pruned))
    found, results = searched(tmp_path, SearchSettings(stages="coarse:15x4", pruner="asha"), hooks=hooks)
    pruned = [result for result in results if result.run.state is State.PRUNED]
    assert found.outcome["states"]["pruned"] == len(pruned) == shown[-1] >= 5
    for result in pruned:
        epoch = len(result.run.readings)
        assert epoch in (1, 3)
        assert result.run.message.startswith(f"pruned after epoch {epoch}: validation accuracy")
    best = found.outcome["best"]
    assert (best["stage"], best["number"]) not in {result.trial.key for result in pruned}


def test_another_sampler_or_pruner_is_another_search_and_the_usual_ones_are_that_of_before(tmp_path):
    first, _ = searched(tmp_path, SearchSettings(stages="coarse:3x1"))
    usual, _ = searched(
        tmp_path, SearchSettings(stages="coarse:3x1", sampler="random", pruner="none"), resume=True
    )
    other, _ = searched(tmp_path, SearchSettings(stages="coarse:3x1", sampler="qmc"), resume=True)
    third, _ = searched(tmp_path, SearchSettings(stages="coarse:3x1", pruner="median"), resume=True)
    late, _ = searched(tmp_path, SearchSettings(stages="coarse:3x1", timeout=60), resume=True)
    assert (first.study, usual.study, other.study, third.study, late.study) == (1, 1, 2, 3, 1)


def test_a_search_whose_time_is_up_ends_with_what_there_is_and_can_go_on(tmp_path):
    settings = SearchSettings(stages="coarse:6x1,fine:4x1,final:1x1", round_size=3, timeout=1e-9)
    found, results = searched(tmp_path, settings)
    assert found.outcome["states"] == {"stopped": 3}
    assert found.outcome["best"] is None
    assert {result.run.state for result in results} == {State.STOPPED}
    whole, rest = searched(
        tmp_path, SearchSettings(stages="coarse:6x1,fine:4x1,final:1x1", round_size=3), resume=True
    )
    assert whole.study == found.study
    assert whole.outcome["best"] is not None
    assert len(rest) == 10
    assert State.STOPPED not in {result.run.state for result in rest}


@pytest.mark.parametrize(
    ("options", "reason"), [({"sampler": "rnd"}, "sampler"), ({"pruner": "x"}, "pruner")]
)
def test_what_does_not_exist_is_refused_before_anything_is_stored(tmp_path, options, reason):
    with pytest.raises(InputError, match=f"there is no {reason}"):
        searched(tmp_path, SearchSettings(stages="coarse:3x1", **options))
    assert not (tmp_path / "babysit.sqlite").exists()
