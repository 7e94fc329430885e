"""Heatmap of histograms: the distribution of a layer's activations or gradients over the steps.

Steps run to the right, values upwards; a darker cell holds a larger share of the numbers.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from babysit.records import Histogram
from babysit.views.data.axes import Axis, make_axis
from babysit.views.svg.elements import Frame, document, element, title

COLUMNS, ROWS = 200, 50
_TAIL = 1e-3
"""The share of the numbers at either end that the axis leaves out; the outermost rows count them."""
_COLOUR = (31, 111, 178)
"""The only colour; its alpha shows the share, so the picture fits a light page and a dark one."""


class Heatmap(NamedTuple):
    """The picture's data.

    Attributes:
        x: the axis of steps.
        y: the axis of values.
        shares: [rows, columns], the lowest values first; each column adds up to 1, or to 0 before the first
            histogram.
        name: the quantity that was counted.
    """

    x: Axis
    y: Axis
    shares: NDArray[np.float64]
    name: str


def heatmap(
    found: Sequence[Histogram], x: Axis, *, rows: int = ROWS, columns: int = COLUMNS
) -> Heatmap | None:
    """Puts histograms of one quantity on common axes; each lasts until the next.

    Args:
        found: the histograms in the order of their steps; each has its own edges.
        x: the axis of steps.
        rows, columns: the size of the grid.

    Returns:
        The heatmap; None if no histogram has counted anything.
    """
    filled = [one for one in found if one.counts.sum() > 0]
    if not filled:
        return None
    ends = [quantile(one, share) for one in filled for share in (_TAIL, 1 - _TAIL)]
    y = make_axis(ends, "value", margin=0.02)
    edges = np.linspace(y.low, y.high, rows + 1)
    columns_of = np.stack([rebinned(one, edges) for one in filled], axis=1)
    columns_of /= columns_of.sum(axis=0)
    places = np.linspace(x.low, x.high, columns, endpoint=False) + (x.high - x.low) / columns
    newest = np.searchsorted([one.step for one in filled], places, side="right") - 1
    shares = np.where(newest >= 0, columns_of[:, np.maximum(newest, 0)], 0.0)
    return Heatmap(x, y, shares, filled[0].name)


def rebinned(histogram: Histogram, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Converts counts to other bins, each old bin spread evenly; counts beyond the ends go to the end bins.

    Args:
        histogram: a histogram with ascending edges.
        edges: the edges of the wanted bins, ascending.

    Returns:
        A count for every bin; their sum is that of the histogram.

    Example:
        >>> half = Histogram("a", 1, np.array([0.0, 1.0, 2.0]), np.array([4, 2]))
        >>> rebinned(half, np.array([0.0, 0.5, 1.5])).tolist()
        [2.0, 4.0]
    """
    below = np.concatenate([[0.0], np.cumsum(histogram.counts, dtype=np.float64)])
    total = np.interp(edges, histogram.edges.astype(np.float64), below)
    total[0], total[-1] = 0.0, below[-1]
    return np.diff(total)


def quantile(histogram: Histogram, share: float) -> float:
    """Returns the value below which a share of the numbers lies, spread evenly in each bin.

    Example:
        >>> quantile(Histogram("a", 1, np.array([0.0, 1.0, 2.0]), np.array([1, 1])), 0.75)
        1.5
    """
    below = np.concatenate([[0.0], np.cumsum(histogram.counts, dtype=np.float64)])
    inside = int(np.searchsorted(below, share * below[-1], side="left"))
    after = max(1, min(inside, len(histogram.counts)))
    low, high = (float(edge) for edge in histogram.edges[after - 1 : after + 1])
    count = below[after] - below[after - 1]
    return low + float((high - low) * (share * below[-1] - below[after - 1]) / count) if count else low


def heatmap_png(data: Heatmap) -> bytes:
    """Draws the grid as a small PNG, one pixel a cell; empty cells are transparent."""
    most = data.shares.max() or 1.0
    depth = np.sqrt(data.shares / most)[::-1]  # the root keeps the tails visible
    pixels = np.empty((*depth.shape, 4))
    pixels[..., :3], pixels[..., 3] = _COLOUR, 255 * np.where(depth > 0, 0.1 + 0.9 * depth, 0.0)
    levels = Image.fromarray(np.rint(pixels).astype(np.uint8), "RGBA").quantize(64)
    buffer = io.BytesIO()
    levels.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def heatmap_svg(data: Heatmap, label: str, width: float = 560, height: float = 220) -> str:
    """Draws the heatmap with its axes."""
    frame = Frame(width, height, top=8)
    uri = f"data:image/png;base64,{base64.b64encode(heatmap_png(data)).decode()}"
    picture = element(
        "image",
        title(label),
        href=uri,
        x=frame.left,
        y=frame.top,
        width=frame.inner_width,
        height=frame.inner_height,
        preserveAspectRatio="none",
        image_rendering="pixelated",
    )
    return document(width, height, label, [*frame.axes(data.x, data.y), picture])
