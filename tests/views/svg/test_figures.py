"""SVG: well formed, escaped, labelled, and not by colour alone."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from babysit.records import Result, Trial
from babysit.views.data.scatter import range_strip, scatter
from babysit.views.data.series import loss_curves, run_costs, run_scores, spark
from babysit.views.data.study import StudyView
from babysit.views.svg import figures
from babysit.views.svg.elements import element, path, ramp_colour, short
from views.studies import EDGE, EVIL, complete, costs_of, exploded, regression, search, view_of

SVG = "{http://www.w3.org/2000/svg}"


def evil_search() -> StudyView:
    results = [
        Result(Trial(0, number, {EVIL: 10.0**-number, "b": number}), complete(0, 0.1 * number).run)
        for number in range(3)
    ]
    return view_of(results, stages=())


def drawn(view: StudyView) -> list[str]:
    best = view.best
    parts = [(scatter(view), figures.scatter_svg), (loss_curves(view), figures.loss_curves_svg)]
    if best is not None:
        parts.append((run_costs(best.run, costs_of(best)), figures.run_costs_svg))
        parts.append((run_scores(best.run.readings), figures.scores_svg))
    return [draw(data) for data, draw in parts if data is not None]


@pytest.mark.parametrize(
    "view",
    [
        search(),
        search(40),
        evil_search(),
        view_of([complete(0, 0.4)]),
        view_of([exploded(0), exploded(1)]),
        view_of([regression(0, 1.0), regression(1, 2.0)]),
    ],
    ids=["search", "many", "evil", "one", "exploded", "regression"],
)
def test_every_figure_is_well_formed(view: StudyView) -> None:
    shown = drawn(view)
    assert shown
    for text in shown:
        root = ElementTree.fromstring(text)
        assert root.tag == f"{SVG}svg"
        assert root.get("aria-label")
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "nan" not in "".join(value for node in root.iter() for value in node.attrib.values())
        assert root.find(f".//{SVG}script") is None


def test_axes_are_labelled_and_points_have_tooltips() -> None:
    data = scatter(search())
    assert data is not None
    root = ElementTree.fromstring(figures.scatter_svg(data))
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert {"learning_rate", "l2", "1e-6", "1e-3", "coarse", "exploded", "best"} <= set(words)
    titles = [node.text or "" for node in root.iter(f"{SVG}title")]
    assert any("coarse 5: learning_rate" in title for title in titles)
    # An exploded trial is a cross, not a dot of another colour.
    crosses = [node for node in root.iter(f"{SVG}path") if node.find(f"{SVG}title") is not None]
    assert len(crosses) == 2


def test_user_names_are_escaped() -> None:
    data = scatter(evil_search(), [EVIL, "b"])
    assert data is not None
    text = figures.scatter_svg(data)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_sparks_are_small_and_mark_explosions() -> None:
    calm = figures.spark_svg(spark(costs_of(complete(0, 0.5))[1]))
    wild = figures.spark_svg(spark(costs_of(exploded(0))[1], exploded=True))
    assert len(calm) < 800
    assert (calm.count("<path"), wild.count("<path")) == (1, 2)
    assert figures.spark_svg(spark([])) == ""


def test_the_strip_is_drawn() -> None:
    data = range_strip(EDGE)
    assert data is not None
    root = ElementTree.fromstring(figures.range_strip_svg(data))
    assert [node.text for node in root.iter(f"{SVG}title")] == ["searched", "search next", "best value"]


def test_the_parts() -> None:
    assert element("a", "b", id='"<') == '<a id="&quot;&lt;">b</a>'
    assert path([(0.0, 1.25), (10.04, 2.0)]) == "M0 1.2L10 2.0"
    assert short(-0.0001) == "0"
    assert len({ramp_colour(index / 8) for index in range(9)}) == 9
    assert ramp_colour(2.0) == ramp_colour(1.0)
    assert ramp_colour(float("nan")) == "var(--muted, #777)"
