"""The HTML of a report in a notebook: one fragment without scripts, its evidence folded."""

from __future__ import annotations

from html import escape

from babysit.diagnosis.wording import cause_lines, open_lines, remark_text, verdict_of
from babysit.verdicts import Health, Verdict

_COLOURS = {Health.HEALTHY: "#1a7f37", Health.UNDECIDED: "#57606a", Health.UNHEALTHY: "#b35900"}


def fragment(verdict: Verdict, headline: str) -> str:
    """Renders a verdict as an HTML fragment.

    Args:
        verdict: the verdict.
        headline: its first line.

    Example:
        >>> fragment(Verdict(), "net: undecided: nothing was asked")
        '<div><p style="color:#57606a"><b>net: undecided: nothing was asked</b></p></div>'
    """
    parts = [f'<p style="color:{_COLOURS[verdict.health]}"><b>{escape(headline)}</b></p>']
    if verdict.serious:
        causes = [
            f"<li><b>{escape(verdict_of(cause.finding))}</b><br>→ {escape(cause.finding.advice)}"
            f"<details><summary>evidence</summary>{_list(cause_lines(cause))}</details></li>"
            for cause in verdict.serious
        ]
        parts.append(f"<ol>{''.join(causes)}</ol>")
    parts += [f"<p>{escape(remark_text(each))}</p>" for each in verdict.quiet]
    for title, lines in (("not looked at", open_lines(verdict)), ("measured", verdict.facts)):
        if lines:
            parts.append(f"<details><summary>{title}</summary>{_list(lines)}</details>")
    return f"<div>{''.join(parts)}</div>"


def _list(lines: list[str] | tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
