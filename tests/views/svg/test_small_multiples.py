from __future__ import annotations

import math

import numpy as np
import pytest

from babysit.store.points import buckets
from babysit.views.svg.small_multiples import Course, multiples, panel_svg


def course(name, values, steps=None, exploded=False, state="complete"):
    shrunk = buckets(values)
    return Course(name, state, shrunk, steps or len(values), float(values[0]), exploded)


def test_all_share_both_axes():
    falling, short = np.geomspace(2.3, 0.02, 200), np.geomspace(2.3, 1.0, 100)
    data = multiples([course("a", falling), course("b", short)])
    assert data.y.log
    assert data.panels[0].points[-1][0] == pytest.approx(1.0)
    assert data.panels[1].points[-1][0] == pytest.approx(0.5)
    assert data.panels[1].points[-1][1] == pytest.approx(data.y.place(1.0), abs=0.01)
    assert data.first_cost == pytest.approx(data.y.place(2.3))


def test_a_diverged_run_does_not_set_the_axis_and_leaves_at_the_top():
    calm = course("calm", np.linspace(2.3, 2.0, 50))
    wild = course("wild", np.geomspace(2.3, 1e9, 50), exploded=True, state="exploded")
    data = multiples([calm, wild])
    assert data.y.high < 10
    assert data.panels[1].points[-1][1] == 1.0
    assert sum(height >= 1 for _, height in data.panels[1].points) == 1
    assert "wild, exploded" in panel_svg(data, data.panels[1])


def test_a_run_without_a_step_has_an_empty_frame():
    empty = Course("new", "running", np.empty((0, 3), dtype=np.float32), 0, math.nan, False)
    data = multiples([empty])
    assert data.panels[0].points == ()
    assert panel_svg(data, data.panels[0]).startswith("<svg")


def test_names_are_escaped():
    data = multiples([course("<script>", np.array([2.0, 1.0]))])
    assert "<script>" not in panel_svg(data, data.panels[0])
