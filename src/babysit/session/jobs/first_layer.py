"""The first layer of the chosen model, kept in the store if its units can be shown as images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from babysit.records import Details, Snapshot

CHOSEN = "chosen"
"""The snapshot's name begins so; the parameter's follows."""
MOST_UNITS = 100
"""The number of units that are kept: as many as a page shows at once."""
_MOST_NUMBERS = 1 << 20
_CHANNELS = (1, 3)


def first_weights(weights: Mapping[str, Tensor], shape: tuple[int, ...], step: int) -> Details:
    """Returns the first layer's weights as images, for the store.

    Args:
        weights: a state dict.
        shape: of one input, [C, H, W] for images.
        step: of the model's best epoch.

    Returns:
        One snapshot, float16 [units, C, height, width], of at most 100 units; nothing unless the inputs are
        grey or colour images and the first layer is fully connected to them or a convolution.

    Example:
        >>> import torch
        >>> found = first_weights({"1.weight": torch.zeros(50, 3072)}, (3, 32, 32), step=10)
        >>> found.snapshots[0].name, found.snapshots[0].values.shape
        ('chosen/1.weight', (50, 3, 32, 32))
    """
    name = next((name for name, value in weights.items() if value.dim() in (2, 4)), None)
    if name is None or len(shape) != 3 or shape[0] not in _CHANNELS:
        return Details()
    found = weights[name][:MOST_UNITS].detach().float().cpu()
    if found.dim() == 2 and found.shape[1] == math.prod(shape):
        found = found.reshape(-1, *shape)
    if found.dim() != 4 or found.shape[1] != shape[0] or found.numel() > _MOST_NUMBERS:
        return Details()
    limit = float(np.finfo(np.float16).max)
    values = found.nan_to_num(0.0).clamp(-limit, limit).numpy().astype(np.float16)
    return Details(snapshots=[Snapshot(f"{CHOSEN}/{name}", step, values)])
