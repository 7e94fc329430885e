"""From what was seen to causes: symptoms are explained away, and what is left is ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from babysit.checks.seen import Fault, Seen
from babysit.records import Cause, CheckResult, Evidence, Finding, Severity, Status
from babysit.verdict.cards import RuleCard, spoken
from babysit.verdict.report import Report, ranked

BEFORE = "before training"


def report(seen: Sequence[tuple[Fault, Seen]], name: str = "") -> Report:
    """Ranks what was seen.

    A peculiarity (severity info) becomes a warning where it explains a symptom that nothing worse does.

    Args:
        seen: the faults and what was seen of them, in the table's order.
        name: what was looked at.

    Example:
        >>> print(report([], "Sequential"))
        Sequential: healthy, nothing looks wrong before training
    """
    faults = {fault.name: fault for fault, _ in seen}
    found = _escalated({fault.name: _finding(fault, one) for fault, one in seen}, faults)
    serious = [name for name, finding in found.items() if finding.severity is not Severity.INFO]
    roots = [name for name in serious if not _explained(name, serious, faults)]
    causes = ranked(_cause(found[name], [found[each] for each in serious], faults) for name in roots)
    told = {each.rule for cause in causes for each in (cause.finding, *cause.symptoms)}
    remarks = tuple(finding for finding in found.values() if finding.rule not in told)
    return Report(name, causes, remarks, when=BEFORE, rules=tuple(map(card, faults.values())))


def card(fault: Fault, table: Iterable[Fault] = ()) -> RuleCard:
    """What a fault tells of itself.

    Args:
        fault: a row of the table.
        table: all rows, to name those that explain it away.
    """
    return RuleCard(
        name=fault.name,
        applies="check",
        severity=fault.severity,
        about=fault.about,
        reason="",
        advice=fault.advice,
        source=fault.source,
        symptom_of=tuple(other.name for other in table if fault.name in other.explains),
    )


_CERTAINTY = {Status.FAIL: 0.9, Status.WARN: 0.5}
"""A failed check was measured; one in doubt lies where healthy set-ups may lie too."""


def report_of_checks(results: Iterable[CheckResult], name: str = "") -> Report:
    """The answers of a recipe's checks as a report: each that failed is a cause.

    One in doubt is a remark, and a warning only beside one that failed, which it may explain.

    Args:
        results: the answers.
        name: the recipe's.

    Example:
        >>> result = CheckResult("initial_loss", Status.FAIL, 9.1, "2.303", "scale the inputs")
        >>> report_of_checks([result], "mine").exit_code
        1
    """
    answers = [result for result in results if result.status is not Status.PASS]
    doubt = Severity.WARNING if any(each.status is Status.FAIL for each in answers) else Severity.INFO
    causes = ranked(Cause(_answer(each, doubt), _CERTAINTY[each.status]) for each in answers)
    return Report(name, causes, when=BEFORE)


def _answer(result: CheckResult, doubt: Severity) -> Finding:
    what, failed = spoken(result.name), result.status is Status.FAIL
    return Finding(
        rule=result.name,
        severity=Severity.ERROR if failed else doubt,
        where="recipe",
        since=0,
        message=f'the check "{what}" {"failed" if failed else "is in doubt"}',
        evidence=(Evidence(what, result.value, result.expected, ""),),
        advice=result.advice,
        source="CS231n lecture 6, the checks before training",
    )


def _finding(fault: Fault, seen: Seen) -> Finding:
    return Finding(
        rule=fault.name,
        severity=seen.severity or fault.severity,
        where=seen.where,
        since=0,
        message=seen.message,
        evidence=seen.evidence,
        advice=fault.advice,
        source=fault.source,
    )


def _escalated(found: Mapping[str, Finding], faults: Mapping[str, Fault]) -> dict[str, Finding]:
    serious = [name for name, finding in found.items() if finding.severity is not Severity.INFO]
    open_ones = [name for name in serious if not _explained(name, serious, faults)]

    def judged(name: str, finding: Finding) -> Finding:
        explains = set(faults[name].explains) & set(open_ones)
        quiet = finding.severity is Severity.INFO
        return replace(finding, severity=Severity.WARNING) if quiet and explains else finding

    return {name: judged(name, finding) for name, finding in found.items()}


def _explained(name: str, serious: Sequence[str], faults: Mapping[str, Fault]) -> bool:
    """By another, and not by one that it explains itself with more certainty."""
    return any(
        name in faults[other].explains and not _is_before(name, other, faults)
        for other in serious
        if other != name
    )


def _is_before(name: str, other: str, faults: Mapping[str, Fault]) -> bool:
    mutual = other in faults[name].explains
    order = list(faults)
    return mutual and (-faults[name].certainty, order.index(name)) < (
        -faults[other].certainty,
        order.index(other),
    )


def _cause(finding: Finding, serious: Sequence[Finding], faults: Mapping[str, Fault]) -> Cause:
    fault = faults[finding.rule]
    symptoms = tuple(each for each in serious if each.rule in fault.explains)
    sure = 1 - (1 - fault.certainty) * (0.7 if symptoms else 1.0)
    return Cause(finding, round(sure, 2), symptoms)
