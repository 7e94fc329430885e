"""The report: its causes and symptoms, its verdict in one word, its text and its data."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from babysit.diagnosis.report import Report
from babysit.verdicts import Answer, Cause, Evidence, Finding, Health, Question, Severity

CAUSE = Finding(
    "gradients_not_zeroed",
    Severity.ERROR,
    "optimizer",
    3,
    "the gradients are not zeroed",
    (Evidence("leftover share", 1.0, "0", "they add up"), Evidence("odd", math.nan, "a number", "")),
    "call optimizer.zero_grad()",
    "a source",
    "step",
    confidence=0.95,
)
SYMPTOM = replace(CAUSE, rule="learning_rate_too_high", severity=Severity.WARNING, since=9, evidence=())
REMARK = replace(SYMPTOM, rule="plateau", severity=Severity.INFO, message="it stands still")
ASKED = Question("gradients_not_zeroed"), Question("plateau", matters=False)
OPEN = Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps")
SICK = Report(
    name="mnist",
    causes=(Cause(CAUSE, (SYMPTOM,)), Cause(REMARK)),
    questions=ASKED,
    facts=("loss 2 -> 1",),
    steps=500,
)


def test_a_sick_report_is_false_and_exits_with_1():
    assert not SICK
    assert not SICK.healthy
    assert SICK.health is Health.UNHEALTHY
    assert SICK.exit_code == 1
    with pytest.raises(AssertionError, match="zero_grad"):
        SICK.raise_if_unhealthy()


def test_remarks_alone_are_healthy():
    quiet = Report(name="mnist", causes=(Cause(REMARK),), questions=ASKED)
    assert quiet
    assert quiet.healthy
    assert quiet.exit_code == 0
    quiet.raise_if_unhealthy()
    assert str(quiet) == (
        "mnist: healthy: nothing wrong in 2 questions, 1 remark\n"
        "info: it stands still (call optimizer.zero_grad())"
    )


@pytest.mark.parametrize(
    ("questions", "health"),
    [
        ((), Health.UNDECIDED),
        (ASKED, Health.HEALTHY),
        ((*ASKED, OPEN), Health.UNDECIDED),
        ((OPEN,), Health.UNDECIDED),
        ((*ASKED, replace(OPEN, matters=False)), Health.HEALTHY),
        ((*ASKED, replace(OPEN, answer=Answer.DOES_NOT_APPLY)), Health.HEALTHY),
        ((replace(OPEN, answer=Answer.DOES_NOT_APPLY),), Health.UNDECIDED),
    ],
)
def test_a_report_is_healthy_only_where_all_that_matters_was_asked_and_answered(questions, health):
    report = Report(causes=(Cause(REMARK),), questions=questions)
    assert report.health is health
    assert report.healthy is (health is Health.HEALTHY)
    assert report
    assert report.exit_code == 0
    report.raise_if_unhealthy()
    assert Report(causes=(Cause(SYMPTOM),), questions=questions).health is Health.UNHEALTHY


def test_findings_hold_causes_symptoms_and_remarks_once_the_most_severe_first():
    twice = replace(SICK, causes=(*SICK.causes, Cause(replace(CAUSE, where="else"), (SYMPTOM,))))
    assert [finding.rule for finding in SICK.findings] == [CAUSE.rule, "learning_rate_too_high", "plateau"]
    assert [finding.rule for finding in twice.findings].count("learning_rate_too_high") == 1


def test_serious_causes_and_quiet_findings_are_told_apart():
    assert [cause.rule for cause in SICK.causes] == ["gradients_not_zeroed", "plateau"]
    assert [cause.rule for cause in SICK.serious] == ["gradients_not_zeroed"]
    assert SICK.quiet == (REMARK,)


def test_an_info_finding_that_a_serious_cause_explains_is_named_there_and_gives_no_advice_of_its_own():
    """A rate that is too low is to be raised; the plateau that it makes would say to lower it."""
    low = replace(SYMPTOM, rule="learning_rate_too_low", message="too low", advice="raise the rate")
    report = Report(name="run", causes=(Cause(low, (replace(REMARK, advice="lower the rate"),)),))
    assert report.quiet == ()
    assert "explains: plateau" in str(report)
    assert "raise the rate" in str(report)
    assert "lower the rate" not in str(report) + report._repr_html_()
    assert [finding.rule for finding in report.findings] == ["learning_rate_too_low", "plateau"]


def test_an_info_finding_that_only_a_remark_explains_is_told_too():
    scaled = replace(REMARK, rule="inputs_not_scaled", message="too large")
    report = Report(causes=(Cause(scaled, (REMARK,)),), questions=ASKED)
    assert report.quiet == (scaled, REMARK)
    assert str(report).splitlines()[1:] == [
        "info: too large (call optimizer.zero_grad())",
        "info: it stands still (call optimizer.zero_grad())",
    ]


def test_the_text_says_where_since_when_how_sure_what_for_and_what_to_do():
    assert str(SICK).splitlines() == [
        "mnist: not healthy after 500 steps: 1 error, 1 warning, 1 remark",
        "1. error: the gradients are not zeroed",
        "   optimizer, since step 3 (gradients_not_zeroed, 95% sure)",
        "   leftover share 1, expected 0: they add up",
        "   odd nan, expected a number",
        "   explains: learning_rate_too_high",
        "   -> call optimizer.zero_grad()",
        "info: it stands still (call optimizer.zero_grad())",
        "  loss 2 -> 1",
    ]


def test_the_text_says_what_was_not_answered():
    assert str(replace(SICK, questions=(*ASKED, OPEN))).splitlines()[-2:] == [
        "  not answered (only 3 steps): dead units",
        "  loss 2 -> 1",
    ]


@pytest.mark.parametrize(
    ("unit", "since", "words"), [("step", 3, "since step 3"), ("epoch", 2, "since epoch 2"), ("epoch", 0, "")]
)
def test_a_moment_names_its_unit(unit, since, words):
    assert replace(CAUSE, unit=unit, since=since).moment == words


def test_long_lines_are_wrapped():
    long = replace(CAUSE, message="word " * 60)
    report = Report(name="run", causes=(Cause(long), Cause(replace(REMARK, message="word " * 60))))
    assert max(map(len, str(report).splitlines())) <= 100


def test_the_data_is_json_without_nan():
    data = json.loads(replace(SICK, questions=(*ASKED, OPEN)).as_json())
    assert data["causes"][0]["confidence"] == 0.95
    assert data["causes"][0]["symptoms"][0]["rule"] == "learning_rate_too_high"
    assert data["findings"][0]["evidence"][1]["value"] is None
    assert data["findings"][0]["unit"] == "step"
    assert (data["healthy"], data["steps"], data["facts"]) == (False, 500, ["loss 2 -> 1"])
    assert (data["verdict"], data["name"], data["when"]) == ("unhealthy", "mnist", "")
    assert data["questions"][-1] == {
        "rule": "dead_units",
        "answer": "not answered",
        "reason": "only 3 steps",
        "matters": True,
    }
