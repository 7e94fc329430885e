"""Is the first loss what a network that knows nothing must give?"""

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
    """The cost of the first mini-batch, before any update, for several l2 on the same initial weights.

    Measured by the trainer itself, so that what is checked is what trains.
    """
    trials = [({**hyperparameters, **UNREGULARIZED, "l2": strength}, ("check",)) for strength in l2]
    # Without dropout, since the chance level speaks of the whole network; but in training mode, since the
    # running statistics of a fresh batch normalization describe no data yet.
    recipe = replace(prepared.recipe, model=without_dropout(prepared.recipe.model))
    trainer = replace(prepared, recipe=recipe).trainer(trials, epochs=1)
    x, y = next(iter(trainer.batches.epoch(1)))
    trainer.population.template.train()
    with torch.no_grad():
        return trainer.costs(x, y)[1].tolist()


def initial_loss(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> CheckResult:
    """The first loss without regularization, against the chance level of its loss.

    Softmax: ln C; hinge: C - 1; binary: ln 2; mse: the mini-batch's mean square about the targets' mean.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them; l2 is set to 0 here.

    Returns:
        pass within 10% of chance, or between that and the loss of the classes' shares alone, which a bias can
        start from; fail when it is not finite, below half of both or above three times chance; warn between.

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
    chance = _chance(prepared, hyperparameters)
    prior = min(_prior(prepared, hyperparameters), chance)
    (value,) = first_costs(prepared, hyperparameters, [0.0])
    return CheckResult(
        name="initial_loss",
        status=_status(value, chance, prior),
        value=value,
        expected=f"{chance:.4f}, the {prepared.recipe.loss} loss of a network that knows nothing"
        + (f"; {prior:.4f} if it knows the classes' shares" if prior < 0.95 * chance else ""),
        advice=_advice(value, chance, prior),
        details={"chance": chance, "prior": prior},
    )


def _chance(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> float:
    if prepared.loss.is_classification:
        return prepared.chance_loss
    # One batch's variance may be far from the whole split's; the loss is measured on the batch.
    _, y = next(iter(prepared.batches(int(hyperparameters["batch_size"])).epoch(1)))
    return float(np.square(y.double().numpy() - prepared.dataset.train.y.mean(0)).mean())


def _prior(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> float:
    """The mini-batch's loss of knowing nothing but how frequent each class is in the training split."""
    if prepared.recipe.loss not in ("softmax", "binary"):
        return math.inf
    counts = np.bincount(np.asarray(prepared.dataset.train.y).ravel())
    _, y = next(iter(prepared.batches(int(hyperparameters["batch_size"])).epoch(1)))
    return float(-np.log(counts[y.numpy().ravel()] / counts.sum()).mean())


def _status(value: float, chance: float, prior: float) -> Status:
    if not math.isfinite(value) or value > 3 * chance or value < 0.5 * prior:
        return Status.FAIL
    return Status.PASS if 0.9 * prior <= value <= 1.1 * chance else Status.WARN


def _advice(value: float, chance: float, prior: float) -> str:
    if not math.isfinite(value):
        return (
            "the first loss is NaN or infinite: look for NaN in the data, or weights that are far too large"
        )
    if value < 0.5 * prior:
        return "knowing nothing, no network beats chance: look for the labels among the inputs"
    if value > 1.1 * chance:
        return (
            "the first scores are far from zero: centre the inputs, or make the last layer's initial "
            "weights smaller (for regression, centre the targets)"
        )
    return "the loss function and the last layer agree"
