"""The answers of a recipe's checks as a report."""

from __future__ import annotations

from babysit.checks.report import report_of_checks
from babysit.records import CheckResult, Severity, Status

PASS = CheckResult("initial_loss", Status.PASS, 2.3, "2.303", "fine")
DOUBT = CheckResult("initial_loss", Status.WARN, 2.8, "2.303", "centre the inputs")
FAIL = CheckResult("learning_rate_bracket", Status.FAIL, 0.03, "1e-9 among the usable", "search there")


def severities(*results):
    report = report_of_checks(results, "mine")
    return report.exit_code, [(finding.rule, finding.severity) for finding in report.findings]


def test_what_passes_is_silent():
    assert severities(PASS) == (0, [])
    assert str(report_of_checks([PASS], "mine")) == "mine: healthy, nothing looks wrong before training"


def test_a_doubt_alone_is_a_remark():
    assert severities(PASS, DOUBT) == (0, [("initial_loss", Severity.INFO)])


def test_a_failed_check_is_the_first_cause_and_a_doubt_beside_it_a_warning():
    expected = [("learning_rate_bracket", Severity.ERROR), ("initial_loss", Severity.WARNING)]
    assert severities(DOUBT, FAIL) == (1, expected)
    assert "learning rate bracket 0.03, expected 1e-9 among the usable" in str(report_of_checks([FAIL]))
