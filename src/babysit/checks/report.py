"""From what was seen to causes: symptoms are explained away, and what is left is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from babysit.checks.seen import Fault, Seen
from babysit.records import Cause, Finding, Severity

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What :func:`babysit.check` found.

    Attributes:
        findings: everything that was seen, worst first.
        causes: the findings of severity warning or error that no other explains, the likeliest first.

    Example:
        >>> report = CheckReport((), ())
        >>> report.healthy, str(report)
        (True, 'healthy: nothing looks wrong before training')
    """

    findings: tuple[Finding, ...]
    causes: tuple[Cause, ...]

    @property
    def healthy(self) -> bool:
        """True when nothing of severity warning or error was found."""
        return not self.causes

    def __bool__(self) -> bool:
        return self.healthy

    def as_data(self) -> dict[str, Any]:
        """The report as plain data that JSON takes; numbers that are none become null."""
        return {
            "healthy": self.healthy,
            "causes": [cause.as_data() for cause in self.causes],
            "findings": [finding.as_data() for finding in self.findings],
        }

    def raise_if_unhealthy(self) -> None:
        """Raises when something is wrong.

        Raises:
            AssertionError: with the report as its message.
        """
        if not self.healthy:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [line for number, cause in enumerate(self.causes, 1) for line in _cause_lines(number, cause)]
        lines = lines or ["healthy: nothing looks wrong before training"]
        return "\n".join([*lines, *_quiet_lines(self.findings)])


def _cause_lines(number: int, cause: Cause) -> list[str]:
    finding = cause.finding
    lines = [f"{number}. {finding.severity}: {finding.message} [{finding.rule}, {cause.confidence:.0%} sure]"]
    for item in finding.evidence:
        why = f": {item.why}" if item.why else ""
        lines.append(f"   {item.what} {item.value:.4g}, expected {item.expected}{why}")
    if cause.symptoms:
        lines.append(
            f"   it explains: {', '.join(symptom.rule.replace('_', ' ') for symptom in cause.symptoms)}"
        )
    return [*lines, f"   → {finding.advice}"]


def _quiet_lines(findings: Sequence[Finding]) -> list[str]:
    quiet = [finding for finding in findings if finding.severity is Severity.INFO]
    return [f"info: {finding.message} ({finding.advice})" for finding in quiet]


def report(seen: Sequence[tuple[Fault, Seen]]) -> CheckReport:
    """Ranks what was seen.

    A peculiarity (severity info) becomes a warning where it explains a symptom that nothing worse does.
    """
    faults = {fault.name: fault for fault, _ in seen}
    found = _escalated({fault.name: _finding(fault, one) for fault, one in seen}, faults)
    serious = [name for name, finding in found.items() if finding.severity is not Severity.INFO]
    roots = [name for name in serious if not _explained(name, serious, faults)]
    causes = [_cause(found[name], [found[each] for each in serious], faults) for name in roots]
    causes.sort(key=lambda cause: (_ORDER.index(cause.finding.severity), -cause.confidence))
    findings = sorted(found.values(), key=lambda finding: _ORDER.index(finding.severity))
    return CheckReport(tuple(findings), tuple(causes))


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
