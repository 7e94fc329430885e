"""Curves in characters: where each dot stands, whose cell it is, what is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from babysit.views.data.axes import Axis
from babysit.views.terminal.unicode_plots import BLOCKS, DotCurve, overlay, sparkline

SQUARE = (Axis(0.0, 1.0, False, "x"), Axis(0.0, 1.0, False, "y"))


def text_of(plot):
    return ["".join(characters for characters, _ in row) for row in plot.rows]


def dots(character):
    return bin(ord(character) - 0x2800).count("1")


def test_a_diagonal_rises_from_the_lower_left_to_the_upper_right():
    rows = text_of(overlay([DotCurve("", [0, 1], [0, 1])], SQUARE, width=4, height=2))
    assert [len(row) for row in rows] == [4, 4]
    assert sum(map(dots, "".join(rows))) == 8
    assert rows[0][:2] == rows[1][2:] == "⠀⠀"
    assert rows[1][0] == "⡠"
    assert rows[0][3] == "⠊"


def test_a_cell_belongs_to_the_last_curve_in_it():
    flat = DotCurve("", [0, 1], [0, 0])
    assert [owner for _, owner in overlay([flat, flat], SQUARE, 5, 2).rows[1]] == [1]
    assert [owner for _, owner in overlay([flat], SQUARE, 5, 2).rows[0]] == [None]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2.0, -1.0])
def test_what_no_axis_shows_is_a_gap(bad):
    whole = overlay([DotCurve("", [0, 0.5, 1], [0, 0.5, 1])], SQUARE, 8, 4)
    broken = overlay([DotCurve("", [0, 0.5, 1], [0, bad, 1])], SQUARE, 8, 4)
    assert sum(map(dots, "".join(text_of(broken)))) == 2
    assert sum(map(dots, "".join(text_of(whole)))) > 8


def test_a_spark_keeps_the_last_of_every_bucket():
    assert sparkline(np.arange(800), 8) == BLOCKS
    assert len(sparkline(np.arange(801), 40)) == 40
    assert sparkline(np.arange(801), 40)[-1] == BLOCKS[-1]
    assert sparkline([3.0, 3.0]) == BLOCKS[0] * 2
    assert sparkline([math.nan, math.inf]) == "··"
