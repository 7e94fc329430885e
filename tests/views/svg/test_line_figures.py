"""Marks and levels on curves: labels that would lie on each other are one."""

from __future__ import annotations

import re

from babysit.views.data.lines import Lines, Mark, drawn, step_axis
from babysit.views.svg.line_figures import lines_svg

X = step_axis(100)


def svg(*marks: Mark) -> str:
    data = drawn(X, {"a": [(1, 1.0), (100, 2.0)]}, "loss", log=False)
    assert isinstance(data, Lines)
    return lines_svg(data._replace(marks=marks), "loss")


def labels(*marks: Mark) -> list[str]:
    return re.findall(r'font-weight="700"[^>]*>([^<]*)</text>', svg(*marks))


def test_marks_apart_have_labels_of_their_own():
    assert labels(Mark(0.1, "1", "first"), Mark(0.9, "exploded", "then")) == ["1", "exploded"]


def test_marks_at_one_place_share_a_label():
    assert labels(Mark(0.0, "3", "third"), Mark(0.0, "1", "first"), Mark(0.0, "1", "again")) == ["3, 1"]


def test_a_long_label_takes_in_the_mark_that_it_would_cover():
    assert labels(Mark(0.91, "1", "first"), Mark(1.0, "exploded", "then")) == ["1, exploded"]
    both = svg(Mark(0.91, "1", "first"), Mark(1.0, "exploded", "then"))
    assert "<title>first</title>" in both
    assert "<title>first; then</title>" in both


def test_a_label_that_grew_takes_in_its_neighbour():
    marks = (Mark(0.72, "lr × 0.9", "lower"), Mark(0.91, "1", "first"), Mark(1.0, "exploded", "then"))
    assert labels(*marks[:2]) == ["lr × 0.9", "1"]
    assert labels(*marks) == ["lr × 0.9, 1, exploded"]


def test_a_label_is_red_where_one_of_its_marks_is():
    calm = Mark(0.5, "lr × 0.5", "halved", bad=False)
    assert "var(--bad" not in svg(calm)
    assert "var(--bad" in svg(calm, Mark(0.5, "1", "first"))


def test_marks_beyond_the_axis_are_not_drawn():
    assert labels(Mark(1.2, "1", "first")) == []
