"""The last stage: several of the best, several seeds, the ensemble, the test split once."""

from __future__ import annotations

import math
import statistics
import time

import pytest
import torch
from torch.nn import functional as F

import babysit as bs
from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import two_layer
from babysit.recipe import scoring
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import choice, log_uniform
from babysit.records import Reading, Result, Run, State, Trial
from babysit.session.jobs import search as searching
from babysit.session.jobs.final_stage import finalize, retrain
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.tuning.search import Outcome
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import Budget

RECIPE = Recipe(
    digits,
    lambda hp: two_layer(64, hp.hidden),
    space={"learning_rate": log_uniform(1e-4, 1e-2), "hidden": choice(5, 7)},
    name="mine",
)


def final_of(folder, settings, recipe=RECIPE):
    found = run_search(Job("mine", folder=folder), prepare(recipe, seed=0), settings)
    return found, found.outcome["final"]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return final_of(
        tmp_path_factory.mktemp("several"), SearchSettings(stages="coarse:6x1,final:3x4", seeds=2)
    )


def test_every_one_of_the_best_is_trained_from_every_seed(several):
    _, final = several
    assert [len(each["scores"]) for each in final["finalists"]] == [2, 2, 2]
    assert len({tuple(each["trial"]) for each in final["finalists"]}) == 3
    for each in final["finalists"]:
        assert each["mean"] == pytest.approx(statistics.fmean(each["scores"]))
        assert each["std"] == pytest.approx(statistics.stdev(each["scores"]))
    means = [each["mean"] for each in final["finalists"]]
    assert means == sorted(means, reverse=True)


def test_the_chosen_is_the_best_seed_of_the_best_mean(several):
    _, final = several
    first = final["finalists"][0]
    assert final["trial"] == first["trial"]
    assert final["val_accuracy"] == max(first["scores"])
    assert final["seed"] == first["scores"].index(max(first["scores"]))


def test_the_first_seed_is_the_training_without_seeds(several, tmp_path):
    _, final = several
    _, alone = final_of(tmp_path, SearchSettings(stages="coarse:6x1,final:3x4"))
    single = {tuple(each["trial"]): each["scores"] for each in alone["finalists"]}
    for each in final["finalists"]:
        assert [each["scores"][0]] == single[tuple(each["trial"])]
    assert all(math.isnan(each["std"]) for each in alone["finalists"])


def test_the_saved_model_and_its_loader_give_the_reported_scores(several):
    found, final = several
    model = bs.load(found.weights, RECIPE)
    data = digits()
    for split, name in ((data.val, "val"), (data.test, "test")):
        right = (model.predict(split.x) == torch.from_numpy(split.y)).double().mean().item()
        assert right == pytest.approx(final[f"{name}_accuracy"], abs=1e-9)


def test_the_ensemble_holds_all_trainings_and_stands_beside_the_best(several):
    _, final = several
    ensemble = final["ensemble"]
    assert ensemble["members"] == 6
    prepared = prepare(RECIPE, seed=0)
    streams = [
        (each["hyperparameters"], ("trial", *each["trial"], *more))
        for each in final["finalists"]
        for more in ((), ("seed", 1))
    ]
    total = torch.zeros(len(prepared.dataset.test), 10, dtype=torch.float64)
    x, y = prepared.dataset.inputs(prepared.dataset.test.x), torch.from_numpy(prepared.dataset.test.y)
    for stream in streams:  # one by one, by hand
        trainer = prepared.trainer([stream], epochs=4, keep_best=True)
        list(trainer.epochs())
        model = prepared.model(*stream)
        model.load_state_dict(trainer.weights(0))
        total += F.softmax(model.eval()(torch.from_numpy(x)).detach().double(), 1)
    loss = F.nll_loss((total / 6).log(), y).item()
    assert ensemble["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert ensemble["test_accuracy"] == pytest.approx(
        (total.argmax(1) == y).double().mean().item(), abs=0.003
    )


