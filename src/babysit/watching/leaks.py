"""Is the label among the inputs? A column that is constant within each class, or a multiple of the target."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MOST_COLUMNS, _MOST_CLASSES = 4096, 100
_FREE = 16
"""So many examples beyond the first of each class must agree: fewer agree by chance."""


@torch.no_grad()
def telling_columns(inputs: Tensor, output: Tensor, targets: Tensor) -> Tensor | None:
    """Which input columns give the target away in this batch, as a mask; None if it cannot be said.

    Args:
        inputs: (examples, columns) of floating-point numbers, at least 2 columns.
        output: what the criterion was given first: its second dimension counts the classes.
        targets: class numbers (examples,), or one number an example.

    Example:
        >>> y = torch.arange(40) % 2
        >>> x = torch.stack([torch.arange(40.0) ** 2, 3.0 * y], 1)
        >>> telling_columns(x, torch.zeros(40, 2), y).tolist()
        [False, True]
    """
    single = targets.dim() == 1 or (targets.dim() == 2 and targets.shape[1] == 1)
    if inputs.dim() != 2 or not 2 <= inputs.shape[1] <= _MOST_COLUMNS or not single:
        return None
    if len(targets) != len(inputs) or len(inputs) <= _FREE:
        return None
    raw = inputs.float()
    x = raw - raw.mean(0)
    # A constant column is off its own mean by rounding, and rounding may be alike in one class.
    varied = x.square().sum(0) > 1e-9 * raw.square().sum(0)
    if targets.is_floating_point():
        return varied & _multiples(x, targets.float().reshape(-1))
    if output.dim() != 2 or output.shape[1] > _MOST_CLASSES:
        return None
    return varied & _constant_within(x, F.one_hot(targets, output.shape[1]).float())


def _multiples(x: Tensor, targets: Tensor) -> Tensor:
    y = targets - targets.mean()
    scale = (x.square().sum(0) * y.square().sum()).sqrt()
    return ((x * y[:, None]).sum(0).abs() > 0.99999 * scale) & (scale > 0)


def _constant_within(x: Tensor, member: Tensor) -> Tensor:
    counts = member.sum(0)
    rest = x - member @ (member.T @ x / counts.clamp_min(1)[:, None])
    # Of a class with one example nothing can be said: it is constant by itself.
    several = member @ (counts > 1).float()
    total = (x.square() * several[:, None]).sum(0)
    free = several.sum() - (counts > 1).sum()
    return (rest.square().sum(0) < 1e-8 * total) & (free >= _FREE)
