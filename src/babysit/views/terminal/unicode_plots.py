"""Curves drawn with characters: one line of blocks, or several curves over each other in braille."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from babysit.views.data.axes import Axis, tick_text

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
"""Stands where a value is not a finite number."""

# The bits of the eight dots of a braille character, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


class Curve(NamedTuple):
    """One curve: what it is called, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class Plot(NamedTuple):
    """A drawn plot.

    Attributes:
        rows: top to bottom; each is a list of (text, index of the curve or None), one pair a character run.
        x: the horizontal axis.
        y: the vertical axis.
    """

    rows: tuple[tuple[tuple[str, int | None], ...], ...]
    x: Axis
    y: Axis


def sparkline(values: ArrayLike, width: int = 40) -> str:
    """Values as one line of block characters, the lowest finite one at the bottom.

    Args:
        values: any number of them; more than ``width`` are thinned, each bucket by its last value.
        width: the most characters, default 40.

    Example:
        >>> sparkline([1, 2, 3, 4, 5, 6, 7, 8]), sparkline([2.3, float("nan"), 1.0]), sparkline([])
        ('▁▂▃▄▅▆▇█', '█·▁', '')
    """
    given = np.asarray(values, dtype=float).ravel()
    if len(given) > width:
        given = given[np.linspace(0, len(given), width + 1).astype(int)[1:] - 1]
    finite = given[np.isfinite(given)]
    if not len(finite):
        return GAP * len(given)
    low, high = float(finite.min()), float(finite.max())
    length = (high - low) or 1.0
    top = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round((value - low) / length * top)] if math.isfinite(value) else GAP
        for value in given.tolist()
    )


def overlay(curves: Sequence[Curve], axes: tuple[Axis, Axis], width: int = 56, height: int = 10) -> Plot:
    """Curves over each other in braille dots, two by four to a character; a cell belongs to its last curve.

    Args:
        curves: drawn in this order; values that are not finite, or off an axis, are left out.
        axes: horizontal and vertical.
        width, height: in characters.
    """
    dots = np.zeros((height, width), dtype=int)
    owner = np.full((height, width), -1)
    for index, curve in enumerate(curves):
        for column, row in _cells(curve, axes, 2 * width, 4 * height):
            cell = (row // 4, column // 2)
            dots[cell] |= _DOTS[row % 4][column % 2]
            owner[cell] = index
    rows = tuple(_runs(dots[line].tolist(), owner[line].tolist()) for line in range(height))
    return Plot(rows, *axes)


def _cells(curve: Curve, axes: tuple[Axis, Axis], width: int, height: int) -> list[tuple[int, int]]:
    """The dots of a curve, (column, row from the top), points joined by straight lines."""
    places = [(axes[0].place(x), axes[1].place(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    dots = [
        (round(x * (width - 1)), round((1 - y) * (height - 1))) if 0 <= x <= 1 and 0 <= y <= 1 else None
        for x, y in places
    ]
    found = [dot for dot in dots if dot is not None]
    for start, end in pairwise(dots):
        if start is not None and end is not None:
            found += _line(start, end)
    return found


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    count = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    shares = [step / count for step in range(1, count)]
    return [
        (round(start[0] + share * (end[0] - start[0])), round(start[1] + share * (end[1] - start[1])))
        for share in shares
    ]


def _runs(dots: Sequence[int], owners: Sequence[int]) -> tuple[tuple[str, int | None], ...]:
    runs: list[tuple[str, int | None]] = []
    for dot, owner in zip(dots, owners, strict=True):
        character, whose = chr(_BLANK + dot), None if owner < 0 else owner
        if runs and runs[-1][1] == whose:
            runs[-1] = (runs[-1][0] + character, whose)
        else:
            runs.append((character, whose))
    return tuple(runs)


def labels(axis: Axis) -> tuple[str, str]:
    """What is written at the low and the high end of an axis.

    Example:
        >>> labels(Axis(0.0, 2.302585, False, "cost"))
        ('0', '2.3')
    """
    return tick_text(float(f"{axis.low:.3g}")), tick_text(float(f"{axis.high:.3g}"))
