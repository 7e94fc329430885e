"""The tests that distinguish a cause from its runner-up, where two are close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from babysit.diagnosis.problems.course import (
    CONSTANT_OUTPUT,
    GRADIENT_NOISE,
    LEARNED_NOTHING,
    LOSS_EXPLODED,
    MEMORIZED_ONLY,
    NORM_MISMATCH,
    OSCILLATION,
    OVERFITTING,
    PLATEAU,
    SUSPICIOUSLY_GOOD,
    UNDERFITTING,
)
from babysit.diagnosis.problems.data import LABEL_IN_INPUTS, VALIDATION_IN_TRAINING
from babysit.diagnosis.problems.rate import (
    LEARNING_RATE_TOO_HIGH,
    LEARNING_RATE_TOO_LOW,
    REGULARIZATION_TOO_STRONG,
)
from babysit.diagnosis.problems.start import DEAD_UNITS, SATURATED_UNITS, VANISHING_GRADIENTS
from babysit.diagnosis.problems.wiring import SIGN_FLIPPED, TRAINED_IN_EVAL_MODE
from babysit.verdicts import Cause

_CLOSE = 0.3
"""Difference of two confidences below which they decide nothing."""

TIE_BREAKERS: dict[frozenset[str], str] = {
    frozenset((one.name, other.name)): sentence
    for (one, other), sentence in (
        (
            (LEARNING_RATE_TOO_HIGH, DEAD_UNITS),
            "start again at a tenth of the rate: units that die all the same were dead from the start",
        ),
        (
            (LEARNING_RATE_TOO_HIGH, SATURATED_UNITS),
            "look at step 1: saturated before any step is initialization or input scale",
        ),
        (
            (LEARNING_RATE_TOO_HIGH, OSCILLATION),
            "take momentum away at the same rate: swings that stay are the rate's",
        ),
        (
            (LEARNING_RATE_TOO_HIGH, REGULARIZATION_TOO_STRONG),
            "set weight decay to 0: weights that still shrink or jump are the rate's doing",
        ),
        (
            (LEARNING_RATE_TOO_LOW, VANISHING_GRADIENTS),
            "raise the rate 100 times: if only the last layers then move, the gradient vanishes",
        ),
        (
            (LEARNING_RATE_TOO_LOW, LEARNED_NOTHING),
            "raise the rate 10 times: if the loss stays at chance, look at the labels",
        ),
        (
            (LEARNED_NOTHING, CONSTANT_OUTPUT),
            "feed two very different inputs: equal answers mean that the inputs"
            " get lost, not that labels are shuffled",
        ),
        (
            (LEARNED_NOTHING, PLATEAU),
            "overfit 20 examples: if that works, the labels do not belong to the inputs",
        ),
        (
            (LEARNED_NOTHING, GRADIENT_NOISE),
            "overfit 20 examples: if that works, batches are too small or labels random",
        ),
        (
            (OVERFITTING, MEMORIZED_ONLY),
            "validate on training rows: high there means that validation data differ"
            " or labels are random; regularization fixes only what generalizes at first",
        ),
        (
            (OVERFITTING, NORM_MISMATCH),
            "score the training rows in eval mode: if they are bad too, it is batch norm",
        ),
        (
            (NORM_MISMATCH, MEMORIZED_ONLY),
            "score the training rows in eval mode: if they are bad too, it is batch norm",
        ),
        (
            (OVERFITTING, LABEL_IN_INPUTS),
            "train without the leaking column: if the gap goes, it was the leak",
        ),
        (
            (DEAD_UNITS, CONSTANT_OUTPUT),
            "look at the first layer's units on several batches: alive means that the answers are lost later",
        ),
        (
            (VANISHING_GRADIENTS, SATURATED_UNITS),
            "look at step 1: saturation from the start makes the gradient vanish;"
            " if units are in the middle, depth does",
        ),
        ((PLATEAU, UNDERFITTING), "double the units: if the loss falls, it was capacity"),
        ((PLATEAU, GRADIENT_NOISE), "lower the rate 10 times: if the loss falls at once, it was noise"),
        ((LOSS_EXPLODED, SIGN_FLIPPED), "halve the rate: a loss that still rises steadily goes uphill"),
        (
            (TRAINED_IN_EVAL_MODE, NORM_MISMATCH),
            "print model.training at the first training batch of the second epoch",
        ),
        (
            (SUSPICIOUSLY_GOOD, VALIDATION_IN_TRAINING),
            "validate on rows collected later than the training rows",
        ),
        ((SUSPICIOUSLY_GOOD, LABEL_IN_INPUTS), "train without the leaking column"),
    )
}


def with_tie_breakers(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """Adds to each cause a test that distinguishes it from the next one, or from a symptom that may be it.

    Args:
        causes: ranked, the most severe first.

    Returns:
        The causes in the same order.
    """
    following = [*causes[1:], None][: len(causes)]
    return tuple(
        replace(cause, distinguish=_tie_breaker(cause, other))
        for cause, other in zip(causes, following, strict=True)
    )


def _tie_breaker(cause: Cause, other: Cause | None) -> str:
    rivals = [*([other.finding] if other is not None else []), *cause.symptoms]
    for rival in rivals:
        close = abs(cause.confidence - rival.confidence) < _CLOSE and cause.finding.severity is rival.severity
        sentence = TIE_BREAKERS.get(frozenset((cause.rule, rival.rule)), "")
        if close and sentence:
            return f"to tell it from {rival.rule}: {sentence}"
    return ""
