"""Detectors on batch normalization: its statistics, and its position in the network."""

from __future__ import annotations

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from babysit.checks.measured import Measured
from babysit.checks.needs import RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import (
    BATCH_NORM_BATCH_OF_ONE,
    BATCH_NORM_FORGETFUL,
    BATCH_NORM_NEVER_UPDATED,
    BATCH_NORM_SMALL_BATCH,
    BATCH_NORM_WITHOUT_STATISTICS,
    NORM_AFTER_ACTIVATION,
    REDUNDANT_BIAS,
)
from babysit.diagnosis.wording import named
from babysit.nn.normalization import redundant_biases
from babysit.verdicts import Severity

FORGETFUL = 0.5
"""Weight of the newest batch from which the running statistics are those of the last two or three batches.
PyTorch's default is 0.1. Other libraries give the weight of the old ones: their 0.9 is PyTorch's 0.1."""

SMALL = 4
"""Examples in a batch below which its variance errs by half and more (Wu and He 2018)."""


def _norms(measured: Measured) -> list[tuple[str, _BatchNorm]]:
    return [(name, m) for name, m in measured.program.model.named_modules() if isinstance(m, _BatchNorm)]


@detects(BATCH_NORM_BATCH_OF_ONE, severity=Severity.WARNING)
def batch_norm_batch_of_one(measured: Measured) -> Detection | None:
    """Finds batches of one example before a batch normalization."""
    if not _norms(measured) or 1 not in _sizes(measured):
        return None
    return Detection(
        where="batch normalization",
        message="batch normalization gets batches of one example, whose variance is 0",
        evidence=evidence(
            "smallest batch", 1, "2 or more, better 16", "its statistics are those of the batch"
        ),
    )


def _sizes(measured: Measured) -> list[int]:
    inputs = [batch[0] for batch in measured.program.batches]
    return [len(x) for x in inputs if isinstance(x, Tensor) and x.dim() > 0]


@detects(BATCH_NORM_SMALL_BATCH)
def batch_norm_small_batch(measured: Measured) -> Detection | None:
    """Finds batches of at most three examples before a batch normalization."""
    norms, sizes = _norms(measured), _sizes(measured)
    if not norms or not 1 < max(sizes, default=0) < SMALL:
        return None
    return Detection(
        where=norms[0][0],
        message=f"batch normalization over batches of {max(sizes)}: training and evaluation see "
        f"different statistics",
        evidence=evidence("examples in a batch", max(sizes), "16 or more"),
    )


@detects(BATCH_NORM_NEVER_UPDATED)
def batch_norm_never_updated(measured: Measured) -> Detection | None:
    """Finds batch normalization with momentum 0 and running statistics that are still 0 and 1."""
    still = []
    for name, norm in _norms(measured):
        mean, var = norm.running_mean, norm.running_var
        if norm.momentum == 0 and mean is not None and var is not None:
            still += [name] if not bool(mean.any()) and bool((var == 1).all()) else []
    if not still:
        return None
    return Detection(
        where=still[0],
        message=f"{named(still)}: momentum 0 never updates the running statistics, which evaluation uses",
        evidence=evidence("momentum", 0.0, "0.1", "the weight of the new batch"),
    )


@detects(BATCH_NORM_FORGETFUL)
def batch_norm_forgetful(measured: Measured) -> Detection | None:
    """Finds batch normalization with a momentum (the weight of the new batch) of 0.5 or more."""
    found = [(name, norm.momentum) for name, norm in _norms(measured) if (norm.momentum or 0) >= FORGETFUL]
    if not found:
        return None
    momentum = float(found[0][1] or 0)
    return Detection(
        where=found[0][0],
        message=f"batch normalization with momentum {momentum:g} keeps the statistics of the last "
        f"batch or two: in PyTorch momentum is the weight of the new batch",
        evidence=evidence(
            "momentum", momentum, "0.1", "other libraries weigh the old: their 0.9 is PyTorch's 0.1"
        ),
    )


@detects(BATCH_NORM_WITHOUT_STATISTICS)
def batch_norm_without_statistics(measured: Measured) -> Detection | None:
    """Finds batch normalization without running statistics (track_running_stats=False)."""
    found = [name for name, norm in _norms(measured) if norm.running_mean is None]
    if not found:
        return None
    return Detection(
        where=found[0],
        message=f"{named(found)} keeps no running statistics: in evaluation outputs depend on the batch too",
    )


@detects(REDUNDANT_BIAS)
def redundant_bias(measured: Measured) -> Detection | None:
    """Finds a bias directly before a batch normalization."""
    own = dict(measured.program.model.named_parameters())
    ran = [norm.layer.removesuffix("weight") + "bias" for norm in measured.normalized if norm.layer]
    found = list(dict.fromkeys([*redundant_biases(measured.program.model), *(b for b in ran if b in own)]))
    if not found:
        return None
    return Detection(where=found[0], message=f"{named(found)}: batch normalization subtracts the bias again")


@detects(NORM_AFTER_ACTIVATION, needs=(RUNS,))
def norm_after_activation(measured: Measured) -> Detection | None:
    """Finds a batch normalization directly behind an activation."""
    behind = [norm.activation for norm in measured.normalized if norm.activation]
    if not behind:
        return None
    return Detection(
        where="batch normalization",
        message=f"{len(behind)} of {len(measured.normalized)} stand behind a {behind[0]}",
    )
