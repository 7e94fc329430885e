"""Plots of Unicode characters: one curve as a line of blocks, or several in braille."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from babysit.views.data.axes import Axis, tick_text

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
"""The character of a value that is NaN or infinite."""

# The bits of the eight dots of a braille character, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


class DotCurve(NamedTuple):
    """One curve: its name and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class Plot(NamedTuple):
    """A drawn plot.

    Attributes:
        rows: from top to bottom; each is a list of runs, (characters, index of their curve or None).
        x: the horizontal axis.
        y: the vertical axis.
    """

    rows: tuple[tuple[tuple[str, int | None], ...], ...]
    x: Axis
    y: Axis


def sparkline(values: ArrayLike, width: int = 40) -> str:
    """Draws values as one line of block characters, the lowest finite one at the bottom.

    Args:
        values: the values; more than ``width`` are thinned to the last value of each bucket.
        width: the most characters. Default: 40.

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


def overlay(curves: Sequence[DotCurve], axes: tuple[Axis, Axis], width: int = 56, height: int = 10) -> Plot:
    """Draws curves in one plot of braille dots, two by four to a character; the last curve colours a cell.

    Args:
        curves: in the order of drawing; values that are NaN, infinite or off an axis are left out.
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
    rows = []
    for line in range(height):
        marks = zip(dots[line].tolist(), owner[line].tolist(), strict=True)
        runs = groupby(marks, key=lambda mark: mark[1])
        rows.append(
            tuple(
                ("".join(chr(_BLANK + dot) for dot, _ in run), None if curve < 0 else int(curve))
                for curve, run in runs
            )
        )
    return Plot(tuple(rows), *axes)


def _cells(curve: DotCurve, axes: tuple[Axis, Axis], width: int, height: int) -> list[tuple[int, int]]:
    """Returns the dots of a curve, (column, row from the top), its points joined by straight lines."""
    places = [(axes[0].place(x), axes[1].place(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    dots = [
        (round(x * (width - 1)), round((1 - y) * (height - 1))) if 0 <= x <= 1 and 0 <= y <= 1 else None
        for x, y in places
    ]
    found = [dot for dot in dots if dot is not None]
    for start, end in pairwise(dots):
        if start is not None and end is not None:
            across, down = end[0] - start[0], end[1] - start[1]
            count = max(abs(across), abs(down))
            shares = [step / count for step in range(1, count)]
            found += [(round(start[0] + share * across), round(start[1] + share * down)) for share in shares]
    return found


def labels(axis: Axis) -> tuple[str, str]:
    """Returns the labels of the low and the high end of an axis.

    Example:
        >>> labels(Axis(0.0, 2.302585, False, "cost"))
        ('0', '2.3')
    """
    return tick_text(float(f"{axis.low:.3g}")), tick_text(float(f"{axis.high:.3g}"))
