"""The question whether the first loss is that of a network that knows nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from babysit.checks.questions.shared import UNREGULARIZED, without_dropout
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.verdicts import CheckResult, Status


def first_costs(prepared: Prepared, hyperparameters: Mapping[str, Value], l2: list[float]) -> list[float]:
    """Computes the cost of the first mini-batch, before any update, for several l2 on the same weights.

    The trainer computes it, so that the cost that is checked is the cost that is trained.
    """
    trials = [({**hyperparameters, **UNREGULARIZED, "l2": strength}, ("check",)) for strength in l2]
    # Without dropout, since the chance level is that of the whole network; but in training mode, since a new
    # batch normalization has no running statistics of the data yet.
    recipe = replace(prepared.recipe, model=without_dropout(prepared.recipe.model))
    trainer = replace(prepared, recipe=recipe).trainer(trials, epochs=1)
    x, y = next(iter(trainer.batches.epoch(1)))
    trainer.population.template.train()
    with torch.no_grad():
        return trainer.costs(x, y)[1].tolist()


def initial_loss(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> CheckResult:
    """Compares the first loss without regularization with the chance level of the loss.

    Softmax: ln C; hinge: C - 1; binary: ln 2; mse: the mini-batch's mean square about the targets' mean.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check; l2 is set to 0 here.

    Returns:
        pass within 10% of chance, or between that and the loss of the classes' shares alone, which a bias can
        start from; fail where it is not finite, below half of both or above three times chance; else warn.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> initial_loss(prepare(recipe, seed=0), middle(recipe.full_space())).status
        <Status.PASS: 'pass'>

    Source: CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable':
    2.30 for 10 classes.
    """
    # The mini-batch on which the loss is measured: its targets may be far from those of the whole split.
    _, targets = next(iter(prepared.batches(int(hyperparameters["batch_size"])).epoch(1)))
    y, train_y = targets.numpy(), np.asarray(prepared.dataset.train.y)
    chance = prepared.chance_loss
    if not prepared.loss.is_classification:
        chance = float(np.square(y.astype(np.float64) - train_y.mean(0)).mean())
    prior = chance
    if prepared.recipe.loss in ("softmax", "binary"):
        counts = np.bincount(train_y.ravel())
        prior = min(float(-np.log(counts[y.ravel()] / counts.sum()).mean()), chance)
    (value,) = first_costs(prepared, hyperparameters, [0.0])
    status = Status.PASS if 0.9 * prior <= value <= 1.1 * chance else Status.WARN
    if not math.isfinite(value) or value > 3 * chance or value < 0.5 * prior:
        status = Status.FAIL
    return CheckResult(
        name="initial_loss",
        status=status,
        value=value,
        expected=f"{chance:.4f}, the {prepared.recipe.loss} loss of a network that knows nothing"
        + (f"; {prior:.4f} if it knows the classes' shares" if prior < 0.95 * chance else ""),
        advice=_advice(value, chance, prior),
        details={"chance": chance, "prior": prior},
    )


def _advice(value: float, chance: float, prior: float) -> str:
    if not math.isfinite(value):
        return (
            "the first loss is NaN or infinite: look for NaN in the data, or weights that are far too large"
        )
    if value < 0.5 * prior:
        return "an untrained network cannot beat chance: look for the labels among the inputs"
    if value > 1.1 * chance:
        return (
            "the first scores are far from zero: centre the inputs, or make the last layer's initial "
            "weights smaller (for regression, centre the targets)"
        )
    return "the loss function and the last layer agree"
