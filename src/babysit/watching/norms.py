"""Do a batch norm's running statistics describe its batches? In eval mode it uses nothing else.

The batch's own moments need no pass over its activations: the layer has just mixed them into its running
statistics, ``new = (1 - m) old + m batch``, so that ``batch = old + (new - old) / m``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from babysit.watching.noise import Takes

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, slots=True)
class NormStat:
    """A batch norm's running statistics against a batch.

    Attributes:
        shift: the distance of the means in running standard deviations, a mean over channels.
        stretch: how many times the variance differs, as a logarithm without sign, a mean over channels.
    """

    shift: float
    stretch: float


class NormProbe:
    """Compares the first and the last batch norm of a model with sampled batches.

    Args:
        model: any module; layers without running statistics or with a cumulative average are left alone.
    """

    def __init__(self, model: nn.Module) -> None:
        found = [(name, part) for name, part in model.named_modules() if _averages(part)]
        self.layers: dict[str, Any] = dict([*found[:1], *found[-1:]])
        self._old: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def open(self) -> None:
        """A sampled step begins: copies the running statistics."""
        self._old = {
            name: (part.running_mean.clone(), part.running_var.clone(), part.num_batches_tracked.clone())
            for name, part in self.layers.items()
            if part.training
        }

    @torch.no_grad()
    def measure(self, scalars: Takes) -> None:
        """Its forward pass is done.

        Args:
            scalars: where the comparisons go.
        """
        for name, (mean, variance, batches) in self._old.items():
            part = self.layers[name]
            shift = (part.running_mean - mean) / part.momentum
            own = (variance + (part.running_var - variance) / part.momentum).clamp_min(0) + part.eps
            stretch = (own / (variance + part.eps)).log().abs().mean()
            away = (shift.abs() * (variance + part.eps).rsqrt()).mean()
            scalars.add(("norm", name), [away, stretch, part.num_batches_tracked - batches])
        self._old = {}


def _averages(part: nn.Module) -> bool:
    return isinstance(part, _NORMS) and part.track_running_stats and bool(part.momentum)


def norm_stat(shift: float, stretch: float, batches: float) -> NormStat:
    """What was read; unknown if more or less than one batch went through since the step began.

    Example:
        >>> norm_stat(0.1, 0.2, 1.0)
        NormStat(shift=0.1, stretch=0.2)
    """
    return NormStat(shift, stretch) if batches == 1 else NormStat(math.nan, math.nan)
