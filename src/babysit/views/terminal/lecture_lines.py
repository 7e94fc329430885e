"""Epochs and trials as CS231n lecture 6 prints them, one line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from babysit.records import Reading, Result, Stage, Value
from babysit.views.data.formatting import value_text, varied_names

_RATES = ("learning_rate", "l2")


def epoch_line(reading: Reading, epochs: int) -> str:
    """Formats one epoch as the lecture does.

    Args:
        reading: the measurements at its end.
        epochs: the number of epochs of the run.

    Example:
        >>> epoch_line(Reading(1, 490, 2.302576, 0.08, 0.103, 1e-6), 10)
        'Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1.000000e-06'
        >>> nan = float("nan")
        >>> epoch_line(Reading(1, 490, 4.5, nan, nan, 1e-6, val_loss=4.25), 10)
        'Finished epoch 1 / 10: cost 4.500000, val loss 4.250000, lr 1.000000e-06'
    """
    start = f"Finished epoch {reading.epoch} / {epochs}: cost {reading.cost:f}"
    if math.isnan(reading.val_accuracy) and not math.isnan(reading.val_loss):
        return f"{start}, val loss {reading.val_loss:f}, lr {reading.learning_rate:e}"
    scores = f"train: {reading.train_accuracy:f}, val {reading.val_accuracy:f}"
    return f"{start}, {scores}, lr {reading.learning_rate:e}"


def trial_line(result: Result, number: int, count: int, also: Sequence[str] = ()) -> str:
    """Formats one trial of a search as the lecture does.

    Args:
        result: the trial and its run; an exploded run has the accuracy ``nan``.
        number: its position among ``count``.
        count: the number of trials.
        also: further hyperparameters to show, after the learning rate and the regularization.

    Example:
        >>> from babysit.records import Run, State, Trial
        >>> run = Run(State.COMPLETE, (Reading(5, 2450, 1.6, 0.43, 0.412, 1e-4),))
        >>> choice = {"learning_rate": 1.405206e-4, "l2": 4.793564e-1}
        >>> trial_line(Result(Trial(0, 0, choice), run), 1, 100)
        'val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)'
    """
    choice = result.trial.hyperparameters
    best = result.run.best
    if best and math.isnan(best.val_accuracy) and not math.isnan(best.val_loss):
        score = f"val_loss: {best.val_loss:f}"
    else:
        score = f"val_acc: {best.val_accuracy if best else math.nan:f}"

    def exponent(value: Value) -> str:
        return f"{float(value) if isinstance(value, int | float) else math.nan:e}"

    rates = f"lr: {exponent(choice.get('learning_rate', math.nan))}, reg: {exponent(choice.get('l2', 0.0))}"
    others = "".join(f", {name}: {value_text(choice.get(name))}" for name in also)
    return f"{score}, {rates}{others}, ({number} / {count})"


def trial_lines(results: Sequence[Result], stages: Sequence[Stage]) -> list[str]:
    """Formats every trial of a search, stage by stage, counted from 1 in each.

    Args:
        results: the trials.
        stages: their stages, for the number of trials; a watched loop has none.

    Example:
        >>> from babysit.records import Run, State, Trial
        >>> run = Run(State.COMPLETE, (Reading(5, 2450, 1.6, 0.43, 0.412, 1e-4),))
        >>> choices = [{"learning_rate": 1e-4, "hidden": 50}, {"learning_rate": 1e-3, "hidden": 90}]
        >>> results = [Result(Trial(0, number, choice), run) for number, choice in enumerate(choices)]
        >>> print(*trial_lines(results, [Stage(0, "coarse", {}, 8, 5)]), sep="\\n")
        val_acc: 0.412000, lr: 1.000000e-04, reg: 0.000000e+00, hidden: 50, (1 / 8)
        val_acc: 0.412000, lr: 1.000000e-03, reg: 0.000000e+00, hidden: 90, (2 / 8)
    """
    also = [name for name in varied_names(results) if name not in _RATES]
    counts = {stage.index: stage.trials for stage in stages}
    for result in results:
        stage, number = result.trial.key
        counts[stage] = max(counts.get(stage, 0), number + 1)
    ordered = sorted(results, key=lambda result: result.trial.key)
    return [
        trial_line(result, result.trial.number + 1, counts[result.trial.stage], also) for result in ordered
    ]
