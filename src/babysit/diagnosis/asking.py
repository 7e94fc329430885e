"""Asks the detectors of a door about one subject: what they found, and which questions stayed open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeVar

from babysit.diagnosis.confidence import confidence_of
from babysit.diagnosis.problem import Detection, Detector, Problem, UnansweredError
from babysit.verdicts import Answer, Finding, Question, Severity

T = TypeVar("T")


class Asked(NamedTuple):
    """The answers of a door.

    Attributes:
        findings: in the order of the detectors.
        questions: one a detector.
    """

    findings: tuple[Finding, ...]
    questions: tuple[Question, ...]


def ask(
    detectors: Iterable[Detector[T]],
    subject: T,
    *,
    unit: str = "",
    left_out: Collection[Problem] = (),
) -> Asked:
    """Asks each detector. One that raises stays unanswered, and stops no other.

    Args:
        detectors: of the door.
        subject: a measured program, a watched run, or readings.
        unit: what the moments of findings count.
        left_out: problems not to ask about.
    """
    findings: list[Finding] = []
    questions: dict[str, Question] = {}
    for _, (question, finding) in look(
        (each for each in detectors if each.problem not in left_out), subject, unit
    ):
        known = questions.get(question.rule)
        # Two detectors of one problem look at two signs of it: one of them unanswered leaves it open.
        if known is None or _OPEN.index(question.answer) < _OPEN.index(known.answer):
            questions[question.rule] = question
        if finding is not None:
            findings.append(finding)
    for finding in findings:
        questions[finding.rule] = Question(finding.rule)
    return Asked(tuple(findings), tuple(questions.values()))


class Looked(NamedTuple):
    """The answer of one detector.

    Attributes:
        question: whether it was answered.
        finding: what it found; None where it found nothing.
    """

    question: Question
    finding: Finding | None


def look(
    detectors: Iterable[Detector[T]], subject: T, unit: str = ""
) -> Iterator[tuple[Detector[T], Looked]]:
    """Asks detectors one by one, and yields each with its answer.

    Args:
        detectors: of the door.
        subject: a measured program, a watched run, or readings.
        unit: what the moments of findings count.
    """
    for detector in detectors:
        question, found = _asked(detector, subject)
        yield detector, Looked(question, None if found is None else finding_of(found, unit))


_OPEN = (Answer.NOT_ANSWERED, Answer.ANSWERED, Answer.DOES_NOT_APPLY)


def _asked(detector: Detector[T], subject: T) -> tuple[Question, Detection | None]:
    rule, severity = detector.problem.name, detector.severity or detector.problem.severity
    matters = severity is not Severity.INFO
    try:
        unmet = next((need for need in detector.needs if not need.met(subject)), None)
        if unmet is None:
            return Question(rule, matters=matters), detector(subject)
        answer, reason = Answer.NOT_ANSWERED if unmet.applies else Answer.DOES_NOT_APPLY, unmet.reason
    except UnansweredError as error:
        answer, reason = Answer.NOT_ANSWERED, str(error)
    except Exception as error:  # a subject may do anything; a detector must not stop the others
        first = (str(error).splitlines() or [""])[0][:120]
        answer, reason = Answer.NOT_ANSWERED, f"the question raised {type(error).__name__}: {first}"
    return Question(rule, answer, reason, matters), None


def finding_of(found: Detection, unit: str = "") -> Finding:
    """Makes a detection a finding.

    Args:
        found: with its problem.
        unit: what its moment counts.
    """
    problem = found.problem
    if problem is None:
        raise TypeError(f"a detection without a problem: {found.message}")
    return Finding(
        rule=problem.name,
        severity=found.severity or problem.severity,
        where=found.where,
        since=found.since,
        message=found.message,
        evidence=found.evidence,
        advice=found.fix or problem.fix,
        source=problem.source,
        unit=unit or "epoch",
        confidence=confidence_of(found.detector),
    )
