"""What would tell a cause from its runner-up, where two are close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from babysit.records import Cause

_CLOSE = 0.3
"""Confidences nearer than this are no decision."""

TELLS: dict[frozenset[str], str] = {
    frozenset(pair): sentence
    for pair, sentence in (
        (
            ("rate_too_high", "dead_units"),
            "start again at a tenth of the rate: units that die all the same were dead from the start",
        ),
        (
            ("rate_too_high", "saturated"),
            "look at step 1: saturated before any step is initialization or input scale",
        ),
        (
            ("rate_too_high", "oscillation"),
            "take momentum away at the same rate: swings that stay are the rate's",
        ),
        (
            ("rate_too_high", "regularization_dominates"),
            "set weight decay to 0: weights that still shrink or jump are the rate's doing",
        ),
        (
            ("rate_too_low", "vanishing_gradients"),
            "raise the rate 100 times: if only the last layers then move, the gradient vanishes",
        ),
        (
            ("rate_too_low", "learned_nothing"),
            "raise the rate 10 times: if the loss stays at chance, look at the labels",
        ),
        (
            ("learned_nothing", "constant_output"),
            "feed two very different inputs: equal answers mean that the inputs"
            " get lost, not that labels are shuffled",
        ),
        (
            ("learned_nothing", "plateau"),
            "overfit 20 examples: if that works, the labels do not belong to the inputs",
        ),
        (
            ("learned_nothing", "gradient_noise"),
            "overfit 20 examples: if that works, batches are too small or labels random",
        ),
        (
            ("overfitting", "memorized_only"),
            "validate on training rows: high there means that validation data differ"
            " or labels are random; regularization cures only what generalizes at first",
        ),
        (
            ("overfitting", "norm_mismatch"),
            "score the training rows in eval mode: if they are bad too, it is batch norm",
        ),
        (
            ("norm_mismatch", "memorized_only"),
            "score the training rows in eval mode: if they are bad too, it is batch norm",
        ),
        (
            ("overfitting", "label_in_inputs"),
            "train without the telling column: if the gap goes, it was the leak",
        ),
        (
            ("dead_units", "constant_output"),
            "look at the first layer's units on several batches: alive means that the answers are lost later",
        ),
        (
            ("vanishing_gradients", "saturated"),
            "look at step 1: saturation from the start makes the gradient vanish;"
            " if units are in the middle, depth does",
        ),
        (("plateau", "underfitting"), "double the units: if the loss falls, it was capacity"),
        (("plateau", "gradient_noise"), "lower the rate 10 times: if the loss falls at once, it was noise"),
        (("exploded", "sign_flipped"), "halve the rate: a loss that still rises steadily goes uphill"),
        (
            ("eval_mode", "norm_mismatch"),
            "print model.training at the first training batch of the second epoch",
        ),
        (("too_good", "trained_on_validation"), "validate on rows collected later than the training rows"),
        (("too_good", "label_in_inputs"), "train without the telling column"),
    )
}


def told_apart(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """The causes, the first of two close ones with what would decide between them.

    Args:
        causes: ranked, the likeliest first.

    Returns:
        The same in the same order.
    """
    return tuple(
        replace(cause, distinguish=_between(cause, causes[place + 1])) if place + 1 < len(causes) else cause
        for place, cause in enumerate(causes)
    )


def _between(cause: Cause, other: Cause) -> str:
    close = (
        abs(cause.confidence - other.confidence) < _CLOSE and cause.finding.severity == other.finding.severity
    )
    sentence = TELLS.get(frozenset((cause.rule, other.rule)), "")
    return f"to tell it from {other.rule}: {sentence}" if close and sentence else ""
