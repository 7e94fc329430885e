"""What the rules of the live watch share: what one says, and how a run is doing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from babysit.records import Evidence, Severity
from babysit.watching.quantities import Log, Sample, TensorStat, middle

ENOUGH = 3
"""One odd batch proves nothing; three sampled steps in a row are no accident."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule saw; the table adds its name and source.

    Attributes:
        severity: how much it matters.
        where: the layer, tensor or quantity.
        since: the step from which it holds.
        message: the verdict in one sentence.
        advice: what to do next.
        confidence: how sure it is to be the cause, in [0, 1]: roughly the share of faulty programs (our zoo's
            and the tests') in which it was right when it came first. What is read from the loop or the graph
            is nearly always right (0.85 and more); a constant output is most often the trace of something
            else (0.45); learning nothing is a question rather than an answer (0.5).
        evidence: the values it rests on.
    """

    severity: Severity
    where: str
    since: int
    message: str
    advice: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()


def stepped(log: Log) -> list[Sample]:
    """The samples in which an optimizer stepped."""
    return [sample for sample in log.samples if sample.stepped]


def late(samples: list[Sample]) -> list[Sample]:
    """The newer half: what a run does once it has settled in."""
    return samples[len(samples) // 2 :]


def fares_well(log: Log) -> bool:
    """Whether the run learns so well that odd statistics are its own business.

    The loss lost half of itself, or is below half of the best constant answer's, or the accuracy is high.
    """
    if not math.isfinite(log.last):
        return False
    accurate = any(
        max(_known(each.train_accuracy), _known(each.val_accuracy)) > 0.9 for each in log.epochs[-1:]
    )
    return accurate or log.fall > 0.5 or log.last < 0.5 * log.chance


def _known(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def weights(log: Log, sample: Sample) -> dict[str, TensorStat]:
    """The sample's weight matrices and filters, in the model's order, embedding tables left out."""
    return {
        name: stat
        for name, stat in sample.tensors.items()
        if stat.dims >= 2 and name not in log.setup.lookups
    }


def typical_ratio(samples: Iterable[Sample]) -> float:
    """The median over samples of the median update ratio."""
    return middle(sample.ratio for sample in samples)


def named(names: Iterable[str], most: int = 3) -> str:
    """A few names, and how many more.

    Example:
        >>> named(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    known = list(names)
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
