"""A report for people at a terminal: the words of ``str(report)``, in colour."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from babysit.records import Cause, Finding, Severity
from babysit.verdict.report import Report
from babysit.verdict.words import evidence_text, explains_text, place_text, remark_text, verdict_of

STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def verdict_view(report: Report) -> RenderableType:
    """A verdict: causes with their evidence and advice, then remarks, then facts.

    Args:
        report: what was found.
    """
    parts = [_cause_view(number, cause) for number, cause in enumerate(_serious(report), 1)]
    rest = [Text(f"  {fact}", style="dim") for fact in report.facts]
    remarks = [_remark_view(finding) for finding in report.quiet]
    if not parts:
        return Group(headline_view(report), *remarks, *rest)
    style = STYLES[report.findings[0].severity]
    title = Text(report.headline, style=f"bold {style}")
    panel = Panel(Group(*parts), title=title, title_align="left", border_style=style)
    return Group(panel, *remarks, *rest)


def headline_view(report: Report) -> Text:
    """The verdict in one line: green when healthy."""
    style = "green" if report.healthy else f"bold {STYLES[report.findings[0].severity]}"
    return Text(report.headline, style=style)


def _serious(report: Report) -> list[Cause]:
    return [cause for cause in report.causes if cause.finding.severity is not Severity.INFO]


def _cause_view(number: int, cause: Cause) -> RenderableType:
    verdict = Text(f"{number}. {verdict_of(cause.finding)}", style=f"bold {STYLES[cause.finding.severity]}")
    details = Text(f"{place_text(cause)}\n", style="dim")
    told = (*map(evidence_text, cause.finding.evidence), explains_text(cause), cause.distinguish)
    for line in told:
        details.append(f"{line}\n" if line else "", style="not dim")
    details.append(f"→ {cause.finding.advice}", style="not dim")
    return Group(verdict, Padding(details, (0, 0, 0, 3)))


def _remark_view(finding: Finding) -> Text:
    return Text(remark_text(finding), style=STYLES[finding.severity])
