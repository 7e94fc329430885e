"""The first layer's weights as small images: the pattern that each unit responds to."""

from __future__ import annotations

import base64
import io
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from babysit.records import Snapshot

CHOSEN = "chosen/"
"""The prefix of the snapshots that belong to the chosen model."""
_GAP = 2
_LEAST_PIXELS = 32
_WIDE, _NARROW = 10, 8


class WeightImages(NamedTuple):
    """All units' images in one picture.

    Attributes:
        png: the picture's bytes; gaps are transparent.
        width, height: in pixels.
        units: the number of images.
        shape: of one unit, in words, e.g. "32 x 32 x 3".
        parameter: the weights' name in the model.
    """

    png: bytes
    width: int
    height: int
    units: int
    shape: str
    parameter: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def weight_images(snapshot: Snapshot | None) -> WeightImages | None:
    """Draws a first layer as one picture.

    Args:
        snapshot: values [units, C, H, W] with one or three channels.

    Returns:
        The picture; None without such values.
    """
    if snapshot is None or snapshot.values.ndim != 4 or snapshot.values.shape[1] not in (1, 3):
        return None
    tiles = contrast(snapshot.values)
    # Small images are enlarged by a whole factor, so that a page need not scale them.
    times = max(1, _LEAST_PIXELS // max(tiles.shape[1:3]))
    grid = _grid(tiles.repeat(times, axis=1).repeat(times, axis=2))
    buffer = io.BytesIO()
    Image.fromarray(grid, "RGBA").save(buffer, "PNG", optimize=True)
    units, channels, height, width = snapshot.values.shape
    return WeightImages(
        buffer.getvalue(),
        grid.shape[1],
        grid.shape[0],
        units,
        f"{height} × {width}" + (f" × {channels}" if channels > 1 else ""),
        snapshot.name.removeprefix(CHOSEN),
    )


def contrast(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretches every unit from its own smallest weight (0) to its own largest (255), over all channels.

    Args:
        values: [units, C, H, W].

    Returns:
        [units, H, W, C]; a unit whose weights are all equal is middle grey.

    Example:
        >>> contrast(np.array([[[[-1.0, 0.0, 3.0]]], [[[5.0, 5.0, 5.0]]]]))[:, 0, :, 0].tolist()
        [[0, 64, 255], [128, 128, 128]]
    """
    wide = values.astype(np.float64)
    low = wide.min(axis=(1, 2, 3), keepdims=True)
    spread = wide.max(axis=(1, 2, 3), keepdims=True) - low
    shares = np.divide(wide - low, spread, out=np.full_like(wide, 0.5), where=spread > 0)
    stretched: NDArray[np.uint8] = np.rint(255 * shares).astype(np.uint8)
    return stretched.transpose(0, 2, 3, 1)


def _grid(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    units, height, width, channels = tiles.shape
    columns = min(units, _WIDE if units >= _WIDE * 2 else _NARROW)
    rows = math.ceil(units / columns)
    canvas = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        place = canvas[top : top + height, left : left + width]
        place[..., :3] = tile if channels == 3 else tile.repeat(3, axis=2)
        place[..., 3] = 255
    return canvas