def test_the_test_split_is_scored_in_one_evaluation(tmp_path, monkeypatch):
    asked = []
    real = scoring.scores
    monkeypatch.setattr(
        "babysit.session.jobs.final_stage.scores",
        lambda prepared, models, split: asked.append((split, len(models))) or real(prepared, models, split),
    )
    final_of(tmp_path, SearchSettings(stages="coarse:4x1,final:2x1"))
    assert asked == [("test", 2), ("val", 2)]


def test_one_model_is_no_ensemble(tmp_path):
    _, final = final_of(tmp_path, SearchSettings(stages="coarse:4x1,final:1x1"))
    assert final["ensemble"] is None
    assert final["test_examples"] == 360


def test_no_seed_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match="seeds = 0"):
        final_of(tmp_path, SearchSettings(stages="coarse:4x1", seeds=0))


def test_a_trial_that_explodes_under_a_seed_ranks_behind(tmp_path):
    wild = Recipe(
        digits, lambda hp: two_layer(64, 5), space={"learning_rate": choice(0.003, 0.004)}, name="mine"
    )
    prepared = prepare(wild, seed=0)
    found = Outcome(results=[complete(0, 0.9, 1e3), complete(1, 0.5, 0.003)])
    budgets = [Budget("coarse", 2, 1), Budget("final", 2, 2)]
    first, second = retrain(prepared, found, budgets, SearchSettings(seeds=2), lambda *_: None)
    assert (first.trial.number, second.trial.number) == (1, 0)
    assert second.completed == []
    assert math.isnan(second.mean)
    final, path = finalize(Job("mine", folder=tmp_path), prepared, "net", [first, second])
    assert final["ensemble"]["members"] == 2
    assert final["finalists"][1]["states"] == ["exploded"] * 2
    assert path.is_file()


def test_when_the_time_is_up_a_retraining_ends_with_its_epoch_and_says_so(tmp_path):
    prepared = prepare(RECIPE, seed=0)
    trials = [
        Trial(0, number, {"learning_rate": 3e-3, "hidden": 5 + 2 * number, "batch_size": 100})
        for number in range(2)
    ]
    reading = Reading(1, 10, 1.0, 0.5, 0.5, 3e-3, 1.0)
    found = Outcome(results=[Result(trial, Run(State.COMPLETE, (reading,))) for trial in trials])
    budgets, settings = [Budget("coarse", 2, 1), Budget("final", 2, 6)], SearchSettings()
    cut = retrain(prepared, found, budgets, settings, lambda *_: None, deadline=0.0)
    whole = retrain(prepared, found, budgets, settings, lambda *_: None)
    final, path = finalize(Job("mine", folder=tmp_path), prepared, "net", cut)
    assert [each["states"] for each in final["finalists"]] == [["stopped"]] * 2
    assert (final["epochs"], final["epochs_done"], len(final["readings"])) == (6, 1, 1)
    firsts = {each.trial.key: each.best.run.readings[0] for each in whole}
    assert {each.trial.key: each.best.run.readings for each in cut} == {
        key: (r,) for key, r in firsts.items()
    }
    assert final["test_accuracy"] > 0
    assert path.is_file()


def test_the_last_fifth_of_the_time_is_for_the_retraining(tmp_path, monkeypatch):
    left = []

    def seen(real):
        def called(*given, **named):
            left.append(named["deadline"] - time.time())
            return real(*given, **named)

        return called

    monkeypatch.setattr(searching, "StagedSearch", seen(searching.StagedSearch))
    monkeypatch.setattr(searching, "retrain", seen(searching.retrain))
    final_of(tmp_path, SearchSettings(stages="coarse:2x1", timeout=1000))
    assert left == [pytest.approx(800, abs=100), pytest.approx(1000, abs=100)]


def complete(number, accuracy, rate):
    reading = Reading(1, 10, 1.0, accuracy, accuracy, rate, 1.0)
    return Result(
        Trial(0, number, {"learning_rate": rate, "batch_size": 100}), Run(State.COMPLETE, (reading,))
    )
