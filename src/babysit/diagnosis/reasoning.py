"""The reasoning from findings to a report: symptoms are assigned to their causes, and causes are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from babysit.diagnosis.catalogue import CATALOGUE, PLACES
from babysit.diagnosis.problem import Problem
from babysit.diagnosis.report import Report
from babysit.diagnosis.tie_breakers import with_tie_breakers
from babysit.verdicts import Answer, Cause, Finding, Question, Severity

FindingKey = tuple[str, str]
"""A problem's name, and the place of one that may occur at several."""


def diagnose(
    findings: Iterable[Finding],
    questions: Iterable[Question] = (),
    *,
    name: str = "",
    when: str = "",
    steps: int = 0,
    facts: tuple[str, ...] = (),
) -> Report:
    """Builds the report of some findings.

    1. Of several findings of one problem the most severe is kept, then the one of highest confidence.
    2. An info finding becomes a warning where it explains a warning that nothing else explains.
    3. A finding becomes the symptom of one whose problem explains it: by an effect, or by name. Where two
       explain each other the earlier one is the cause, then the one that comes first in the catalogue.
    4. Causes are ranked by the most severe of themselves and their symptoms, then by confidence.
    5. Of two close causes the first gets a test that distinguishes them.

    Args:
        findings: of one or several doors; each names a problem of the catalogue.
        questions: those of the doors; several of one problem become one.
        name: the name of the program, run or log.
        when: the observed part, in words.
        steps: the number of observed steps.
        facts: the measurements in words.

    Example:
        >>> exploded = Finding("loss_exploded", Severity.ERROR, "loss", 9, "it grew", (), "", "", "step", 0.9)
        >>> high = Finding("learning_rate_too_high", Severity.WARNING, "rate", 1, "", (), "", "", "step", 0.7)
        >>> report = diagnose([exploded, high])
        >>> report.causes[0].rule, report.causes[0].symptoms[0].rule
        ('learning_rate_too_high', 'loss_exploded')
    """
    kept: dict[FindingKey, Finding] = {}
    for finding in findings:
        key = finding.rule, finding.where if CATALOGUE[finding.rule].of_place else ""
        if key not in kept or _order(finding) < _order(kept[key]):
            kept[key] = finding

    found = _escalated(kept)
    roots = {key: _root(key, found) for key in found}
    causes = [
        Cause(
            finding,
            tuple(sorted((found[each] for each, root in roots.items() if root == key != each), key=_order)),
        )
        for key, finding in found.items()
        if roots[key] == key
    ]
    return Report(with_tie_breakers(sorted(causes, key=_rank)), _merged(questions), facts, steps, when, name)


def _order(finding: Finding) -> tuple[int, float, int]:
    return finding.severity.rank, -finding.confidence, PLACES[finding.rule]


def _rank(cause: Cause) -> tuple[int, float, int]:
    """Ranks a cause by the most severe of itself and its symptoms."""
    worst = min(finding.severity.rank for finding in (cause.finding, *cause.symptoms))
    return worst, -cause.confidence, PLACES[cause.rule]


def _produces(problem: Problem, other: Problem) -> bool:
    return other.effect in problem.produces or other.name in problem.explains


def explains(one: Finding, other: Finding) -> bool:
    """Tells whether one finding explains another.

    Args:
        one, other: findings of two problems of the catalogue.
    """
    mine, its = CATALOGUE[one.rule], CATALOGUE[other.rule]
    if one.severity is Severity.INFO is not other.severity or not _produces(mine, its):
        return False
    mutual = _produces(its, mine) and not (other.severity is Severity.INFO is not one.severity)
    return not mutual or (one.since, PLACES[one.rule]) < (other.since, PLACES[other.rule])


def _escalated(found: Mapping[FindingKey, Finding]) -> dict[FindingKey, Finding]:
    serious = [finding for finding in found.values() if finding.severity is not Severity.INFO]
    unexplained = [
        CATALOGUE[finding.rule]
        for finding in serious
        if finding.severity is Severity.WARNING
        and not any(explains(other, finding) for other in serious if other is not finding)
    ]

    def escalated(finding: Finding) -> Finding:
        mine = CATALOGUE[finding.rule]
        if finding.severity is Severity.INFO and any(_produces(mine, other) for other in unexplained):
            return replace(finding, severity=Severity.WARNING)
        return finding

    return {key: escalated(finding) for key, finding in found.items()}


def _root(key: FindingKey, found: Mapping[FindingKey, Finding]) -> FindingKey:
    """Follows the explanations of a finding to the one that nothing explains."""
    above = {
        each: [other for other in found if other != each and explains(found[other], found[each])]
        for each in found
    }
    met = [key]
    while above[met[-1]]:
        free = [each for each in above[met[-1]] if not above[each]]
        best = min(free or above[met[-1]], key=lambda each: _order(found[each]))
        if best in met:  # three or more that explain each other in a ring
            return min(met[met.index(best) :], key=lambda each: PLACES[each[0]])
        met.append(best)
    return met[-1]


def _merged(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Merges the questions of each problem into one, answered if any door answered it."""
    order = (Answer.ANSWERED, Answer.NOT_ANSWERED, Answer.DOES_NOT_APPLY)
    found: dict[str, Question] = {}
    for question in questions:
        known = found.get(question.rule)
        if known is None or order.index(question.answer) < order.index(known.answer):
            found[question.rule] = question
    return tuple(found.values())


def together(first: Report, *others: Report) -> Report:
    """Builds one report from the findings of several reports on one subject, under the first one's name.

    Args:
        first, others: the reports.

    Example:
        >>> together(Report(facts=("fast",), name="mine"), Report(facts=("small",))).facts
        ('fast', 'small')
    """
    reports: Sequence[Report] = (first, *others)
    return diagnose(
        (finding for report in reports for finding in report.findings),
        (question for report in reports for question in report.questions),
        name=first.name,
        when=first.when,
        steps=max(report.steps for report in reports),
        facts=tuple(fact for report in reports for fact in report.facts),
    )
