"""The signals by which each door finds a problem, in words: what `babysit rules` shows.

``python -m docs.rules`` collects them from the detectors of all doors and writes ``signals.json``. So the
catalogue can be read without importing a detector, and PyTorch with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.confidence import Count, confidence_of, counts
from babysit.diagnosis.problem import Problem
from babysit.verdicts import Severity

TABLE = "signals.json"


class Signal(NamedTuple):
    """One way in which a door finds a problem.

    Attributes:
        door: the command or function that runs the detector.
        words: the sign of the problem, with its threshold.
        reason: why the threshold has this value; empty if the words say it.
        severity: of its findings.
        confidence: the share of right causes among those that it named, in [0, 1].
        named: the number of causes that it named when this was measured.
    """

    door: str
    words: str
    reason: str
    severity: Severity
    confidence: float
    named: int


@cache
def _table() -> Mapping[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = json.loads(files(__package__).joinpath(TABLE).read_text())
    return table


def signals_of(problem: Problem) -> list[Signal]:
    """Lists the signals of every door that can find a problem.

    Example:
        >>> from babysit.diagnosis.catalogue import CATALOGUE
        >>> [signal.door for signal in signals_of(CATALOGUE["learning_rate_too_low"])]
        ['babysit.check', 'babysit.watch', 'babysit train, search, diagnose']
    """
    return [
        Signal(
            row["door"],
            row["words"],
            row["reason"],
            Severity(row["severity"]),
            confidence_of(row["detector"]),
            counts().get(row["detector"], Count(0, 0)).named,
        )
        for row in _table().get(problem.name, ())
    ]


def explained_by(problem: Problem) -> list[str]:
    """Names the problems that explain a problem."""
    return [
        other.name
        for other in CATALOGUE.values()
        if other is not problem and (problem.effect in other.produces or problem.name in other.explains)
    ]
