"""Running detectors: findings, open questions with their reasons; a detector that fails stops no other."""

from __future__ import annotations

from types import ModuleType

import pytest

from babysit.diagnosis import detection
from babysit.diagnosis.detection import DetectorResults, finding_of, run_detectors, run_each
from babysit.diagnosis.problem import (
    Detection,
    Need,
    Problem,
    UnansweredError,
    detectors_in,
    detects,
    evidence,
)
from babysit.verdicts import Answer, Finding, Question, Severity

LOW = Problem(name="low", summary="It is low.", fix="raise it", source="a book")
HIGH = Problem(name="high", summary="It is high.", fix="lower it", source="a slide", severity=Severity.ERROR)
QUIET = Problem(name="quiet", summary="It is quiet.", fix="wait", source="a note", severity=Severity.INFO)

KNOWN = Need[list](bool, "nothing was measured")
LONG = Need[list](lambda given: len(given) > 2, "fewer than 3 values", applies=False)


@detects(LOW, reason="zero is the middle")
def below_zero(given):
    """A value below zero,
    in any place.

    More is said here, and is no part of the signal.
    """
    if min(given, default=0) >= 0:
        return None
    return Detection(where="values", message="too low", evidence=evidence("value", min(given), "0"), since=3)


@detects(HIGH)
def above_ten(given):
    """A value above ten."""
    return (
        Detection(where="values", message="too high", fix="halve it") if max(given, default=0) > 10 else None
    )


@detects(QUIET, needs=(KNOWN, LONG))
def all_equal(given):
    """One value only."""
    return Detection(where="values", message="all equal") if len(set(given)) == 1 else None


EVERY = (below_zero, above_ten, all_equal)


def failing(problem, error, **options):
    @detects(problem, **options)
    def fails(given):
        """Never tells."""
        raise error

    return fails


def constant(problem, **options):
    @detects(problem, **options)
    def says_so(given):
        """Always there."""
        return Detection(where="values", message="as always")

    return says_so


def answers(asked):
    return {
        question.rule: (question.answer, question.reason, question.matters) for question in asked.questions
    }


FINE = (Answer.ANSWERED, "", True)


def test_a_detector_takes_its_signal_and_its_key_from_its_function():
    assert below_zero.signal == "A value below zero, in any place."
    assert below_zero.key.endswith(".below_zero")
    assert (below_zero.problem, below_zero.reason, below_zero.severity) == (LOW, "zero is the middle", None)


def test_a_detector_that_is_called_names_its_problem_severity_and_itself():
    assert below_zero([1]) is None
    seen = below_zero([-1])
    assert (seen.problem, seen.severity, seen.detector) == (LOW, Severity.WARNING, below_zero.key)


@pytest.mark.parametrize(
    ("of_detector", "of_detection", "severity"),
    [
        (None, None, Severity.ERROR),
        (Severity.WARNING, None, Severity.WARNING),
        (Severity.WARNING, Severity.INFO, Severity.INFO),
        (None, Severity.INFO, Severity.INFO),
    ],
)
def test_the_detections_severity_counts_then_the_detectors_then_the_problems(
    of_detector, of_detection, severity
):
    @detects(HIGH, severity=of_detector)
    def seen(given):
        """Always there."""
        return Detection(where="values", message="there", severity=of_detection)

    assert seen([]).severity is severity
    assert run_detectors([seen], []).findings[0].severity is severity


def test_every_question_is_answered_where_nothing_is_wrong():
    asked = run_detectors(EVERY, [1, 2, 3])
    assert asked.findings == ()
    assert answers(asked) == {"low": FINE, "high": FINE, "quiet": (Answer.ANSWERED, "", False)}


def test_a_finding_has_the_numbers_of_its_detection_and_the_words_of_its_problem(monkeypatch):
    monkeypatch.setattr(detection, "confidence_of", {below_zero.key: 0.8, above_ten.key: 0.6}.__getitem__)
    low, high = run_detectors(EVERY, [-5, 11], unit="step").findings
    assert low == Finding(
        "low",
        Severity.WARNING,
        "values",
        3,
        "too low",
        evidence("value", -5, "0"),
        "raise it",
        "a book",
        "step",
        0.8,
    )
    assert (high.rule, high.severity, high.advice, high.confidence) == (
        "high",
        Severity.ERROR,
        "halve it",
        0.6,
    )
    assert run_detectors(EVERY, [-5]).findings[0].unit == "epoch"


