"""What the detectors of a watched run share: their needs, and how the run is doing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from babysit.diagnosis.problem import Need
from babysit.watching.sample import Log, Sample, TensorStat, middle

ENOUGH = 3
"""One odd batch proves nothing; three sampled steps in a row are no accident."""


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


BEGAN = Need[Log](lambda log: log.steps >= 1, "no step was seen")
VISIBLE = Need[Log](
    lambda log: not log.setup.compiled or fares_well(log), "the model is compiled, so its layers are not seen"
)
SAMPLED = Need[Log](
    lambda log: len(log.samples) >= ENOUGH or fares_well(log), f"fewer than {ENOUGH} steps were sampled"
)
"""Odd layers are no alarm in a run that learns well."""
STEPPED = Need[Log](
    lambda log: len([sample for sample in stepped(log) if sample.tensors]) >= ENOUGH,
    f"fewer than {ENOUGH} optimizer steps were looked at",
)
GRAPH = Need[Log](lambda log: log.graph is not None, "no loss with a graph was seen")
MANY_OUTPUTS = Need[Log](
    lambda log: not log.single_output, "the model returns one number for a batch", applies=False
)
OUTPUT = Need[Log](
    lambda log: sum(sample.output is not None for sample in log.samples) >= ENOUGH,
    "the model's output was not seen",
)
LABELS = Need[Log](
    lambda log: any(sample.targets is not None and sample.targets.shares for sample in log.samples),
    "no class labels were seen: watch(..., loss=criterion) shows them",
    applies=False,
)
TARGETS = Need[Log](
    lambda log: any(sample.targets is not None for sample in log.samples),
    "no targets were seen: watch(..., loss=criterion) shows them",
    applies=False,
)
VALIDATION = Need[Log](
    lambda log: any(
        math.isfinite(epoch.val_accuracy) or math.isfinite(epoch.val_loss) for epoch in log.epochs
    ),
    "no validation was reported: watch.epoch(val_accuracy=...)",
    applies=False,
)


def steps(least: int) -> Need[Log]:
    """Needs so many steps, unless the run learns well before.

    Args:
        least: how many.
    """
    return Need(lambda log: log.steps >= least or fares_well(log), f"fewer than {least} steps were seen")
