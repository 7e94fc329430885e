"""The catalogue of problems with the signals of each door, in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from babysit.diagnosis.catalogue import CATALOGUE, SUBJECTS, problems_named, rows
from babysit.diagnosis.problem import Problem
from babysit.diagnosis.signals import explained_by, signals_of
from babysit.diagnosis.wording import named
from babysit.views.terminal.verdict import STYLES


def rules_data(name: str = "") -> list[dict[str, Any]]:
    """Returns the problems of one name, or all, as plain data.

    Args:
        name: a name of today or of an older version; empty for all.

    Raises:
        InputError: no problem is called that.

    Example:
        >>> [problem["name"] for problem in rules_data("broadcasting")]
        ['loss_broadcasts']
    """
    problems = problems_named(name) if name else list(CATALOGUE.values())
    return [
        {
            "name": problem.name,
            "severity": str(problem.severity),
            "summary": problem.summary,
            "fix": problem.fix,
            "source": problem.source,
            "formerly": list(problem.formerly),
            "symptom_of": explained_by(problem),
            "signals": [
                {**signal._asdict(), "severity": str(signal.severity)} for signal in signals_of(problem)
            ],
        }
        for problem in problems
    ]


def rules_table() -> RenderableType:
    """Renders the list for the terminal; the rest is shown problem by problem."""
    parts: list[RenderableType] = []
    for title, subject in SUBJECTS.items():
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for heading in ("problem", "severity", "what it is"):
            table.add_column(heading, overflow="fold", no_wrap=heading == "severity")
        for problem in rows(subject):
            severity = Text(problem.severity.value, style=STYLES[problem.severity])
            table.add_row(Text(problem.name, overflow="fold"), severity, Text(problem.summary))
        parts += [table, Text()]
    return Group(*parts, Text("babysit rules NAME shows one in full: signals, thresholds, fix", style="dim"))


def rule_in_full(name: str) -> RenderableType:
    """Renders everything about the problems of one name.

    Args:
        name: a name of today or of an older version.

    Raises:
        InputError: no problem is called that.
    """
    return Group(*(part for problem in problems_named(name) for part in _in_full(problem)))


def _in_full(problem: Problem) -> list[RenderableType]:
    head = Text.assemble((problem.name, f"bold {STYLES[problem.severity]}"), f"  {problem.severity.value}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for signal in signals_of(problem):
        share = f"right in {signal.confidence:.0%} of cases (n = {signal.named})"
        why = f"\nwhy there: {signal.reason}" if signal.reason else ""
        table.add_row(signal.door, Text(f"{signal.words}{why}\n{signal.severity}, {share}"))
    rest = {
        "fix": problem.fix,
        "source": problem.source,
        "symptom of": named(explained_by(problem), most=8),
        "formerly": ", ".join(problem.formerly),
    }
    for what, words in rest.items():
        if words:
            table.add_row(what, Text(words))
    return [head, Padding(Text(problem.summary), (0, 0, 0, 2)), Padding(table, (0, 0, 1, 2))]
