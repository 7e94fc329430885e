"""Shared parts of the detectors of a watched run: their needs, and the state of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from babysit.diagnosis.problem import Need
from babysit.watching.sample import Sample, TensorStat, WatchLog, middle

ENOUGH = 3
"""One odd batch proves nothing; three sampled steps are no accident."""


def stepped(log: WatchLog) -> list[Sample]:
    """Returns the samples in which an optimizer stepped."""
    return [sample for sample in log.samples if sample.stepped]


def newer_half(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Returns the newer half of the samples, when the run has settled."""
    return samples[len(samples) // 2 :]


def learns_well(log: WatchLog) -> bool:
    """Tells whether the run learns so well that odd statistics are no fault.

    The loss fell by half, or is below half of the best constant answer's, or the accuracy is above 0.9.
    """
    if not math.isfinite(log.last):
        return False
    last = log.epochs[-1:]
    accurate = any(
        0.9 < accuracy < math.inf for each in last for accuracy in (each.train_accuracy, each.val_accuracy)
    )
    return accurate or log.fall > 0.5 or log.last < 0.5 * log.chance


def weights(log: WatchLog, sample: Sample) -> dict[str, TensorStat]:
    """Returns the sample's weight matrices and filters, in the model's order, without embedding tables."""
    return {
        name: stat
        for name, stat in sample.tensors.items()
        if stat.dims >= 2 and name not in log.setup.lookups
    }


def typical_ratio(samples: Iterable[Sample]) -> float:
    """Computes the median over samples of the median update ratio."""
    return middle(sample.ratio for sample in samples)


BEGAN = Need[WatchLog](lambda log: log.steps >= 1, "no step was seen")
VISIBLE = Need[WatchLog](
    lambda log: not log.setup.compiled or learns_well(log),
    "the model is compiled, so its layers are not seen",
)
SAMPLED = Need[WatchLog](
    lambda log: len(log.samples) >= ENOUGH or learns_well(log), f"fewer than {ENOUGH} steps were sampled"
)
"""A run that learns well needs no samples: its layers raise no alarm."""
STEPPED = Need[WatchLog](
    lambda log: len([sample for sample in stepped(log) if sample.tensors]) >= ENOUGH,
    f"fewer than {ENOUGH} optimizer steps were measured",
)
GRAPH = Need[WatchLog](lambda log: log.graph is not None, "no loss with a graph was seen")
MANY_OUTPUTS = Need[WatchLog](
    lambda log: not log.single_output, "the model returns one number for a batch", applies=False
)
OUTPUT = Need[WatchLog](
    lambda log: sum(sample.output is not None for sample in log.samples) >= ENOUGH,
    "the model's output was not seen",
)
LABELS = Need[WatchLog](
    lambda log: any(sample.targets is not None and sample.targets.shares for sample in log.samples),
    "no class labels were seen: watch(..., loss=criterion) shows them",
    applies=False,
)
TARGETS = Need[WatchLog](
    lambda log: any(sample.targets is not None for sample in log.samples),
    "no targets were seen: watch(..., loss=criterion) shows them",
    applies=False,
)
VALIDATION = Need[WatchLog](
    lambda log: any(
        math.isfinite(epoch.val_accuracy) or math.isfinite(epoch.val_loss) for epoch in log.epochs
    ),
    "no validation was reported: watch.epoch(val_accuracy=...)",
    applies=False,
)


def steps(least: int) -> Need[WatchLog]:
    """Needs a number of steps, unless the run learns well before.

    Args:
        least: fewest steps.
    """
    return Need(lambda log: log.steps >= least or learns_well(log), f"fewer than {least} steps were seen")
