"""Groups of trials that train together, of the size that was measured for this machine and network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from babysit.records import Trial, Value

WORTH_MEASURING = 8
"""With fewer trials of one shape for each worker than this, they train as one population, unmeasured."""

Shape = tuple[tuple[str, Value], ...]
SizeFor = Callable[[Mapping[str, Value]], int]
"""Hyperparameters of a trial -> members that should train together."""


def grouped(trials: Sequence[Trial], size_for: SizeFor, *, workers: int) -> list[list[Trial]]:
    """Groups alike trials, evenly for the workers, the largest groups first.

    Trials are alike when everything but their real-valued settings is equal: others may shape the network.

    Args:
        trials: the trials.
        size_for: returns the largest group for a trial's shape; called for many trials.
        workers: the number that trains at the same time, at least 1.

    Example:
        >>> trials = [Trial(0, number, {"learning_rate": 0.1 * number, "hidden": 50}) for number in range(9)]
        >>> [len(group) for group in grouped(trials, lambda _: 4, workers=2)]
        [5, 4]
        >>> [len(group) for group in grouped(trials * 2, lambda _: 4, workers=2)]
        [3, 3, 3, 3, 3, 3]
    """
    alike: dict[Shape, list[Trial]] = {}
    for trial in trials:
        alike.setdefault(shape_of(trial), []).append(trial)
    groups: list[list[Trial]] = []
    for same in alike.values():
        share = math.ceil(len(same) / workers)
        size = share if share < WORTH_MEASURING else min(size_for(same[0].hyperparameters), share)
        rounds = math.ceil(len(same) / (size * workers))
        even = math.ceil(len(same) / (rounds * workers))
        groups += [same[start : start + even] for start in range(0, len(same), even)]
    return sorted(groups, key=len, reverse=True)


def shape_of(trial: Trial) -> Shape:
    """Returns the hyperparameters of a trial that are not real numbers."""
    values = trial.hyperparameters
    return tuple((name, values[name]) for name in sorted(values) if not isinstance(values[name], float))