# What stays open


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("one line\nand another"), "ValueError: one line"),
        (RuntimeError(""), "RuntimeError: "),
        (RuntimeError("x" * 500), "RuntimeError: " + "x" * 120),
    ],
)
def test_a_detector_that_raises_is_not_answered_and_stops_no_other(error, reason):
    asked = run_detectors([failing(LOW, error), above_ten], [11])
    assert answers(asked) == {
        "low": (Answer.NOT_ANSWERED, f"the question raised {reason}", True),
        "high": FINE,
    }
    assert [finding.rule for finding in asked.findings] == ["high"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_an_interrupt_is_not_a_detectors_to_keep(error):
    with pytest.raises(type(error)):
        run_detectors([failing(LOW, error)], [])


def test_a_detector_that_cannot_tell_says_why():
    asked = run_detectors([failing(LOW, UnansweredError("only 3 steps")), above_ten], [1])
    assert answers(asked) == {"low": (Answer.NOT_ANSWERED, "only 3 steps", True), "high": FINE}


def test_an_unmet_need_leaves_the_question_open_or_does_not_apply():
    assert answers(run_detectors([all_equal], []))["quiet"] == (
        Answer.NOT_ANSWERED,
        "nothing was measured",
        False,
    )
    assert answers(run_detectors([all_equal], [1]))["quiet"] == (
        Answer.DOES_NOT_APPLY,
        "fewer than 3 values",
        False,
    )
    asked = run_detectors([all_equal], [1, 1, 1])
    assert answers(asked)["quiet"] == (Answer.ANSWERED, "", True)  # asked and found
    assert [finding.rule for finding in asked.findings] == ["quiet"]


def test_the_first_unmet_need_is_the_reason_and_nothing_is_looked_at():
    needs = (Need[list](bool, "empty", applies=False), Need[list](lambda given: False, "never"))
    asked = run_detectors([failing(LOW, AssertionError("looked"), needs=needs)], [])
    assert answers(asked) == {"low": (Answer.DOES_NOT_APPLY, "empty", True)}
    asked = run_detectors([failing(LOW, AssertionError("looked"), needs=needs)], [1])
    assert answers(asked) == {"low": (Answer.NOT_ANSWERED, "never", True)}


def test_a_need_that_raises_leaves_the_question_open_too():
    broken = Need[list](lambda given: given[0] > 0, "never said")
    asked = run_detectors([constant(LOW, needs=(broken,)), above_ten], [])
    assert asked.findings == ()
    assert answers(asked)["low"] == (
        Answer.NOT_ANSWERED,
        "the question raised IndexError: list index out of range",
        True,
    )


def test_a_question_matters_where_its_finding_would_be_a_warning_or_an_error():
    assert answers(run_detectors([failing(QUIET, ValueError())], []))["quiet"][2] is False
    assert answers(run_detectors([failing(HIGH, ValueError())], []))["high"][2] is True
    assert (
        answers(run_detectors([failing(HIGH, ValueError(), severity=Severity.INFO)], []))["high"][2] is False
    )


# Several detectors of one problem


def test_one_of_two_detectors_of_a_problem_that_cannot_tell_leaves_it_open():
    """They look at two signs of it: the other one's silence does not exclude the problem."""
    open_one = failing(LOW, UnansweredError("only 3 steps"))
    apart = failing(LOW, AssertionError(), needs=(Need[list](lambda given: False, "no such layer", False),))
    for detectors in ([below_zero, open_one], [open_one, below_zero]):
        assert answers(run_detectors(detectors, [1])) == {"low": (Answer.NOT_ANSWERED, "only 3 steps", True)}
    for detectors in ([below_zero, apart], [apart, below_zero]):
        assert answers(run_detectors(detectors, [1])) == {"low": FINE}
    for detectors in ([apart, open_one], [open_one, apart]):
        assert answers(run_detectors(detectors, [1])) == {"low": (Answer.NOT_ANSWERED, "only 3 steps", True)}


def test_a_problem_that_one_of_two_detectors_found_is_answered():
    open_one = failing(LOW, UnansweredError("only 3 steps"))
    for detectors in ([below_zero, open_one], [open_one, below_zero]):
        asked = run_detectors(detectors, [-1])
        assert answers(asked) == {"low": FINE}
        assert [finding.message for finding in asked.findings] == ["too low"]


def test_both_findings_of_two_detectors_of_a_problem_are_kept_for_the_reasoner():
    asked = run_detectors([below_zero, constant(LOW)], [-1])
    assert [finding.message for finding in asked.findings] == ["too low", "as always"]
    assert asked.questions == (Question("low"),)


def test_a_detector_may_find_another_problem_than_the_one_that_it_asks_for():
    @detects(LOW)
    def tells_which(given):
        """Some problem."""
        return Detection(where="values", message="it is the other", problem=HIGH)

    asked = run_detectors([tells_which], [])
    assert [(finding.rule, finding.severity) for finding in asked.findings] == [("high", Severity.ERROR)]
    assert asked.questions == (Question("low"), Question("high"))


# What is asked


def test_problems_left_out_are_not_asked():
    asked = run_detectors(EVERY, [-1, 11], left_out=(LOW, QUIET))
    assert asked.questions == (Question("high"),)
    assert [finding.rule for finding in asked.findings] == ["high"]
    assert run_detectors(EVERY, [-1], left_out=(LOW, HIGH, QUIET)) == DetectorResults((), ())
    assert run_detectors([], [-1]) == DetectorResults((), ())


def test_running_each_yields_each_detector_with_its_result():
    results = list(run_each([*EVERY, constant(LOW)], [-1, 3], unit="line"))
    assert [detector.key.rpartition(".")[2] for detector, _ in results] == [
        "below_zero",
        "above_ten",
        "all_equal",
        "says_so",
    ]
    assert [found.finding and found.finding.message for _, found in results] == [
        "too low",
        None,
        None,
        "as always",
    ]
    assert [found.question.answer for _, found in results] == [
        Answer.ANSWERED,
        Answer.ANSWERED,
        Answer.DOES_NOT_APPLY,
        Answer.ANSWERED,
    ]
    assert results[0][1].finding.unit == "line"


def test_detectors_of_modules_are_collected_once_in_their_order():
    one, other = ModuleType("one"), ModuleType("other")
    one.first, one.number, one.second = below_zero, 3, above_ten
    other.again, other.third = above_ten, all_equal
    assert detectors_in(one, other) == EVERY


def test_a_detection_without_a_problem_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="a detection without a problem: lost"):
        finding_of(Detection(where="nowhere", message="lost"))
