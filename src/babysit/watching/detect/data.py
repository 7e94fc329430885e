"""Detectors of faults in the data of a watched run: inputs, targets and labels."""

from __future__ import annotations

import math
from statistics import fmean

from babysit.diagnosis.problem import Detection, Need, detects, evidence
from babysit.diagnosis.problems.course import MEMORIZED_ONLY, SUSPICIOUSLY_GOOD
from babysit.diagnosis.problems.data import (
    CONSTANT_LABELS,
    DATA_NOT_SHUFFLED,
    INPUTS_CONSTANT,
    INPUTS_NOT_FINITE,
    INPUTS_NOT_SCALED,
    LABEL_IN_INPUTS,
    TARGETS_NOT_FINITE,
)
from babysit.verdicts import Evidence, Severity
from babysit.watching.detect.shared import ENOUGH, LABELS, MANY_OUTPUTS, OUTPUT, TARGETS, VALIDATION
from babysit.watching.sample import Sample, WatchLog, middle


def _with_bad_input(log: WatchLog) -> list[Sample]:
    return [sample for sample in log.samples if sample.output is not None and not sample.output.input_finite]


INPUT = Need[WatchLog](lambda log: bool(_with_bad_input(log)) or OUTPUT.met(log), OUTPUT.reason)


@detects(
    INPUTS_NOT_FINITE,
    reason="one of them poisons every weight at its first step",
    needs=(MANY_OUTPUTS, INPUT),
)
def inputs_not_finite(log: WatchLog) -> Detection | None:
    """Finds NaN or infinity in the model's input in a sampled step."""
    bad = _with_bad_input(log)
    if not bad:
        return None
    return Detection(
        where="input",
        message=f"the model's input holds NaN or infinite values at step {bad[0].step}",
        evidence=evidence("sampled steps with such inputs", len(bad), "0", "NaN spreads to every weight"),
        since=bad[0].step,
    )


@detects(
    INPUTS_CONSTANT,
    reason="a graph's nodes or a fixed query may be so on purpose; a fault only where all outputs are alike",
    severity=Severity.INFO,
    needs=(MANY_OUTPUTS, OUTPUT),
)
def inputs_constant(log: WatchLog) -> Detection | None:
    """Finds that all inputs of a batch are equal, in all sampled batches of 4 or more."""
    batches = [each.output for each in log.samples if each.output is not None and each.output.examples >= 4]
    if len(batches) < ENOUGH or any(batch.inputs_differ for batch in batches):
        return None
    return Detection(
        where="input",
        message=f"all inputs of a batch are equal, in each of {len(batches)} batches",
        evidence=evidence("batches with different inputs", 0, "all", "equal inputs have equal outputs"),
        since=1,
    )


@detects(TARGETS_NOT_FINITE, reason="the loss passes them on", needs=(TARGETS,))
def targets_not_finite(log: WatchLog) -> Detection | None:
    """Finds NaN or infinity in the targets of a sampled step."""
    numbers = [each for each in log.samples if each.targets is not None and not each.targets.shares]
    bad = [each for each in numbers if each.targets is not None and not math.isfinite(each.targets.mean)]
    if not bad:
        return None
    return Detection(
        where="targets",
        message=f"the targets hold NaN or infinite values at step {bad[0].step}",
        evidence=evidence("sampled steps with such targets", len(bad), "0", "the loss passes them on"),
        since=bad[0].step,
    )


_LARGE = 10.0
"""Root mean square from which inputs count as large, as in ``babysit.check``."""
_HIGH_START = 3.0
"""Times chance. Where the first loss is below that, the initial weights fit the scale of the inputs."""


@detects(
    INPUTS_NOT_SCALED,
    reason="standardized inputs have 1, and with usual weights the first loss is then near chance",
    severity=Severity.INFO,
    needs=(MANY_OUTPUTS, OUTPUT),
)
def inputs_not_scaled(log: WatchLog) -> Detection | None:
    """Finds inputs with a root mean square above 10, and a first loss above 3 x chance; a fault only where
    something else goes wrong.
    """
    scale = middle(sample.output.input_scale for sample in log.samples if sample.output is not None)
    if not scale > _LARGE or not log.losses or not abs(log.losses[0]) > _HIGH_START * log.chance:
        return None
    return Detection(
        where="input",
        message=f"the inputs are large (root mean square {scale:.3g}), and the loss began at "
        f"{log.losses[0] / log.chance:.3g} times chance",
        evidence=evidence(
            "root mean square of the inputs", scale, "about 1", "weights are made for inputs near 1"
        ),
        since=1,
    )


_MANY = 64
"""This many equal labels are no accident where there are several classes."""


def _labelled(log: WatchLog) -> list[Sample]:
    return [sample for sample in log.samples if sample.targets is not None and sample.targets.shares]


def _shares(sample: Sample) -> tuple[float, ...]:
    return sample.targets.shares if sample.targets is not None else ()


def _examples(samples: list[Sample]) -> int:
    return sum(sample.output.examples for sample in samples if sample.output is not None)


