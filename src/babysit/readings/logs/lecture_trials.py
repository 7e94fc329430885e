"""The lecture's lines of a search: "val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)"."""

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
    """Rates how certainly a text is the log of a search, from 0 to 1."""
    return 1.0 if _SCORE.search(text) and len(read(text)) > 1 else 0.0


def score_of(text: str) -> tuple[str, str]:
    """Returns the name and the direction of the score.

    Example:
        >>> score_of(EXAMPLE)
        ('val_acc', 'maximize')
    """
    found = _SCORE.search(text)
    loss = found is not None and found[1].lower() == "loss"
    return ("val_loss", "minimize") if loss else ("val_acc", "maximize")


def read(text: str) -> list[Result]:
    """Reads one result per line, with the score as its only reading.

    Example:
        >>> (result,) = read("val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)")
        >>> result.score, dict(result.trial.hyperparameters)
        (0.412, {'learning_rate': 0.0001405206, 'l2': 0.4793564})
    """
    results: list[Result] = []
    for number, line in enumerate(text.splitlines()):
        score, rate, strength, place = (part.search(line) for part in (_SCORE, _RATE, _STRENGTH, _PLACE))
        if score is None or rate is None or strength is None:
            continue
        choice = {"learning_rate": float(rate[1]), "l2": float(strength[1])}
        if not all(map(math.isfinite, choice.values())):
            continue
        trial = Trial(0, int(place[1]) if place else number, choice)
        value, nan = float(score[2]), math.nan
        accuracy, loss = (value, nan) if score[1].lower() == "acc" else (nan, value)
        run = Run(State.COMPLETE, (Reading(1, 0, nan, nan, accuracy, nan, loss),))
        results.append(Result(trial, run if math.isfinite(value) else Run(State.EXPLODED)))
    return results
