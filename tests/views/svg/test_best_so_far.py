"""The stair of the best score: it never falls, and stands where the work ends."""

from __future__ import annotations

import pytest

from babysit.views.svg.best_so_far import best_so_far, best_so_far_svg
from views.studies import complete, exploded, regression, view_of


def test_the_stair_rises_only_and_counts_the_work_of_trials_that_exploded():
    data = best_so_far(view_of([complete(0, 0.3), exploded(1), complete(2, 0.2), complete(3, 0.6)]))
    heights = [y for _, y in data.stair]
    assert heights == sorted(heights)
    assert [round(x * 510) for x, _ in data.trials] == [150, 360, 510]
    assert data.stair[0][1] == pytest.approx(data.y.place(0.3))
    assert data.stair[-1] == (1.0, pytest.approx(data.y.place(0.6)))
    assert best_so_far_svg(data).count("<circle") == 3


def test_losses_fall_and_no_score_is_no_figure():
    data = best_so_far(view_of([regression(0, 2.0), regression(1, 1.0)]))
    assert not data.accuracy
    assert data.stair[0][1] > data.stair[-1][1]
    assert best_so_far(view_of([exploded(0)])) is None
