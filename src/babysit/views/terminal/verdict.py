"""A report in the terminal: the text of ``str(report)``, in colour."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from babysit.diagnosis.report import Report
from babysit.diagnosis.wording import cause_lines, open_lines, remark_text, verdict_of
from babysit.verdicts import Health, Severity

STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def verdict_view(report: Report) -> RenderableType:
    """Renders a verdict: causes with evidence and advice, then further findings, open questions, facts.

    Args:
        report: the verdict.
    """
    parts: list[RenderableType] = []
    for number, cause in enumerate(report.serious, 1):
        style = STYLES[cause.finding.severity]
        parts.append(Text(f"{number}. {verdict_of(cause.finding)}", style=f"bold {style}"))
        place, *others = cause_lines(cause)
        details = Text(f"{place}\n", style="dim")
        for line in (*others, f"→ {cause.finding.advice}"):
            details.append(f"{line}\n", style="not dim")
        details.rstrip()
        parts.append(Padding(details, (0, 0, 0, 3)))
    rest = [Text(f"  {line}", style="dim") for line in (*open_lines(report), *report.facts)]
    remarks = [Text(remark_text(finding), style=STYLES[finding.severity]) for finding in report.quiet]
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
