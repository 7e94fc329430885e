"""Labels that are constant, sorted, among the inputs or not those of their inputs."""

from __future__ import annotations

import math
from statistics import fmean

from babysit.records import Evidence, Severity
from babysit.watching.evidence import ENOUGH, Seen
from babysit.watching.quantities import Log, Sample

_MANY = 64
"""So many labels alike are no accident where there are several classes."""


def _labelled(log: Log) -> list[Sample]:
    return [sample for sample in log.samples if sample.targets is not None and sample.targets.shares]


def _shares(sample: Sample) -> tuple[float, ...]:
    return sample.targets.shares if sample.targets is not None else ()


def _examples(samples: list[Sample]) -> int:
    return sum(sample.output.examples for sample in samples if sample.output is not None)


def constant_labels(log: Log) -> Seen | None:
    """Every sampled example has the same class."""
    samples = _labelled(log)
    if len(samples) < ENOUGH or _examples(samples) < _MANY:
        return None
    label = max(range(len(_shares(samples[0]))), key=_shares(samples[0]).__getitem__)
    # Which of several pairs is the true one may well be told by a constant: the first.
    if any(_shares(sample)[label] < 1 for sample in samples) or (
        log.graph is not None and log.graph.compared
    ):
        return None
    return Seen(
        Severity.WARNING,
        "labels",
        1,
        f"all of {_examples(samples)} sampled labels are class {label}: the model learns to say it always",
        "look at how labels are read: a wrong column, a cast that truncates, a filter, a forgotten shuffle",
        0.9,
        (Evidence("share of the commonest class", 1.0, "below 1", "one class is nothing to tell apart"),),
    )


def one_class_batches(log: Log) -> Seen | None:
    """Every batch holds one class, though there are several."""
    # A loader that shuffles gives such a batch of 8 once in 2^7 batches, even with two classes.
    samples = [
        sample for sample in _labelled(log) if sample.output is not None and sample.output.examples >= 8
    ]
    pure = [sample for sample in samples if max(_shares(sample)) > 0.99]
    kinds = {_shares(sample).index(max(_shares(sample))) for sample in pure}
    if len(samples) < 5 or len(pure) < 0.75 * len(samples) or len(kinds) < 2:
        return None
    return Seen(
        Severity.WARNING,
        "labels",
        pure[0].step,
        f"{len(pure)} of {len(samples)} sampled batches hold examples of one class only: the data is sorted, "
        "and the model learns to repeat the class of the moment",
        "shuffle the training examples in every epoch: DataLoader(..., shuffle=True)",
        0.85,
        (Evidence("batches of one class", len(pure) / len(samples), "near 0", "steps undo each other"),),
    )


def label_in_inputs(log: Log) -> Seen | None:
    """An input column says the label."""
    looked = [set(sample.telling) for sample in log.samples if sample.telling is not None]
    columns = set.intersection(*looked) if len(looked) >= ENOUGH else set()
    if not columns:
        return None
    return Seen(
        Severity.WARNING,
        f"input column {min(columns)}",
        1,
        f"input column {min(columns)} gives the label away: it is constant within each class "
        f"(or a multiple of the target) in all of {len(looked)} batches",
        "remove the label, and what is made from it, from the inputs",
        0.85,
        (Evidence("telling columns", len(columns), "0", "what is known need not be learned"),),
    )


def memorized_only(log: Log) -> Seen | None:
    """The training examples are known, and the others are at chance from first to last."""
    known = [epoch.val_accuracy for epoch in log.epochs if epoch.val_accuracy == epoch.val_accuracy]
    samples = _labelled(log)
    if len(known) < ENOUGH or not samples:
        return _loss_never_below_chance(log)
    chance = max(map(fmean, zip(*map(_shares, samples), strict=True)))
    learned = log.last < 0.5 * log.chance or log.epochs[-1].train_accuracy > 0.8 > 0.6 > chance
    # A tenth of the way up from chance is within the scatter of some hundred validation examples.
    if chance > 0.8 or not learned or max(known) > chance + 0.1 * (1 - chance):
        return _loss_never_below_chance(log)
    best = Evidence("best validation accuracy", max(known), f"above {chance:.3g}", "the commonest class's")
    return _by_heart(log, "at chance", best)


def _loss_never_below_chance(log: Log) -> Seen | None:
    """The same, told by losses alone."""
    losses = [epoch.val_loss for epoch in log.epochs if math.isfinite(epoch.val_loss)]
    level = min((value for value in (log.first, log.chance) if value == value), default=math.nan)
    accurate = any(epoch.val_accuracy > 0.5 for epoch in log.epochs)
    # Wrong answers given too surely cost more than chance though others are right: then twice of it.
    if len(losses) < ENOUGH or not log.last < 0.5 * level or not min(losses) > (2 if accurate else 1) * level:
        return None
    worse = Evidence("lowest validation loss", min(losses), f"below {level:.4g}", "a constant answer's")
    return _by_heart(log, "worse than chance", worse)


def _by_heart(log: Log, how: str, evidence: Evidence) -> Seen:
    return Seen(
        Severity.WARNING,
        "labels",
        log.epochs[0].step,
        f"the training examples are learned, and the others were {how} from first to last",
        "do labels belong to their inputs (shuffled, shifted, sorted apart)? are validation inputs prepared "
        "exactly as the training inputs are?",
        0.8,
        (evidence,),
    )


def too_good(log: Log) -> Seen | None:
    """All validation examples right after next to no training."""
    if not log.epochs or log.epochs[0].step > 200:
        return None
    first, samples = log.epochs[0].val_accuracy, _labelled(log)
    chance = max(map(fmean, zip(*map(_shares, samples), strict=True)), default=math.nan)
    if not 0.999 <= first <= 1 or chance > 0.9:
        return None
    return Seen(
        Severity.INFO,
        "validation",
        log.epochs[0].step,
        f"every validation example is right after {log.epochs[0].step} steps: "
        "an easy task, or too good to be true",
        "look for the label among the inputs, and for validation examples among the training examples",
        0.3,
        (Evidence("first validation accuracy", first, "below 1", "most tasks are harder"),),
    )
