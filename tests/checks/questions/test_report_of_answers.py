"""The answers to the lecture's five questions as a report."""

from __future__ import annotations

import pytest

from babysit.checks.questions.ask import CHECKS, report_of_answers
from babysit.verdicts import CheckResult, Severity, Status

PASS = CheckResult("initial_loss", Status.PASS, 2.3, "2.303", "fine")
DOUBT = CheckResult("initial_loss", Status.WARN, 2.8, "2.303", "centre the inputs")
FAIL = CheckResult("learning_rate_bracket", Status.FAIL, 0.03, "1e-9 among the usable", "search there")


def severities(*results):
    report = report_of_answers(results, "mine")
    return report.exit_code, [(finding.rule, finding.severity) for finding in report.findings]


def test_what_passes_is_silent():
    assert severities(PASS) == (0, [])
    expected = "mine: healthy before training: nothing wrong in 1 question"
    assert str(report_of_answers([PASS], "mine")) == expected


def test_a_doubt_alone_is_a_remark():
    assert severities(PASS, DOUBT) == (0, [("first_loss_not_at_chance", Severity.INFO)])


def test_a_failed_check_is_the_first_cause_and_a_doubt_beside_it_a_warning():
    expected = [
        ("learning_rate_outside_usable_range", Severity.ERROR),
        ("first_loss_not_at_chance", Severity.WARNING),
    ]
    assert severities(DOUBT, FAIL) == (1, expected)
    report = report_of_answers([FAIL])
    assert "learning rate bracket 0.03, expected 1e-9 among the usable" in str(report)
    assert report.causes[0].finding.advice == "search there"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_question_that_fails_names_its_problem(check):
    report = report_of_answers([CheckResult(check.__name__, Status.FAIL, 1.0, "2", "do it")])
    assert [cause.rule for cause in report.causes] == [CHECKS[check].name]
    assert report.causes[0].finding.severity is Severity.ERROR
