"""Runs over each other: diverged ones do not set the axis, names do not lie on each other."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from babysit.views.svg.overlay import MOST_RUNS, RunSeries, cost_overlay, overlay_svg, score_overlay, spread

STEPS = np.arange(1, 1001)
EVIL = "<script>alert(1)</script>"


def falling(name="a", first=2.3):
    return RunSeries(name, STEPS, first * np.exp(-STEPS / 400), first)


def test_a_run_that_diverged_does_not_set_the_axis():
    alone = cost_overlay([falling()])
    burst = RunSeries("b", STEPS, np.geomspace(2.3, 1e9, 1000), 2.3)
    broken = RunSeries("c", STEPS, np.append(np.full(999, 2.0), math.nan), 2.3)
    both = cost_overlay([falling(), burst, broken])
    assert (both.y.low, both.y.high) == (alone.y.low, alone.y.high)
    assert [curve.diverged for curve in both.curves] == [False, True, True]
    assert both.curves[1].points[-1][1] == 1.0  # it leaves at the top
    assert all(0 <= y <= 1 for curve in both.curves for _, y in curve.points)


def test_only_diverged_runs_are_still_drawn():
    data = cost_overlay(
        [RunSeries("b", STEPS, np.full(1000, np.nan), 2.3), RunSeries("c", [1], [math.inf], 2.3)]
    )
    assert overlay_svg(data, "cost").startswith("<svg")
    assert cost_overlay([RunSeries("a", [], [])]) is None
    assert score_overlay([RunSeries("a", [1, 2], [math.nan, math.nan])], "") is None


def test_eight_runs_are_told_apart_by_more_than_colour():
    svg = overlay_svg(
        cost_overlay([falling(f"run {index}", 2.3 + index) for index in range(MOST_RUNS)]), "cost"
    )
    lines = [path for path in re.findall(r"<path[^>]*>", svg) if 'stroke-width="1.8"' in path]
    dashes = [re.findall(r'stroke-dasharray="([^"]*)"', line) for line in lines]
    assert 'viewBox="0 0 640 340"' in svg
    assert len({str(one) for one in dashes}) == MOST_RUNS
    assert all(f">run {index}</text>" in svg for index in range(MOST_RUNS))


def test_names_are_escaped():
    svg = overlay_svg(score_overlay([RunSeries(EVIL, [1, 2], [0.1, 0.2])], "accuracy"), EVIL)
    assert "<script>" not in svg


@given(st.lists(st.floats(0, 100), max_size=6).map(sorted))
def test_spread_heights_are_apart_in_order_and_inside(wanted):
    placed = spread(wanted, 15.0, 0.0, 100.0)
    assert len(placed) == len(wanted)
    assert all(after - before >= 15 - 1e-9 for before, after in pairwise(placed))
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in placed)
