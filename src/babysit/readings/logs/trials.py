"""The lines of a search: "val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)"."""

from __future__ import annotations

import math
import re

from babysit.readings.logs.numbers import NUMBER
from babysit.records import Reading, Result, Run, State, Trial

EXAMPLE = "val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)"

_SCORE = re.compile(rf"\bval[_ ](acc|loss)\s*[:;]\s*({NUMBER})", re.IGNORECASE)
_RATE = re.compile(rf"\blr\s*[:;]\s*({NUMBER})", re.IGNORECASE)
_STRENGTH = re.compile(rf"\bre[gq]\s*[:;]\s*({NUMBER})", re.IGNORECASE)
_PLACE = re.compile(r"\(\s*(\d+)\s*/")


def recognizes(text: str) -> float:
    """How sure it is that a text is the log of a search, from 0 to 1."""
    return 1.0 if _SCORE.search(text) and len(read(text)) > 1 else 0.0


def judged_by(text: str) -> tuple[str, str]:
    """What the lines call their score, and where it is better.

    Example:
        >>> judged_by(EXAMPLE)
        ('val_acc', 'maximize')
    """
    found = _SCORE.search(text)
    loss = found is not None and found[1].lower() == "loss"
    return ("val_loss", "minimize") if loss else ("val_acc", "maximize")


def read(text: str) -> list[Result]:
    """One result a line, with the score as its only reading.

    Example:
        >>> (result,) = read("val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)")
        >>> result.score, dict(result.trial.hyperparameters)
        (0.412, {'learning_rate': 0.0001405206, 'l2': 0.4793564})
    """
    return [found for number, line in enumerate(text.splitlines()) if (found := _result(line, number))]


def _result(line: str, number: int) -> Result | None:
    score, rate, strength, place = (part.search(line) for part in (_SCORE, _RATE, _STRENGTH, _PLACE))
    if score is None or rate is None or strength is None:
        return None
    choice = {"learning_rate": float(rate[1]), "l2": float(strength[1])}
    if not all(map(math.isfinite, choice.values())):
        return None
    trial = Trial(0, int(place[1]) if place else number, choice)
    value = float(score[2])
    if not math.isfinite(value):
        return Result(trial, Run(State.EXPLODED))
    accuracy, loss = (value, math.nan) if score[1].lower() == "acc" else (math.nan, value)
    return Result(trial, Run(State.COMPLETE, (Reading(1, 0, math.nan, math.nan, accuracy, math.nan, loss),)))
