"""Can the network memorize twenty examples?"""

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
"""How many times the usual updates a network may take that has not memorized by then: small initial
weights can leave it on a saddle for long."""

_STEADY: dict[str, Value] = {"schedule": "constant", "warm_up_epochs": 0.0}

TINY = 0.01
"""The cost, as a share of chance or absolute for a softmax, that counts as memorized."""


def overfits_tiny_subset(
    prepared: Prepared,
    hyperparameters: Mapping[str, Value],
    *,
    examples: int = 20,
    epochs: int = 200,
    rates: Sequence[float] = (),
) -> CheckResult:
    """Trains on a few examples without regularization, in full batches, until the cost is nearly zero.

    The cost decides, not the accuracy: on the way down the accuracy may dip while the cost falls. Unless
    rates are given, a ladder of learning rates trains side by side and one that memorizes is enough.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them; regularization is off here, and the learning rate stays constant.
        examples: how many, default 20.
        epochs: how many updates, default 200; up to three times as many where the cost is not tiny by then.
        rates: learning rates to try; default two a decade from 1e-6 to 10.

    Returns:
        pass when the lowest cost is below 0.01 (for regression 1% of the targets' variance), warn below a
        tenth of chance, fail otherwise.

    Source: CS231n lecture 6, 'Babysitting the Learning Process: overfit a very small portion of the training
    data'.
    """
    prepared = prepared.at(hyperparameters)  # fitted on all of the training split, not on the few
    tiny = prepared.dataset.tiny(examples, prepared.seed)
    model = without_dropout(prepared.recipe.model)
    recipe = replace(prepared.recipe, model=model)
    small = replace(prepared, recipe=recipe, dataset=tiny)
    tried = list(rates) or rungs(1e-6, 10.0)
    trials = ladder(hyperparameters, tried, **UNREGULARIZED, **_STEADY, batch_size=len(tiny.train))
    trainer = small.trainer(trials, epochs * _PATIENCE)
    for report in small.reports(trainer):
        done = report.epoch >= epochs and _lowest(trainer.runs()) < _limit(small.chance_loss)
        if done:
            break
    result = _judge(trainer.runs(), tried, small.chance_loss)
    floor = _doubled_softmax_floor(small)
    if result.status is not Status.PASS and abs(result.value - floor) < 0.01 * floor:
        return replace(result, advice=f"the cost stops at {floor:.4f}, {_DOUBLED_SOFTMAX}")
    return result


_DOUBLED_SOFTMAX = (
    "the floor of a softmax behind a softmax: the loss has one of its own, so return the logits and leave "
    "the model's last softmax out"
)


def _doubled_softmax_floor(prepared: Prepared) -> float:
    """ln(e + C - 1) - 1: the cross-entropy of probabilities that are taken for logits, at their best."""
    if prepared.recipe.loss != "softmax":
        return math.inf
    return math.log(math.e + prepared.dataset.num_classes - 1) - 1


def _judge(runs: Sequence[Run], rates: Sequence[float], chance: float) -> CheckResult:
    finished = [(run, rate) for run, rate in zip(runs, rates, strict=True) if run.explosion is None]
    run, rate = min(finished, key=lambda pair: _cost(pair[0]), default=(None, math.nan))
    cost = math.inf if run is None else _cost(run)
    limit = _limit(chance)
    status = Status.PASS if cost < limit else Status.WARN if cost < 0.1 * chance else Status.FAIL
    accuracy = math.nan if run is None or run.last is None else run.last.train_accuracy
    return CheckResult(
        name="overfits_tiny_subset",
        status=status,
        value=cost,
        expected=f"below {limit:.3g} after {len(runs[0].readings) or 'all'} updates on the same few examples",
        advice=_advice(status, rate),
        details={"train_accuracy": accuracy, "learning_rate": rate, "exploded": len(runs) - len(finished)},
    )


def _limit(chance: float) -> float:
    return min(TINY, TINY * chance)


def _lowest(runs: Sequence[Run]) -> float:
    return min((_cost(run) for run in runs if run.explosion is None), default=math.inf)


def _cost(run: Run) -> float:
    return run.last.cost if run.last is not None else math.inf


def _advice(status: Status, rate: float) -> str:
    if status is Status.PASS:
        return f"it memorizes (at learning rate {number(rate)}): model, loss and update work together"
    if status is Status.WARN:
        return "nearly: the cost still falls; more updates or a learning rate between the tried ones may do"
    return (
        "the network cannot memorize a few examples: look for a broken model (dead units, a missing "
        "nonlinearity, outputs that ignore the input), wrong labels, or inputs on a far too large scale"
    )
