"""Histograms of activations and gradients, and the first layer's weights for drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from babysit.records import Histogram, Snapshot

BINS = 40
_NUMBERS = 1 << 15
"""At most this many numbers, evenly spaced, are counted."""
UNITS = 25
"""Units of the first layer that are kept: five rows of five images."""
_MOST_WEIGHTS = 1 << 17


def histogram(name: str, step: int, values: Tensor) -> Histogram | None:
    """Counts numbers in bins of equal width, from the lowest to the highest of them.

    Args:
        name: the name of the numbers.
        step: their step.
        values: any shape; of more than 32,768 numbers, evenly spaced ones count.

    Returns:
        The histogram; None where a number is not finite, or there is none.

    Example:
        >>> found = histogram("activations/0", 1, torch.tensor([0.0, 1.0, 1.0]))
        >>> int(found.counts[0]), int(found.counts[-1]), found.edges[[0, -1]].tolist()
        (1, 2, [0.0, 1.0])
    """
    flat = values.detach().reshape(-1).float()
    part = flat[:: -(-flat.numel() // _NUMBERS)] if flat.numel() > _NUMBERS else flat
    if not part.numel():
        return None
    low, high = (float(end) for end in part.aminmax())
    if not math.isfinite(low) or not math.isfinite(high):
        return None
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # one value only: a bin needs a width
        margin = abs(low) / 100 or 1e-8
        low, high = low - margin, high + margin
    counts = torch.histc(part.cpu(), BINS, low, high)
    edges = np.linspace(low, high, BINS + 1, dtype=np.float32)
    return Histogram(name, step, edges, counts.numpy().astype(np.int32))


def first_layer(parameters: Mapping[str, Tensor], step: int, shape: tuple[int, ...]) -> Snapshot | None:
    """Keeps the weights of the first layer, at most 25 units of it.

    Args:
        parameters: those of one model, in its order.
        step: their step.
        shape: of one example; a unit that is connected to all of it gets this shape.

    Returns:
        The snapshot; None where the model has no weight tensor, or its units are too large to draw.

    Example:
        >>> first_layer({"w": torch.zeros(50, 12)}, 1, (3, 2, 2)).values.shape
        (25, 3, 2, 2)
    """
    name = next((name for name, value in parameters.items() if value.dim() >= 2), None)
    if name is None:
        return None
    units = parameters[name][:UNITS]
    if units.numel() > _MOST_WEIGHTS:
        return None
    if units.dim() == 2 and units.shape[1] == math.prod(shape):
        units = units.reshape(-1, *shape)
    limit = float(np.finfo(np.float16).max)
    return Snapshot(name, step, units.float().clamp(-limit, limit).cpu().numpy().astype(np.float16))
