"""The question whether the network can memorize twenty examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from babysit.checks.questions.shared import UNREGULARIZED, ladder, rungs, without_dropout
from babysit.recipe.building import Prepared
from babysit.recipe.space import number
from babysit.records import Run, Value
from babysit.verdicts import CheckResult, Status

_PATIENCE = 3
"""Factor on the number of updates where a network has not memorized by then: with small initial weights it
can stay on a saddle for long."""

_STEADY: dict[str, Value] = {"schedule": "constant", "warm_up_epochs": 0.0}

TINY = 0.01
"""Cost below which examples count as memorized: absolute, or a share of chance where that is below 1."""


def overfits_tiny_subset(
    prepared: Prepared,
    hyperparameters: Mapping[str, Value],
    *,
    examples: int = 20,
    epochs: int = 200,
    rates: Sequence[float] = (),
) -> CheckResult:
    """Trains on a few examples without regularization, in full batches, until the cost is nearly zero.

    The cost decides, not the accuracy, which may dip while the cost falls. Several learning rates are trained
    side by side, and one that memorizes is enough.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check; regularization is off, and the learning rate stays constant.
        examples: number of examples. Default: 20.
        epochs: number of updates; up to three times as many where the cost is not tiny by then. Default: 200.
        rates: learning rates to try. Default: two a decade from 1e-6 to 10.

    Returns:
        pass where the lowest cost is below 0.01 (for regression 1% of the targets' variance), warn below a
        tenth of chance, fail otherwise.

    Source: CS231n lecture 6, 'Babysitting the Learning Process: overfit a very small portion of the training
    data'.
    """
    prepared = prepared.at(hyperparameters)  # preprocessing is fitted on the whole training split
    tiny = prepared.dataset.tiny(examples, prepared.seed)
    model = without_dropout(prepared.recipe.model)
    recipe = replace(prepared.recipe, model=model)
    small = replace(prepared, recipe=recipe, dataset=tiny)
    tried = list(rates) or rungs(1e-6, 10.0)
    trials = ladder(hyperparameters, tried, **UNREGULARIZED, **_STEADY, batch_size=len(tiny.train))
    trainer = small.trainer(trials, epochs * _PATIENCE)
    for report in small.reports(trainer):
        lowest = min((_cost(run) for run in trainer.runs() if run.explosion is None), default=math.inf)
        if report.epoch >= epochs and lowest < _limit(small.chance_loss):
            break
    result = _result(trainer.runs(), tried, small.chance_loss)
    # The lowest cross-entropy of probabilities that are taken for logits: ln(e + C - 1) - 1.
    floor = math.inf
    if recipe.loss == "softmax":
        floor = math.log(math.e + tiny.num_classes - 1) - 1
    if result.status is not Status.PASS and abs(result.value - floor) < 0.01 * floor:
        return replace(result, advice=f"the cost stops at {floor:.4f}, {_DOUBLED_SOFTMAX}")
    return result


_DOUBLED_SOFTMAX = (
    "the floor of a softmax behind a softmax: the loss applies its own, so return the logits and leave "
    "the model's last softmax out"
)


def _result(runs: Sequence[Run], rates: Sequence[float], chance: float) -> CheckResult:
    finished = [(run, rate) for run, rate in zip(runs, rates, strict=True) if run.explosion is None]
    run, rate = min(finished, key=lambda pair: _cost(pair[0]), default=(None, math.nan))
    cost = math.inf if run is None else _cost(run)
    limit = _limit(chance)
    status = Status.PASS if cost < limit else Status.WARN if cost < 0.1 * chance else Status.FAIL
    accuracy = math.nan if run is None or run.last is None else run.last.train_accuracy
    advice = {
        Status.PASS: f"it memorizes (at learning rate {number(rate)}): model, loss and update work together",
        Status.WARN: "nearly: the cost still falls; more updates or a rate between those tried may suffice",
        Status.FAIL: "the network cannot memorize a few examples: look for a broken model (dead units, a "
        "missing nonlinearity, outputs that ignore the input), wrong labels, or inputs on a far too large "
        "scale",
    }
    return CheckResult(
        name="overfits_tiny_subset",
        status=status,
        value=cost,
        expected=f"below {limit:.3g} after {len(runs[0].readings) or 'all'} updates on the same few examples",
        advice=advice[status],
        details={"train_accuracy": accuracy, "learning_rate": rate, "exploded": len(runs) - len(finished)},
    )


def _limit(chance: float) -> float:
    return min(TINY, TINY * chance)


def _cost(run: Run) -> float:
    return run.last.cost if run.last is not None else math.inf
