"""The subject of the readings' detectors: one run's readings, and the facts known beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from babysit.diagnosis.problem import Need
from babysit.records import Run, Value


@dataclass(frozen=True, slots=True)
class Context:
    """The facts known beside a run's readings.

    Attributes:
        chance_loss: the data loss of a network that knows nothing, e.g. ln C.
        chance_accuracy: 1 / C; NaN for regression.
        hyperparameters: the run's own.
        unit: the unit of a reading's ``epoch``; a log may count steps or lines.
    """

    chance_loss: float
    chance_accuracy: float
    hyperparameters: Mapping[str, Value]
    unit: str = "epoch"

    def rate(self, name: str) -> float:
        """Returns a hyperparameter as a number; NaN when the run has none of that name."""
        value = self.hyperparameters.get(name, math.nan)
        return math.nan if isinstance(value, str) else float(value)

    def rate_text(self, times: float, *, prefix: str = "a learning rate of ") -> str:
        """Words a multiple of the learning rate, also where the rate in use is unknown."""
        rate = self.rate("learning_rate")
        return f"{times:g} times the learning rate" if math.isnan(rate) else f"{prefix}{times * rate:.2g}"


class Readings(NamedTuple):
    """A run with its context.

    Attributes:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
    """

    run: Run
    context: Context


LEAST_EPOCHS = 5
LEAST_STEPS = 50
"""The fewest steps to judge: the lecture's 20 examples lose under 1e-3 in their first five full batches."""


def is_early(run: Run) -> bool:
    """Tells whether a run has too few readings or steps to judge what it has not achieved yet."""
    last = run.last
    if last is None or min(len(run.readings), last.epoch) < LEAST_EPOCHS:
        return True
    return 0 < last.step < LEAST_STEPS


def learns(run: Run, context: Context) -> bool:
    """Tells whether a run does so well that odd layers, or a short record, are no alarm.

    Its cost has halved, or it is a quarter of the way from chance to perfect.

    Args:
        run: the run.
        context: the chance levels.

    Example:
        >>> from babysit.records import Reading, State
        >>> run = Run(State.COMPLETE, (Reading(1, 490, 1.8, 0.36, 0.35, 1e-3),), first_cost=2.3)
        >>> learns(run, Context(2.3, 0.1, {}))
        True
    """
    best, last = run.best, run.last
    if best is None or last is None:
        return False
    if last.cost < run.first_cost / 2:
        return True
    if math.isnan(best.val_accuracy):
        return best.val_loss < (1 - LEARNED) * context.chance_loss
    return best.val_accuracy > context.chance_accuracy + LEARNED * (1 - context.chance_accuracy)


LEARNED = 0.25
"""The share of the way from chance to perfect from which a run counts as learning."""


def _has(name: str) -> Need[Readings]:
    words = name.replace("_", " ").replace("val ", "validation ").replace("train ", "training ")
    return Need(
        lambda given: any(math.isfinite(getattr(reading, name)) for reading in given.run.readings),
        f"no {words} is known",
        applies=False,
    )


READ = Need[Readings](lambda given: bool(given.run.readings) or given.run.explosion is not None, "no reading")
ENOUGH = Need[Readings](
    lambda given: given.run.explosion is not None or not is_early(given.run) or learns(*given),
    f"fewer than {LEAST_EPOCHS} readings or {LEAST_STEPS} steps",
)
TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS = _has("train_accuracy"), _has("val_accuracy"), _has("val_loss")
LEARNING_RATE = _has("learning_rate")
SCORE = Need[Readings](
    lambda given: VAL_ACCURACY.met(given) or VAL_LOSS.met(given),
    "no validation score is known",
    applies=False,
)
ACCURACY = Need[Readings](
    lambda given: VAL_ACCURACY.met(given) or TRAIN_ACCURACY.met(given), "no accuracy is known", applies=False
)
CHANCE = Need[Readings](
    lambda given: math.isfinite(given.context.chance_loss),
    "the loss of a network that knows nothing is unknown",
    applies=False,
)
REGULARIZED = Need[Readings](
    lambda given: any(given.context.rate(name) > 0 for name in ("l2", "l1")),
    "no regularization is known",
    applies=False,
)


def long(least: int) -> Need[Readings]:
    """Needs a number of readings, or three of a run that learns.

    Args:
        least: the number.
    """

    def met(given: Readings) -> bool:
        count = len(given.run.readings)
        return given.run.explosion is not None or count >= least or (count >= _FEWEST and learns(*given))

    return Need(met, f"fewer than {least} readings")


_FEWEST = 3
"""The fewest readings that show a course."""
