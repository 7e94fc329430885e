"""Search for the label among the inputs: columns constant within each class, or a multiple of the target."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MOST_COLUMNS, _MOST_CLASSES = 4096, 100
_FREE = 16
"""At least this many examples beyond the first of each class must agree: fewer agree by chance."""


@torch.no_grad()
def find_leaking_columns(inputs: Tensor, output: Tensor, targets: Tensor) -> Tensor | None:
    """Finds the input columns that give the target away in a batch, as a mask; None if it is unknown.

    Args:
        inputs: (examples, columns) of floating-point numbers, at least 2 columns.
        output: the criterion's first input; its second dimension counts the classes.
        targets: class numbers (examples,), or one number an example.

    Example:
        >>> y = torch.arange(40) % 2
        >>> x = torch.stack([torch.arange(40.0) ** 2, 3.0 * y], 1)
        >>> find_leaking_columns(x, torch.zeros(40, 2), y).tolist()
        [False, True]
    """
    single = targets.dim() == 1 or (targets.dim() == 2 and targets.shape[1] == 1)
    if inputs.dim() != 2 or not 2 <= inputs.shape[1] <= _MOST_COLUMNS or not single:
        return None
    if len(targets) != len(inputs) or len(inputs) <= _FREE:
        return None
    raw = inputs.float()
    x = raw - raw.mean(0)
    # A constant column differs from its mean by rounding, which may be the same within a class.
    varied = x.square().sum(0) > 1e-9 * raw.square().sum(0)
    if targets.is_floating_point():
        y = targets.float().reshape(-1)
        y = y - y.mean()
        scale = (x.square().sum(0) * y.square().sum()).sqrt()
        return varied & ((x * y[:, None]).sum(0).abs() > 0.99999 * scale) & (scale > 0)
    if output.dim() != 2 or output.shape[1] > _MOST_CLASSES:
        return None
    return varied & _constant_within(x, F.one_hot(targets, output.shape[1]).float())


def _constant_within(x: Tensor, member: Tensor) -> Tensor:
    counts = member.sum(0)
    rest = x - member @ (member.T @ x / counts.clamp_min(1)[:, None])
    # A class with one example is constant anyway, and says nothing.
    several = member @ (counts > 1).float()
    total = (x.square() * several[:, None]).sum(0)
    free = several.sum() - (counts > 1).sum()
    return (rest.square().sum(0) < 1e-8 * total) & (free >= _FREE)
