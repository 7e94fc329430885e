"""The learning rate of a recorded run: its values, its changes, and both in words."""

from __future__ import annotations

from itertools import pairwise

from babysit.records import CommandKind, Touch
from babysit.views.data.formatting import number_text
from babysit.views.data.lines import Pairs, pairs_of
from babysit.views.data.recorded_run import TrialView


def rate_pairs(view: TrialView) -> Pairs:
    """Returns the learning rate at the sampled steps, or else at the end of each epoch."""
    if "learning_rate" in view.series:
        return pairs_of(view.series["learning_rate"])
    return [(each.step, each.learning_rate) for each in view.result.run.readings if each.step]


def rate_changes(pairs: Pairs) -> list[tuple[int, float, float]]:
    """Finds the changes of a learning rate: the step at which it was observed, the old and the new rate.

    Example:
        >>> rate_changes([(1, 0.1), (9, 0.1), (17, 0.05)])
        [(17, 0.1, 0.05)]
    """
    return [
        (step, old, new)
        for (_, old), (step, new) in pairwise(pairs)
        if old > 0 and new > 0 and abs(new / old - 1) > 1e-6
    ]


def rate_words(step: int, old: float, new: float) -> str:
    """Describes a change of the learning rate.

    Example:
        >>> rate_words(800, 1e-3, 1e-4)
        'learning rate 1e-3 to 1e-4, seen at step 800'
    """
    return f"learning rate {number_text(old)} to {number_text(new)}, seen at step {step}"


def touch_words(touch: Touch) -> tuple[str, str]:
    """Describes a change by the user: a short label, and a sentence.

    Example:
        >>> touch_words(Touch(CommandKind.SCALE_LEARNING_RATE, 120, 0.5))
        ('by the user: lr × 0.5', 'by the user after step 120: learning rate times 0.5')
    """
    if touch.kind is CommandKind.SCALE_LEARNING_RATE:
        factor = number_text(touch.argument)
        return (
            f"by the user: lr × {factor}",
            f"by the user after step {touch.step}: learning rate times {factor}",
        )
    return "stopped by the user", f"stopped by the user after step {touch.step}"
