"""The checks before training as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.verdicts import CheckResult, Status
from babysit.views.data.formatting import number_text

STATUS_MARKS = {
    Status.PASS: "[green]✓ pass[/]",
    Status.WARN: "[yellow]! warn[/]",
    Status.FAIL: "[red]✗ fail[/]",
}


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """Renders the answers of the checks, each with the expected value and its advice."""
    table = Table(title="checks before training", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", overflow="fold", max_width=22)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("expected, and what it means", overflow="fold")
    for check in checks:
        style = "dim" if check.status is Status.PASS else "bold"
        table.add_row(
            STATUS_MARKS[check.status],
            escape(check.name.replace("_", " ")),
            number_text(check.value),
            Text.assemble(
                check.expected, "\n" if check.expected and check.advice else "", (check.advice, style)
            ),
        )
    return table
