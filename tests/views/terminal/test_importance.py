"""What mattered: bars in the terminal and on the page, from a study's outcome as it was kept."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any
from xml.etree import ElementTree

import pytest

from babysit.views.data.importance import bars
from babysit.views.html.report import render_report
from babysit.views.svg.elements import ACCENT, MUTED
from babysit.views.svg.importance import importance_svg
from babysit.views.terminal.importance import importance_view
from babysit.views.terminal.search import edges_panel
from views.studies import EDGE, EVIL, printed, search, study


def knob(name: str, correlation: float | None, strength: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "correlation": correlation,
        "strength": strength,
        "matters": True,
        "fanova": None,
        **more,
    }


STAGES = [
    {"stage": "coarse", "knobs": [knob("learning_rate", 0.815, 0.815, fanova=0.966), knob("act", None, 0.5)]},
    {"stage": "fine", "knobs": [knob("l2", -0.01, 0.01, matters=False)]},
]


def test_every_knob_has_a_bar_as_long_as_its_share() -> None:
    text = printed(importance_view(STAGES, "a note"))
    lines = {
        name: line for line in text.splitlines() for name in ("learning_rate", "act", "l2") if name in line
    }
    assert [lines[name].count("█") for name in ("learning_rate", "act", "l2")] == [13, 8, 0]
    assert "+0.81" in lines["learning_rate"]
    assert "96.6 %" in lines["learning_rate"]
    assert "–" in lines["act"]
    assert "no more than chance" in text
    assert "correlation ratio" in text
    assert "a note" in text
    assert max(map(len, text.splitlines())) <= 80


def test_without_functional_anova_there_is_no_empty_column() -> None:
    assert "variance" not in printed(importance_view(STAGES[1:]))
    assert "Too few trials" in printed(importance_view([]))


def test_odd_names_and_old_outcomes_do_no_harm() -> None:
    assert EVIL[:20] in printed(importance_view([{"stage": "s", "knobs": [knob(EVIL, 1.0, 7.0)]}])).replace(
        "\n", ""
    )
    assert bars({}) == []
    assert bars({"knobs": [None, {}]})[0].share == 0


def test_the_report_shows_bars_counts_and_silenced_alarms() -> None:
    edge = replace(EDGE, message="2 of the 5 best lie in the last 10% of its log range", near=2, top=5)
    quiet = replace(EDGE, name="l2", silenced=f"nothing better was found there {EVIL}")
    view = search()
    outcome = {
        **view.study.outcome,
        "edges": [asdict(edge)],
        "silenced": [asdict(quiet)],
        "importance": STAGES,
        "importance_note": "functional ANOVA is left out",
    }
    page = render_report(replace(view, study=study(outcome)))
    for part in (
        "Importance of the hyperparameters",
        "rank correlation +0.81; ",
        "96.6 % of the variance",
        "correlation ratio 0.50",
        "functional ANOVA is left out",
        "2 of the 5 best lie in the last 10%",
        "no alarm: the best l2",
    ):
        assert part in page
    assert EVIL not in page
    assert "Importance of the hyperparameters" not in render_report(
        view
    )  # of a study from before there was such a thing


def test_the_figure_has_bars_in_proportion_and_greys_what_chance_explains() -> None:
    root = ElementTree.fromstring(importance_svg([*STAGES, {"stage": EVIL, "knobs": [knob(EVIL, 1.0, 7.0)]}]))
    rows = root.findall("{*}g")
    widths = [[float(bar.get("width", "")) for bar in row.findall("{*}rect")] for row in rows]
    shares = [filled[0] / track if filled else 0.0 for track, *filled in widths]
    assert shares == pytest.approx([0.815, 0.5, 0.01, 1.0], abs=1e-3)
    colours = [[bar.get("fill") for bar in row.findall("{*}rect")][-1] for row in rows]
    assert colours == [ACCENT, ACCENT, MUTED, ACCENT]
    assert [row.findtext("{*}title") for row in rows] == ["learning_rate", "act", "l2", EVIL]


def test_a_silenced_alarm_is_a_line_and_no_panel() -> None:
    quiet = replace(EDGE, name="l2", silenced="nothing better was found there")
    text = printed(edges_panel([], [quiet]))
    assert "worrying" not in text
    assert "no alarm: the best l2" in text
    assert "All other best values lie well inside" in text
    both = printed(edges_panel([EDGE], [quiet]))
    assert "worrying" in both
    assert "no alarm: the best l2" in both