@detects(CONSTANT_LABELS, reason="with two equal classes that happens once in 2^63 runs", needs=(LABELS,))
def constant_labels(log: WatchLog) -> Detection | None:
    """Finds one class in all of 3 or more sampled batches, 64 examples or more."""
    samples = _labelled(log)
    if len(samples) < ENOUGH or _examples(samples) < _MANY:
        return None
    label = max(range(len(_shares(samples[0]))), key=_shares(samples[0]).__getitem__)
    # In a contrastive loss the label may be constant on purpose: the first of several pairs is the true one.
    if any(_shares(sample)[label] < 1 for sample in samples) or (
        log.graph is not None and log.graph.compared
    ):
        return None
    return Detection(
        where="labels",
        message=f"all of {_examples(samples)} sampled labels are class {label}: "
        "the model learns to say it always",
        evidence=evidence(
            "share of the commonest class", 1.0, "below 1", "one class is nothing to tell apart"
        ),
        since=1,
    )


@detects(
    DATA_NOT_SHUFFLED,
    reason="a shuffled batch of 8 from two equal classes is pure once in 128",
    needs=(LABELS,),
)
def data_not_shuffled(log: WatchLog) -> Detection | None:
    """Finds one class in three quarters of the sampled batches of 8 or more examples, not always the same."""
    # A loader that shuffles gives such a batch of 8 once in 2^7 batches, even with two classes.
    samples = [
        sample for sample in _labelled(log) if sample.output is not None and sample.output.examples >= 8
    ]
    pure = [sample for sample in samples if max(_shares(sample)) > 0.99]
    kinds = {_shares(sample).index(max(_shares(sample))) for sample in pure}
    if len(samples) < 5 or len(pure) < 0.75 * len(samples) or len(kinds) < 2:
        return None
    return Detection(
        where="labels",
        message=f"{len(pure)} of {len(samples)} sampled batches hold examples of one class only: the data is "
        "sorted, and the model learns to repeat the class of the moment",
        evidence=evidence(
            "batches of one class", len(pure) / len(samples), "near 0", "steps undo each other"
        ),
        since=pure[0].step,
    )


@detects(
    LABEL_IN_INPUTS, reason="16 examples or more beyond the first of each class must agree", needs=(TARGETS,)
)
def label_in_inputs(log: WatchLog) -> Detection | None:
    """Finds an input column that is constant within each class, or a multiple of the target, in 3 or more
    batches.
    """
    found = [set(sample.leaking_columns) for sample in log.samples if sample.leaking_columns is not None]
    columns = set.intersection(*found) if len(found) >= ENOUGH else set()
    if not columns:
        return None
    return Detection(
        where=f"input column {min(columns)}",
        message=f"input column {min(columns)} gives the label away: it is constant within each class "
        f"(or a multiple of the target) in all of {len(found)} batches",
        evidence=evidence("leaking columns", len(columns), "0", "what is known need not be learned"),
        since=1,
    )


@detects(
    MEMORIZED_ONLY, reason="overfitting generalizes at first; random labels never do", needs=(VALIDATION,)
)
def memorized_only(log: WatchLog) -> Detection | None:
    """Finds a loss below half of chance, and validation accuracy never a tenth of the way up from chance."""
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
    return _memorized(log, "at chance", best)


def _loss_never_below_chance(log: WatchLog) -> Detection | None:
    """Finds the same by losses alone: a low training loss, and a validation loss never below chance."""
    losses = [epoch.val_loss for epoch in log.epochs if math.isfinite(epoch.val_loss)]
    level = min((value for value in (log.first, log.chance) if value == value), default=math.nan)
    accurate = any(epoch.val_accuracy > 0.5 for epoch in log.epochs)
    # Confident wrong answers cost more than chance even if others are right: then the limit is twice chance.
    if len(losses) < ENOUGH or not log.last < 0.5 * level or not min(losses) > (2 if accurate else 1) * level:
        return None
    worse = Evidence("lowest validation loss", min(losses), f"below {level:.4g}", "a constant answer's")
    return _memorized(log, "worse than chance", worse)


def _memorized(log: WatchLog, how: str, evidence: Evidence) -> Detection:
    return Detection(
        where="labels",
        message=f"the training examples are learned, and the others were {how} from first to last",
        evidence=(evidence,),
        since=log.epochs[0].step,
    )


@detects(
    SUSPICIOUSLY_GOOD,
    reason="easy tasks are like that too, so this is info only",
    severity=Severity.INFO,
    needs=(VALIDATION,),
)
def suspiciously_good(log: WatchLog) -> Detection | None:
    """Finds every validation example right at the first reported epoch, within 200 steps."""
    if not log.epochs or log.epochs[0].step > 200:
        return None
    first, samples = log.epochs[0].val_accuracy, _labelled(log)
    chance = max(map(fmean, zip(*map(_shares, samples), strict=True)), default=math.nan)
    if not 0.999 <= first <= 1 or chance > 0.9:
        return None
    return Detection(
        where="validation",
        message=f"every validation example is right after {log.epochs[0].step} steps: "
        "an easy task, or too good to be true",
        evidence=evidence("first validation accuracy", first, "below 1", "most tasks are harder"),
        since=log.epochs[0].step,
    )
