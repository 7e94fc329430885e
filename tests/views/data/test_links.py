"""Causes on a page, and the figures they lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.verdicts import Cause, Severity, Verdict
from babysit.views.data.links import link_of, linked_causes, linked_remarks
from babysit.views.svg.run_figures import KEYS
from views.studies import FINDING

OF_A_WATCH = "layers"
"""The one figure that the page of a watch has and that of a recorded run has not."""


def test_every_figure_of_the_catalogue_is_on_some_page():
    assert {key for problem in CATALOGUE.values() for key in problem.figures} <= {*KEYS, OF_A_WATCH}


@pytest.mark.parametrize("problem", [problem for problem in CATALOGUE.values() if problem.figures])
def test_the_first_figure_that_the_page_has_is_linked(problem):
    finding = replace(FINDING, rule=problem.name)
    for place, key in enumerate(problem.figures):
        assert link_of(finding, problem.figures[place:]) == key
    assert link_of(finding, ()) == ""


def test_a_problem_of_a_newer_babysit_has_no_figure():
    assert link_of(replace(FINDING, rule="of_tomorrow"), KEYS) == ""


def test_causes_are_numbered_and_remarks_stand_apart():
    info = replace(FINDING, severity=Severity.INFO, rule="still_improving")
    verdict = Verdict((Cause(info), Cause(FINDING, (info,), "x"), Cause(replace(FINDING, rule="dead_units"))))
    first, second = linked_causes(verdict, ["loss", "dead", "updates"])
    assert [(each.number, each.link) for each in (first, second)] == [(1, "updates"), (2, "dead")]
    assert first.explains == "explains: still_improving"
    assert first.details == ["fall 7e-05, expected 1e-2: why", "explains: still_improving", "x"]
    (remark,) = linked_remarks([info], ())
    assert remark.place == "cost, since epoch 1 (still_improving, 50% sure)"
    assert linked_causes(Verdict(), ["loss"]) == []
