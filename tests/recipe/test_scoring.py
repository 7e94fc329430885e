"""Scores on examples that no model trained on: by hand for one model and for an ensemble."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.data.preprocessing import MeanImage, Standardize
from babysit.data.sources import arrays, digits
from babysit.nn.networks import mlp
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.scoring import TEST, VALIDATION, scores
from babysit.recipe.space import choice, middle

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def values(prepared, **changed):
    return {**middle(prepared.recipe.full_space()), **changed}


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


def by_hand(prepared, hyperparameters, weights):
    """Logits on the test split, and its labels."""
    model = prepared.model(hyperparameters, ("elsewhere",))
    model.load_state_dict(weights)
    dataset = prepared.at(hyperparameters).dataset
    x = torch.from_numpy(dataset.inputs(dataset.test.x))
    with torch.no_grad():
        return model.eval()(x), torch.from_numpy(dataset.test.y)


def test_the_score_is_that_of_the_test_split(prepared):
    trainer = prepared.trainer([(values(prepared), ("trial", 0, 0))], epochs=2)
    list(trainer.epochs())
    weights = trainer.weights(0)
    (found,), ensemble = scores(prepared, [(values(prepared), weights)], TEST)
    logits, y = by_hand(prepared, values(prepared), weights)
    assert found.examples == len(y) == 360
    assert found.accuracy == pytest.approx((logits.argmax(1) == y).double().mean().item())
    assert found.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert ensemble.accuracy == found.accuracy
    assert ensemble.loss == pytest.approx(found.loss, rel=1e-5)


def test_an_ensemble_averages_the_probabilities_of_models_of_any_shape_and_preprocessing(prepared):
    asked = [
        values(prepared, hidden=20),
        values(prepared, hidden=30),
        values(prepared, hidden=20, preprocessing="standardize"),
    ]
    models = []
    for number, hyperparameters in enumerate(asked):
        trainer = prepared.trainer([(hyperparameters, ("trial", 0, number))], epochs=1)
        list(trainer.epochs())
        models.append((hyperparameters, trainer.weights(0)))
    found = scores(prepared, models, TEST)
    pairs = [by_hand(prepared, *model) for model in models]
    mean, y = sum(F.softmax(logits.double(), 1) for logits, _ in pairs) / 3, pairs[0][1]
    assert found.ensemble.accuracy == pytest.approx((mean.argmax(1) == y).double().mean().item())
    assert found.ensemble.loss == pytest.approx(-mean[range(len(y)), y].log().mean().item(), rel=1e-5)
    for each, (logits, _) in zip(found.each, pairs, strict=True):
        assert each.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)


def test_an_ensemble_of_regressions_averages_predictions():
    y = X.sum(1)
    made = prepare(
        Recipe(
            lambda: arrays(X[:30], y[:30], X[30:40], y[30:40], X[40:], y[40:]),
            lambda hp: nn.Linear(4, 1),
            loss="mse",
            space={"learning_rate": 1e-3},
        ),
        seed=0,
    )
    hyperparameters = values(made)
    models = [(hyperparameters, made.model(hyperparameters, (name,)).state_dict()) for name in ("a", "b")]
    found = scores(made, models, VALIDATION)
    x, wanted = made.evaluation.val_x, made.evaluation.val_y
    predictions = [x @ weights["weight"].T + weights["bias"] for _, weights in models]
    mean = (sum(predictions) / 2).squeeze(1)
    assert found.ensemble.loss == pytest.approx(F.mse_loss(mean, wanted).item(), rel=1e-5)
    assert math.isnan(found.ensemble.accuracy)


def test_scoring_drops_no_unit(prepared):
    hyperparameters = values(prepared, dropout=0.5)
    model = (hyperparameters, prepared.model(hyperparameters, ("a",)).state_dict())
    assert scores(prepared, [model], TEST) == scores(prepared, [model], TEST)


def test_without_a_test_split_there_is_no_score():
    labels = np.arange(60) % 3
    made = prepare(
        Recipe(
            lambda: arrays(X[:40], labels[:40], X[40:], labels[40:]),
            lambda hp: nn.Linear(4, 3),
            space={"learning_rate": 1e-3},
        ),
        seed=0,
    )
    model = (values(made), made.model(values(made), ("a",)).state_dict())
    assert scores(made, [model], TEST) is None
    assert scores(made, [model], VALIDATION).each[0].examples == 20


def test_a_model_sees_the_inputs_as_its_hyperparameters_preprocess_them(prepared):
    hyperparameters = values(prepared, preprocessing="standardize")
    weights = prepared.model(hyperparameters, ("t",)).state_dict()
    own = prepare(
        Recipe(
            lambda: digits(preprocess=[Standardize()]), prepared.recipe.model, space=prepared.recipe.space
        ),
        seed=5,
    )
    seen = scores(prepared, [(hyperparameters, weights)], TEST)
    assert seen == scores(own, [(values(prepared), weights)], TEST)
    assert seen != scores(prepared, [(values(prepared), weights)], TEST)
