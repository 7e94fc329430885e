"""The measured confidence of each detector: how often its problem was the right cause where it named one.

``python -m benchmarks.faults --calibrate`` counts over all sets of programs and writes ``confidence.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TABLE = "confidence.json"
WEIGHT = 4.0
"""The number of programs that the prior counts as: a detector that spoke twice is not sure of anything."""


class Count(NamedTuple):
    """The record of a detector on the programs of ``tests/faults``.

    Attributes:
        named: programs in which it named a cause of severity warning or error.
        right: those of them in which that was the right one.
    """

    named: int
    right: int


@cache
def counts() -> Mapping[str, Count]:
    """Reads the table: the key of a detector -> its counts."""
    text = files(__package__).joinpath(TABLE).read_text()
    return {key: Count(*numbers) for key, numbers in json.loads(text).items()}


def confidence_of(detector: str) -> float:
    """Estimates the probability that a detector names the right cause, in [0, 1].

    (right + WEIGHT * p) / (named + WEIGHT), with p the share that was right over all detectors.

    Args:
        detector: its key, e.g. "checks.bounded_output"; one without counts gets p.
    """
    count = counts().get(detector, Count(0, 0))
    return round((count.right + WEIGHT * prior()) / (count.named + WEIGHT), 2)


@cache
def prior() -> float:
    """Returns the share of right causes over all detectors; 0.5 without counts."""
    named = sum(count.named for count in counts().values())
    return sum(count.right for count in counts().values()) / named if named else 0.5
