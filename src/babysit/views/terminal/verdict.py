"""A report for people at a terminal: the words of ``str(report)``, in colour."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from babysit.diagnosis.report import Report
from babysit.diagnosis.wording import cause_lines, found_text, open_lines, remark_text, verdict_of
from babysit.verdicts import Cause, Finding, Health, Severity, Verdict

STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}
HEALTH_WORDS = {
    Health.HEALTHY: "healthy",
    Health.UNDECIDED: "undecided",
    Health.UNHEALTHY: "not healthy",
}


def verdict_view(report: Report) -> RenderableType:
    """Renders a verdict: causes with their evidence and advice, then remarks, what stayed open, and facts.

    Args:
        report: the verdict.
    """
    parts = [_cause_view(number, cause) for number, cause in enumerate(report.serious, 1)]
    rest = [Text(f"  {line}", style="dim") for line in (*open_lines(report), *report.facts)]
    remarks = [_remark_view(finding) for finding in report.quiet]
    if not parts:
        return Group(headline_view(report), *remarks, *rest)
    style = STYLES[report.findings[0].severity]
    title = Text(report.headline, style=f"bold {style}")
    panel = Panel(Group(*parts), title=title, title_align="left", border_style=style)
    return Group(panel, *remarks, *rest)


def headline_view(report: Report) -> Text:
    """Renders the verdict in one line: green when healthy, without a colour while it is undecided."""
    if report.health is Health.UNHEALTHY:
        return Text(report.headline, style=f"bold {STYLES[report.findings[0].severity]}")
    return Text(report.headline, style="green" if report.healthy else "bold")


def found_line(verdict: Verdict) -> str:
    """Says beside the word of a verdict what was found, and how much was not answered.

    Args:
        verdict: the verdict.

    Example:
        >>> from babysit.records import Answer, Question
        >>> asked = Question("plateau"), Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps")
        >>> found_line(Verdict(questions=asked))
        'nothing wrong in 1 question, 1 not answered'
    """
    unanswered = f", {len(verdict.unanswered)} not answered" if verdict.unanswered else ""
    return f"{found_text(verdict)}{unanswered}"


def _cause_view(number: int, cause: Cause) -> RenderableType:
    verdict = Text(f"{number}. {verdict_of(cause.finding)}", style=f"bold {STYLES[cause.finding.severity]}")
    place, *others = cause_lines(cause)
    details = Text(f"{place}\n", style="dim")
    for line in (*others, f"→ {cause.finding.advice}"):
        details.append(f"{line}\n", style="not dim")
    details.rstrip()
    return Group(verdict, Padding(details, (0, 0, 0, 3)))


def _remark_view(finding: Finding) -> Text:
    return Text(remark_text(finding), style=STYLES[finding.severity])
