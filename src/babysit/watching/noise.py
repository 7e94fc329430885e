"""Gradient noise: the gradients of two successive batches, compared.

Between two steps the weights hardly change, so that two successive mini-batch gradients are two draws of
one gradient G with noise of variance tr(S) / B. Their product estimates |G|^2, their mean square
|G|^2 + tr(S) / B (McCandlish, Kaplan and Amodei, "An Empirical Model of Large-Batch Training", 2018:
B_simple = tr(S) / |G|^2).
The comparison costs a copy of a few gradients at a sampled step, and no backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

_TENSORS, _PART = 3, 4096


class ScalarSink(Protocol):
    """Collector of scalars that are read with one transfer."""

    def add(self, name: Any, values: list[Tensor]) -> None:
        """Stores scalars under a name."""


@dataclass(frozen=True, slots=True)
class NoiseStat:
    """Comparison of two successive gradients.

    Attributes:
        product: their scalar product, an estimate of |G|^2.
        square: the mean of their squares, an estimate of |G|^2 + tr(S) / B.
    """

    product: float
    square: float


class NoiseProbe:
    """Keeps a part of one step's gradients until the next step."""

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Tensor]] = []

    def forget(self) -> None:
        """Drops what was kept."""
        self._kept = []

    @torch.no_grad()
    def remember(self, values: Iterable[Tensor]) -> None:
        """Copies evenly spaced numbers of the largest tensors' gradients."""
        known = [value for value in values if value.grad is not None and not value.grad.is_sparse]
        known.sort(key=lambda value: -value.numel())
        self._kept = [(value, _part(value.grad).clone()) for value in known[:_TENSORS]]

    @torch.no_grad()
    def compare(self, scalars: ScalarSink) -> None:
        """Compares them with the gradients of the next step, and drops them."""
        kept, self._kept = self._kept, []
        if not kept or any(value.grad is None for value, _ in kept):
            return
        old = torch.cat([copy.float() for _, copy in kept])
        new = torch.cat([_part(value.grad).float() for value, _ in kept])
        scalars.add(("noise",), [old.dot(new), (old.dot(old) + new.dot(new)) / 2])


def _part(gradient: Any) -> Tensor:
    flat: Tensor = gradient.detach().reshape(-1)
    return flat if flat.numel() <= _PART else flat[:: -(-flat.numel() // _PART)]


def signal_share(stats: Sequence[NoiseStat]) -> float:
    """Computes |G|^2 over a gradient's mean square: 1 without noise, 0 for noise alone, NaN if unknown.

    Args:
        stats: of several pairs of gradients; a single pair says little.

    Example:
        >>> signal_share([NoiseStat(1.0, 2.0), NoiseStat(0.0, 2.0)])
        0.25
    """
    square = math.fsum(stat.square for stat in stats if math.isfinite(stat.square))
    product = math.fsum(stat.product for stat in stats if math.isfinite(stat.product))
    return product / square if square > 0 else math.nan


def critical_batch(share: float, examples: int) -> float:
    """Computes the batch size at which signal and noise are equal: tr(S) / |G|^2; infinite without signal.

    Args:
        share: the share of signal in a batch's gradient.
        examples: the size of that batch.

    Example:
        >>> critical_batch(0.25, 32)
        96.0
    """
    return examples * (1 - share) / share if share > 0 else math.inf
