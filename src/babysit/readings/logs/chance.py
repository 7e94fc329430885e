"""The chance level of a log, guessed from a cost at ln C beside an accuracy of 1 / C."""

from __future__ import annotations

import math
from statistics import median

from babysit.records import Run

_USUAL = (2, 3, 4, 5, 10, 20, 100, 1000)


def guessed_classes(run: Run) -> int:
    """Guesses the number of classes from the level at which the cost starts or stays; 0 without a guess.

    Example:
        >>> from babysit.records import Reading, State
        >>> guessed_classes(Run(State.COMPLETE, (Reading(1, 490, 2.302576, 0.08, 0.103, 1e-6),)))
        10
        >>> guessed_classes(Run(State.COMPLETE, (Reading(1, 490, 2.186654, 0.308, 0.306, 3e-3),)))
        0
    """
    costs = [reading.cost for reading in run.readings if math.isfinite(reading.cost)]
    if not costs:
        return 0
    first, last = run.readings[0], run.readings[-1]
    at_start = _classes(costs[0], first.train_accuracy, first.val_accuracy)
    if at_start in _USUAL or median(costs[-3:]) < 0.7 * costs[0]:
        return at_start
    return _classes(median(costs[-3:]), last.train_accuracy, last.val_accuracy) or at_start


def _classes(cost: float, *accuracies: float) -> int:
    known = [value for value in accuracies if not math.isnan(value)]
    nearest = round(math.exp(min(max(cost, 0.0), 7.0)))
    candidates = (*_USUAL, nearest) if known else _USUAL
    slack = 5e-3 if known else 2e-3
    for classes in candidates:
        fits = classes > 1 and abs(cost - math.log(classes)) < slack * math.log(classes)
        if fits and all(0.5 / classes < value < 1.4 / classes for value in known):
            return classes
    return 0
