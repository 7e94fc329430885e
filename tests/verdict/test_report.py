"""The one report: what is a cause, what is told, and what leaves as data."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from babysit.records import Cause, Evidence, Finding, Severity
from babysit.verdict.report import Report, ranked

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
)
SYMPTOM = replace(CAUSE, rule="rate_too_high", severity=Severity.WARNING, since=9, evidence=())
REMARK = replace(SYMPTOM, rule="plateau", severity=Severity.INFO, message="it stands still")
SICK = Report("mnist", (Cause(CAUSE, 0.95, (SYMPTOM,)),), (REMARK,), ("loss 2 -> 1",), steps=500)


def test_a_sick_report_is_false_and_exits_with_1():
    assert not SICK
    assert not SICK.healthy
    assert SICK.exit_code == 1
    with pytest.raises(AssertionError, match="zero_grad"):
        SICK.raise_if_unhealthy()


def test_remarks_alone_are_healthy():
    for quiet in (Report("mnist", remarks=(REMARK,)), Report("mnist", (Cause(REMARK, 0.4),))):
        assert quiet
        assert quiet.exit_code == 0
        quiet.raise_if_unhealthy()
        assert str(quiet) == ("mnist: healthy: 1 remark\ninfo: it stands still (call optimizer.zero_grad())")


def test_findings_hold_causes_symptoms_and_remarks_once_the_gravest_first():
    twice = replace(SICK, causes=(*SICK.causes, Cause(replace(CAUSE, where="else"), 0.5, (SYMPTOM,))))
    assert [finding.rule for finding in SICK.findings] == [CAUSE.rule, "rate_too_high", "plateau"]
    assert [finding.rule for finding in twice.findings].count("rate_too_high") == 1


def test_the_text_says_where_since_when_how_sure_what_for_and_what_to_do():
    assert str(SICK).splitlines() == [
        "mnist: not healthy after 500 steps: 1 error, 1 warning, 1 remark",
        "1. error: the gradients are not zeroed",
        "   optimizer, since step 3 (gradients_not_zeroed, 95% sure)",
        "   leftover share 1, expected 0: they add up",
        "   odd nan, expected a number",
        "   explains: rate_too_high",
        "   -> call optimizer.zero_grad()",
        "info: it stands still (call optimizer.zero_grad())",
        "  loss 2 -> 1",
    ]


@pytest.mark.parametrize(
    ("unit", "since", "words"), [("step", 3, "since step 3"), ("epoch", 2, "since epoch 2"), ("epoch", 0, "")]
)
def test_a_moment_names_its_unit(unit, since, words):
    assert replace(CAUSE, unit=unit, since=since).moment == words


def test_long_lines_are_wrapped():
    long = replace(CAUSE, message="word " * 60)
    assert max(map(len, str(Report("run", (Cause(long, 0.9),))).splitlines())) <= 100


def test_the_data_is_json_without_nan():
    data = json.loads(SICK.as_json())
    assert data["causes"][0]["confidence"] == 0.95
    assert data["causes"][0]["symptoms"][0]["rule"] == "rate_too_high"
    assert data["findings"][0]["evidence"][1]["value"] is None
    assert data["findings"][0]["unit"] == "step"
    assert (data["healthy"], data["steps"], data["facts"]) == (False, 500, ["loss 2 -> 1"])


def test_causes_are_ranked_by_severity_then_certainty():
    causes = [Cause(SYMPTOM, 0.9), Cause(CAUSE, 0.2), Cause(CAUSE, 0.8), Cause(REMARK, 1.0)]
    assert [cause.confidence for cause in ranked(causes)] == [0.8, 0.2, 0.9, 1.0]
