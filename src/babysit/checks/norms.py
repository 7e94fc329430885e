"""Batch normalization: statistics that cannot become those of the data, and where it stands."""

from __future__ import annotations

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from babysit.checks.measuring import Measured
from babysit.checks.seen import Seen, evidence
from babysit.nn.normalization import redundant_biases

FORGETFUL = 0.5
"""Weight of the newest batch from which the running statistics are those of the last two or three batches;
torch's own is 0.1. Other libraries count the old: their 0.9 is torch's 0.1."""

SMALL = 4
"""Examples in a batch below which its variance is off by half and more (Wu and He 2018)."""


def _norms(measured: Measured) -> list[tuple[str, _BatchNorm]]:
    return [(name, m) for name, m in measured.program.model.named_modules() if isinstance(m, _BatchNorm)]


def _is_fresh(norm: _BatchNorm) -> bool:
    mean, var = norm.running_mean, norm.running_var
    return mean is not None and var is not None and not bool(mean.any()) and bool((var == 1).all())


def named(names: list[str]) -> str:
    """The first few of some names.

    Example:
        >>> named(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def batch_norm_batch_of_one(measured: Measured) -> Seen | None:
    """Batch normalization in a batch with a single value per feature."""
    if not _norms(measured) or 1 not in _sizes(measured):
        return None
    return Seen(
        "batch normalization",
        "batch normalization gets batches of one example, whose variance is 0",
        evidence("smallest batch", 1, "2 or more, better 16", "its statistics are those of the batch"),
    )


def _sizes(measured: Measured) -> list[int]:
    inputs = [batch[0] for batch in measured.program.batches]
    return [len(x) for x in inputs if isinstance(x, Tensor) and x.dim() > 0]


def batch_norm_small_batch(measured: Measured) -> Seen | None:
    """Every batch before a batch normalization has two or three examples."""
    norms, sizes = _norms(measured), _sizes(measured)
    if not norms or not 1 < max(sizes, default=0) < SMALL:
        return None
    return Seen(
        norms[0][0],
        f"batch normalization over batches of {max(sizes)}: training and evaluation see different statistics",
        evidence("examples in a batch", max(sizes), "16 or more"),
    )


def batch_norm_never_updated(measured: Measured) -> Seen | None:
    """A momentum of 0 keeps the running mean at 0 and the running variance at 1."""
    still = [name for name, norm in _norms(measured) if norm.momentum == 0 and _is_fresh(norm)]
    if not still:
        return None
    return Seen(
        still[0],
        f"{named(still)}: momentum 0 never updates the running statistics, which evaluation uses",
        evidence("momentum", 0.0, "0.1", "the weight of the new batch"),
    )


def batch_norm_forgetful(measured: Measured) -> Seen | None:
    """A momentum of a half or more: the running statistics are those of the last batches."""
    found = [(name, norm.momentum) for name, norm in _norms(measured) if (norm.momentum or 0) >= FORGETFUL]
    if not found:
        return None
    momentum = float(found[0][1] or 0)
    return Seen(
        found[0][0],
        f"batch normalization with momentum {momentum:g} keeps the statistics of the last batch or two: in "
        "torch momentum is the weight of the new batch",
        evidence("momentum", momentum, "0.1", "other libraries count the old: their 0.9 is torch's 0.1"),
    )


def batch_norm_without_statistics(measured: Measured) -> Seen | None:
    """No running statistics: in evaluation an example's output depends on its batch."""
    found = [name for name, norm in _norms(measured) if norm.running_mean is None]
    if not found:
        return None
    return Seen(
        found[0], f"{named(found)} keeps no running statistics: in evaluation outputs depend on the batch too"
    )


def redundant_bias(measured: Measured) -> Seen | None:
    """A bias directly before a batch normalization, which subtracts it again."""
    own = dict(measured.program.model.named_parameters())
    ran = [norm.layer.removesuffix("weight") + "bias" for norm in measured.normalized if norm.layer]
    found = list(dict.fromkeys([*redundant_biases(measured.program.model), *(b for b in ran if b in own)]))
    if not found:
        return None
    return Seen(found[0], f"{named(found)}: batch normalization subtracts the bias again")


def norm_after_activation(measured: Measured) -> Seen | None:
    """Batch normalization behind the nonlinearity, where it is usually put before."""
    behind = [norm.activation for norm in measured.normalized if norm.activation]
    if not behind:
        return None
    return Seen(
        "batch normalization", f"{len(behind)} of {len(measured.normalized)} stand behind a {behind[0]}"
    )
