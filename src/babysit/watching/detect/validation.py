"""Detectors of faults in validation: its mode, examples and counters, and batch norms that mislead it."""

from __future__ import annotations

import math
from itertools import pairwise

from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.course import NORM_MISMATCH
from babysit.diagnosis.problems.data import VALIDATION_IN_TRAINING
from babysit.diagnosis.problems.wiring import METRIC_NOT_RESET, VALIDATED_IN_TRAINING_MODE
from babysit.verdicts import Evidence
from babysit.watching.detect.shared import ENOUGH, VALIDATION, newer_half
from babysit.watching.passes import EpochPasses
from babysit.watching.sample import Epoch, WatchLog, middle


def _is_validated(epoch: Epoch) -> bool:
    return math.isfinite(epoch.val_accuracy) or math.isfinite(epoch.val_loss)


def _counted(log: WatchLog) -> list[tuple[Epoch, EpochPasses]]:
    pairs = zip(log.epochs, log.passes.epochs, strict=False)
    return [(epoch, passes) for epoch, passes in pairs if passes is not None]


@detects(
    VALIDATED_IN_TRAINING_MODE,
    reason="between the last step and the reported epoch only validation batches go through the model",
    needs=(VALIDATION,),
)
def validated_in_training_mode(log: WatchLog) -> Detection | None:
    """Finds all reported validations in training mode, in a model with dropout or batch norm."""
    pairs = [(epoch, passes) for epoch, passes in _counted(log) if _is_validated(epoch)]
    wrong = [epoch for epoch, passes in pairs if passes.after_last_step and not passes.evaluated]
    if not log.setup.mode_dependent or not wrong or len(wrong) < len(pairs):
        return None
    return Detection(
        where="validation",
        message="validation examples go through the model in training mode: dropout hits them, and "
        "batch norm uses and learns their own statistics",
        evidence=evidence("validations in training mode", len(wrong), "0", "the score is of another network"),
        since=wrong[0].step,
    )


_FEW_ROWS = 32
"""This few training examples are memorized on purpose and validated on, as the lecture does with 20."""


@detects(
    VALIDATION_IN_TRAINING,
    reason="a batch of other examples has none; rows that repeat within a batch are not judged",
    needs=(VALIDATION,),
)
def validation_in_training(log: WatchLog) -> Detection | None:
    """Finds training rows in every validation batch, 0.7 times as often in all as training rows recur."""
    overlap = log.passes.overlap
    validated = sum(map(_is_validated, log.epochs))
    if overlap is None or validated < 2 or overlap.judged < 2 or overlap.rows <= _FEW_ROWS:
        return None
    if overlap.known < overlap.judged or overlap.share < 0.7:
        return None
    return Detection(
        where="validation",
        message="the validation examples are trained on: all sampled validation batches are made "
        "of training rows",
        evidence=(
            Evidence("validation batches known from training", overlap.known, "0", "memory is not skill"),
            Evidence(
                "training rows that recur", overlap.recurring, "above 0", "this share would be recognized"
            ),
        ),
        since=1,
    )


@detects(METRIC_NOT_RESET, reason="hits of one validation are a whole number", needs=(VALIDATION,))
def metric_not_reset(log: WatchLog) -> Detection | None:
    """Finds an accuracy that rises past 1, a k-th accuracy of a whole number of hits only if multiplied by
    k, or a validation loss that grows by its first value every epoch.
    """
    what = (
        _over_one([epoch.val_accuracy for epoch in log.epochs])
        or _over_one([epoch.train_accuracy for epoch in log.epochs])
        or _running_share(log)
        or _running_loss([epoch.val_loss for epoch in log.epochs])
    )
    if not what:
        return None
    return Detection(
        where="metric",
        message=f"a running metric is never reset: {what}",
        evidence=evidence("reported epochs", len(log.epochs), "each on its own", "one counter a validation"),
        since=log.epochs[0].step,
    )


