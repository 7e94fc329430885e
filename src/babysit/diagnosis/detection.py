"""Runs the detectors of a door on one subject: their findings, and the questions that stayed open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeVar

from babysit.diagnosis.confidence import confidence_of
from babysit.diagnosis.problem import Detection, Detector, Problem, UnansweredError
from babysit.verdicts import Answer, Finding, Question, Severity

T = TypeVar("T")


class DetectorResults(NamedTuple):
    """The results of a door's detectors.

    Attributes:
        findings: in the order of the detectors.
        questions: one per problem.
    """

    findings: tuple[Finding, ...]
    questions: tuple[Question, ...]


class DetectorResult(NamedTuple):
    """The result of one detector.

    Attributes:
        question: its outcome: answered, not answered, or does not apply.
        finding: the problem that it found. Default: None.
    """

    question: Question
    finding: Finding | None = None


_OPEN_FIRST = (Answer.NOT_ANSWERED, Answer.ANSWERED, Answer.DOES_NOT_APPLY)


def run_detectors(
    detectors: Iterable[Detector[T]],
    subject: T,
    *,
    unit: str = "",
    left_out: Collection[Problem] = (),
) -> DetectorResults:
    """Runs detectors and collects their results. One that raises stays unanswered, and stops no other.

    Args:
        detectors: of the door.
        subject: a measured program, a watched run, or readings.
        unit: the unit of the findings' moments.
        left_out: problems whose detectors do not run.
    """
    findings: list[Finding] = []
    questions: dict[str, Question] = {}
    chosen = (each for each in detectors if each.problem not in left_out)
    for _, (question, finding) in run_each(chosen, subject, unit):
        known = questions.get(question.rule)
        # Two detectors of one problem use two signs of it: if one cannot answer, the question stays open.
        if known is None or _OPEN_FIRST.index(question.answer) < _OPEN_FIRST.index(known.answer):
            questions[question.rule] = question
        if finding is not None:
            findings.append(finding)
    for finding in findings:
        questions[finding.rule] = Question(finding.rule)
    return DetectorResults(tuple(findings), tuple(questions.values()))


def run_each(
    detectors: Iterable[Detector[T]], subject: T, unit: str = ""
) -> Iterator[tuple[Detector[T], DetectorResult]]:
    """Runs detectors one by one, and yields each with its result.

    Args:
        detectors: of the door.
        subject: a measured program, a watched run, or readings.
        unit: the unit of the findings' moments.
    """
    for detector in detectors:
        rule, severity = detector.problem.name, detector.severity or detector.problem.severity
        matters = severity is not Severity.INFO
        found = None
        try:
            unmet = next((need for need in detector.needs if not need.met(subject)), None)
            if unmet is None:
                answer, reason, found = Answer.ANSWERED, "", detector(subject)
            else:
                answer = Answer.NOT_ANSWERED if unmet.applies else Answer.DOES_NOT_APPLY
                reason = unmet.reason
        except UnansweredError as error:
            answer, reason = Answer.NOT_ANSWERED, str(error)
        except Exception as error:  # a subject may do anything; a detector must not stop the others
            first = (str(error).splitlines() or [""])[0][:120]
            answer, reason = Answer.NOT_ANSWERED, f"the question raised {type(error).__name__}: {first}"
        question = Question(rule, answer, reason, matters)
        yield detector, DetectorResult(question, None if found is None else finding_of(found, unit))


def finding_of(found: Detection, unit: str = "") -> Finding:
    """Builds the finding of a detection.

    Args:
        found: the detection, with its problem.
        unit: the unit of its moment.
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
