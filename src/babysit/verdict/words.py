"""The words of a verdict: the same in a printed report, on the command line and on a page."""

from __future__ import annotations

from collections.abc import Sequence

from babysit.records import Cause, Evidence, Finding, Severity

GRAVEST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.INFO)


def verdict_text(name: str, when: str, findings: Sequence[Finding]) -> str:
    """The verdict in one line: healthy or not, and how much was found.

    Args:
        name: what was looked at; may be empty.
        when: "before training", "after 500 steps", "in this log"; may be empty.
        findings: everything that was found.

    Example:
        >>> verdict_text("mnist", "after 500 steps", [])
        'mnist: healthy, nothing looks wrong after 500 steps'
    """
    told = counts_text(findings)
    healthy = all(finding.severity is Severity.INFO for finding in findings)
    verdict = "healthy" if healthy else "not healthy"
    moment = f" {when}" if when else ""
    start = f"{name}: " if name else ""
    if not told:
        return f"{start}{verdict}, nothing looks wrong{moment}"
    return f"{start}{verdict}{moment}: {told}"


def counts_text(findings: Sequence[Finding]) -> str:
    """How many errors, warnings and remarks; empty without any."""
    counts = (_count(severity, findings) for severity in GRAVEST_FIRST)
    return ", ".join(count for count in counts if count)


_NAMES = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "remark"}


def _count(severity: Severity, findings: Sequence[Finding]) -> str:
    count = sum(finding.severity is severity for finding in findings)
    return f"{count} {_NAMES[severity]}{'s' if count > 1 else ''}" if count else ""


def verdict_of(finding: Finding) -> str:
    """A finding's severity and message."""
    return f"{finding.severity}: {finding.message}"


def place_text(cause: Cause) -> str:
    """Where, since when, by which rule, how sure.

    Example:
        >>> finding = Finding("plateau", Severity.INFO, "cost", 7, "", (), "", "")
        >>> place_text(Cause(finding, 0.5))
        'cost, since epoch 7 (plateau, 50% sure)'
    """
    finding = cause.finding
    place = ", ".join(part for part in (finding.where, finding.moment) if part)
    return f"{place} ({finding.rule}, {cause.confidence:.0%} sure)"


def evidence_text(evidence: Evidence) -> str:
    """One measured value beside what was expected, and why.

    Example:
        >>> evidence_text(Evidence("update ratio", 2e-7, "about 1e-3", "actual change of W over W"))
        'update ratio 2e-07, expected about 1e-3: actual change of W over W'
    """
    why = f": {evidence.why}" if evidence.why else ""
    return f"{evidence.what} {evidence.value:.4g}, expected {evidence.expected}{why}"


def explains_text(cause: Cause) -> str:
    """The symptoms of a cause by name; empty without any."""
    names = ", ".join(symptom.rule for symptom in cause.symptoms)
    return f"explains: {names}" if names else ""


def remark_text(finding: Finding) -> str:
    """A quiet finding in one line."""
    return f"{finding.severity}: {finding.message} ({finding.advice})"