def _over_one(values: list[float]) -> str:
    """Finds hits summed over epochs and divided by the examples of one: the share passes 1."""
    known = [value for value in values if math.isfinite(value)]
    # From at most 1 upwards; a percentage is above 1 from the first epoch on.
    if len(known) < ENOUGH or not known[0] <= 1 < known[-1] or any(b < a for a, b in pairwise(known)):
        return ""
    return f"the accuracy rises past 1, to {known[-1]:.3g}"


def _running_share(log: WatchLog) -> str:
    """Finds hits and examples both summed over epochs: k x the share is a whole number of hits, the share is
    not.
    """
    passes = [passes for _, passes in _counted(log)]
    for rows, values in (
        ({each.evaluated_rows for each in passes}, [epoch.val_accuracy for epoch in log.epochs]),
        ({each.trained_rows for each in passes}, [epoch.train_accuracy for epoch in log.epochs]),
    ):
        each = max(rows, default=0)
        if len(values) >= ENOUGH and len(rows) == 1 and each and _runs_on(each, values):
            return f"accuracies are running means over all epochs ({each} examples each)"
    return ""


def _runs_on(rows: int, values: list[float]) -> bool:
    if not all(map(math.isfinite, values)) or not 32 <= rows <= 5000 or not _whole(values[0] * rows):
        return False
    own = [_whole(value * rows) for value in values[1:]]
    summed = [_whole(value * rows * count) for count, value in enumerate(values, 1)]
    return all(summed) and own.count(False) >= 2


def _whole(count: float) -> bool:
    return abs(count - round(count)) < 0.01


def _running_loss(values: list[float]) -> str:
    """Finds a loss that grows by about its own size every epoch."""
    known = [value for value in values if math.isfinite(value)]
    rises = [b - a for a, b in pairwise(known)]
    if len(known) < 4 or not 0 < max(rises) < 4 * min(rises) or not rises[0] > 0.25 * known[0] > 0:
        return ""
    return f"the validation loss grows by about its first value in every epoch, to {known[-1]:.3g}"


_SHIFT, _STRETCH = 1.0, math.log(4)


@detects(NORM_MISMATCH, reason="a batch of 8 lies within 0.4 deviations of its own mean", needs=(VALIDATION,))
def norm_mismatch(log: WatchLog) -> Detection | None:
    """Finds running means 1 deviation off, or variances off 4 times, and validation far below training."""
    samples = [sample for sample in newer_half(log.samples) if sample.norms]
    names = samples[-1].norms if samples else {}
    away = {
        name: (
            middle(sample.norms[name].shift for sample in samples if name in sample.norms),
            middle(sample.norms[name].stretch for sample in samples if name in sample.norms),
        )
        for name in names
    }
    worst = max(away, key=lambda name: _excess(away[name]), default="")
    if len(samples) < ENOUGH or not worst or not _excess(away[worst]) > 1 or not _is_validation_worse(log):
        return None
    shift, stretch = away[worst]
    return Detection(
        where=worst,
        message=f"the running statistics of {worst} are not those of its batches: "
        "in eval mode it is another network",
        evidence=(
            Evidence("distance of the means", shift, f"below {_SHIFT:g}", "in running standard deviations"),
            Evidence("ratio of the variances", math.exp(stretch), "below 4", "as large as its reciprocal"),
        ),
        since=samples[0].step,
    )


def _excess(away: tuple[float, float]) -> float:
    return max(
        (value / limit for value, limit in zip(away, (_SHIFT, _STRETCH), strict=True) if value == value),
        default=0.0,
    )


def _is_validation_worse(log: WatchLog) -> bool:
    """Tells whether validation is far worse than training, by any of the reported values."""
    if not log.epochs:
        return False
    last = log.epochs[-1]
    gap = last.train_accuracy - last.val_accuracy > 0.2
    worse = last.val_loss > 2 * log.last and last.val_loss - log.last > 0.2 * abs(log.first)
    learned_but_not_seen = log.last < 0.4 * log.chance and last.val_accuracy < 0.6
    return gap or worse or learned_but_not_seen
