"""The table of rules, in the terminal and as a page of the documentation: the same rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rich.markup import escape
from rich.table import Table

from babysit.records import Severity

HEADINGS = ("rule", "severity", "what it looks for", "why there", "source", "silent when found")

_INTRODUCTION = """# The rules

Each rule looks at one run's readings (`babysit train`, `babysit search`) or at a printed log
(`babysit diagnose LOGFILE`) and gives a finding or nothing. Where a rule of the last column has found its
cause, this one is a symptom of it and stays silent. `babysit rules` prints the same table.

Rows are those of CS231n (2017), lecture 6. This page is made by `python -m docs.rules`; do not edit it.
"""


class Documented(Protocol):
    """What a rule tells of itself."""

    @property
    def name(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def about(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def symptom_of(self) -> tuple[str, ...]: ...


def rule_cells(rule: Documented) -> tuple[str, ...]:
    """A rule as the cells of a row, under ``HEADINGS``."""
    return (
        rule.name,
        rule.severity.value,
        rule.about,
        rule.reason,
        rule.source,
        ", ".join(rule.symptom_of),
    )


def rules_page(rules: Iterable[Documented]) -> str:
    """The page docs/rules.md.

    Example:
        >>> print(rules_page([]).splitlines()[0])
        # The rules
    """
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(rule_cells(rule) for rule in rules)]
    lines = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return "\n".join((_INTRODUCTION, *lines)) + "\n"


def rules_table(rules: Iterable[Documented]) -> Table:
    """The table for the terminal: without the reasons' neighbours that only a page has room for."""
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS[:5]:
        table.add_column(heading, overflow="fold", no_wrap=heading in HEADINGS[:2])
    for rule in rules:
        table.add_row(*(escape(cell) for cell in rule_cells(rule)[:5]))
    return table
