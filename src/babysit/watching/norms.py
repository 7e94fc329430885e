"""Batch norm's running statistics against its batches: in eval mode it uses nothing else.

The batch's own moments need no pass over its activations: the layer has just mixed them into its running
statistics, ``new = (1 - m) old + m batch``, so that ``batch = old + (new - old) / m``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from babysit.watching.capture import NORMS
from babysit.watching.noise import ScalarSink


@dataclass(frozen=True, slots=True)
class NormStat:
    """Distance of a batch norm's running statistics from those of a batch.

    Attributes:
        shift: the distance of the means in running standard deviations, a mean over channels.
        stretch: the absolute logarithm of the ratio of the variances, a mean over channels.
    """

    shift: float
    stretch: float


class NormProbe:
    """Compares the first and the last batch norm of a model with sampled batches.

    Args:
        model: any module; layers without running statistics or with a cumulative average are skipped.
    """

    def __init__(self, model: nn.Module) -> None:
        found = [
            (name, part)
            for name, part in model.named_modules()
            if isinstance(part, NORMS) and part.track_running_stats and part.momentum
        ]
        self.layers: dict[str, Any] = dict([*found[:1], *found[-1:]])
        self._old: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def open(self) -> None:
        """Copies the running statistics at the start of a sampled step."""
        self._old = {
            name: (part.running_mean.clone(), part.running_var.clone(), part.num_batches_tracked.clone())
            for name, part in self.layers.items()
            if part.training
        }

    @torch.no_grad()
    def measure(self, scalars: ScalarSink) -> None:
        """Compares them with the running statistics after the forward pass.

        Args:
            scalars: where the comparisons are added.
        """
        for name, (mean, variance, batches) in self._old.items():
            part = self.layers[name]
            shift = (part.running_mean - mean) / part.momentum
            own = (variance + (part.running_var - variance) / part.momentum).clamp_min(0) + part.eps
            stretch = (own / (variance + part.eps)).log().abs().mean()
            away = (shift.abs() * (variance + part.eps).rsqrt()).mean()
            scalars.add(("norm", name), [away, stretch, part.num_batches_tracked - batches])
        self._old = {}


def norm_stat(shift: float, stretch: float, batches: float) -> NormStat:
    """Makes a comparison of what was read; NaN unless exactly one batch went through in the step.

    Example:
        >>> norm_stat(0.1, 0.2, 1.0)
        NormStat(shift=0.1, stretch=0.2)
    """
    return NormStat(shift, stretch) if batches == 1 else NormStat(math.nan, math.nan)
