"""Converts verdicts to rows of ``findings`` and ``verdicts``, and rows back to verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row

from babysit.store.failures import reads
from babysit.store.old_names import OLD_CONFIDENCE, new_name
from babysit.store.rows import Values, must_be
from babysit.store.schema import findings, verdicts
from babysit.store.statements import append, forget
from babysit.verdicts import Answer, Cause, Evidence, Finding, Question, Severity, Verdict

_RULES, _MINOR = "rules", "minor"


def save_verdicts(connection: Connection, found: Mapping[int, Verdict]) -> None:
    """Writes verdicts, and replaces earlier ones.

    Args:
        connection: in a transaction.
        found: row of ``trials`` -> verdict.
    """
    forget(connection, found, (findings, verdicts))
    append(connection, findings, [row for each in found.items() for row in finding_rows(*each)])
    rows = [
        {
            "trial": trial,
            "when": verdict.when,
            "steps": verdict.steps,
            "facts": list(verdict.facts),
            "questions": questions_data(verdict.questions),
        }
        for trial, verdict in found.items()
    ]
    append(connection, verdicts, rows)


def finding_rows(trial: int, verdict: Verdict) -> list[Values]:
    """Builds the rows of a verdict's findings: each cause, then its symptoms."""
    rows: list[Values] = []
    for cause in verdict.causes:
        place = len(rows)
        rows.append({**_finding_values(trial, place, cause.finding), "distinguish": cause.distinguish})
        for symptom in cause.symptoms:
            rows.append({**_finding_values(trial, len(rows), symptom), "cause": place})
    return rows


def _finding_values(trial: int, position: int, finding: Finding) -> Values:
    return {
        "trial": trial,
        "position": position,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "place": finding.where,
        "since": finding.since,
        "message": finding.message,
        "evidence": [asdict(evidence) for evidence in finding.evidence],
        "advice": finding.advice,
        "source": finding.source,
        "unit": finding.unit,
        "confidence": finding.confidence,
        "cause": None,
        "distinguish": "",
    }


def questions_data(questions: Sequence[Question]) -> dict[str, Any]:
    """Packs questions into their names, and the positions of those not answered or not important.

    Args:
        questions: those of a verdict.

    Example:
        >>> asked = Question("plateau"), Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps")
        >>> questions_data(asked)
        {'rules': ['plateau', 'dead_units'], 'not answered': {'only 3 steps': [1]}, 'minor': []}
    """
    reasons: dict[str, dict[str, list[int]]] = {}
    for position, question in enumerate(questions):
        if question.answer is not Answer.ANSWERED or question.reason:
            mine = reasons.setdefault(question.answer.value, {})
            mine.setdefault(question.reason, []).append(position)
    minor = [position for position, question in enumerate(questions) if not question.matters]
    return {_RULES: [question.rule for question in questions], **reasons, _MINOR: minor}


@reads
def questions_from(data: Mapping[str, Any]) -> tuple[Question, ...]:
    """Unpacks questions.

    Args:
        data: from :func:`questions_data`.
    """
    rules, minor = data[_RULES], frozenset(data[_MINOR])
    must_be(list, rules)
    must_be(str, *rules)
    answers = {
        position: (answer, reason)
        for answer in Answer
        for reason, positions in data.get(answer.value, {}).items()
        for position in positions
    }
    answered = (Answer.ANSWERED, "")
    return tuple(
        Question(rule, *answers.get(position, answered), matters=position not in minor)
        for position, rule in enumerate(rules)
    )


@reads
def verdict_from(head: Row[Any] | None, rows: Sequence[Row[Any]]) -> Verdict:
    """Builds the verdict from the rows of one trial.

    Args:
        head: the row of ``verdicts``; None for a verdict older than schema 5.
        rows: those of ``findings``, by position.
    """
    symptoms: dict[int, list[Finding]] = {row.position: [] for row in rows if row.cause is None}
    for row in rows:
        if row.cause is not None:
            symptoms[row.cause].append(_finding_from(row))
    causes = tuple(
        Cause(_finding_from(row), tuple(symptoms[row.position]), row.distinguish)
        for row in rows
        if row.cause is None
    )
    if head is None:
        return Verdict(causes)
    must_be(int, head.steps)
    must_be(list, head.facts)
    must_be(str, *head.facts)
    return Verdict(causes, questions_from(head.questions), tuple(head.facts), head.steps, head.when)


def _finding_from(row: Row[Any]) -> Finding:
    must_be(str, row.unit)
    return _finding(row, row.rule, row.unit, row.confidence)


@reads
def old_verdict_from(rows: Sequence[Row[Any]], unit: str) -> Verdict:
    """Builds the verdict of a trial in a store older than schema 5: every finding is a cause.

    Args:
        rows: those of ``findings``, by position.
        unit: the unit of their moments.
    """
    renamed = [_finding(row, new_name(row.rule, row.message), unit, OLD_CONFIDENCE) for row in rows]
    return Verdict(tuple(map(Cause, renamed)))


def _finding(row: Row[Any], rule: str, unit: str, confidence: float) -> Finding:
    must_be(int, row.since)
    return Finding(
        rule=rule,
        severity=Severity(row.severity),
        where=row.place,
        since=row.since,
        message=row.message,
        evidence=tuple(Evidence(**evidence) for evidence in row.evidence),
        advice=row.advice,
        source=row.source,
        unit=unit,
        confidence=confidence,
    )
