"""A search in the terminal: its stages, best trials and edge alarms.

Names come from users: each is escaped before Rich reads it as markup.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.records import Edge, Result, Stage
from babysit.tuning.ranking import best_first
from babysit.views.data.formatting import (
    MISSING,
    is_searched,
    number_text,
    percent_text,
    range_text,
    silenced_text,
    value_text,
    varied_names,
)
from babysit.views.terminal.studies import state_text

MOST_NAMES = 4
"""The most hyperparameters that fit a table of 80 columns."""


def results_table(
    results: Sequence[Result], count: int = 10, ties: Collection[tuple[int, int]] = ()
) -> Table:
    """Renders the best trials of a search, best first.

    Args:
        results: all trials.
        count: the number of trials to show. Default: 10.
        ties: the trials within one standard error of the best, marked with ``≈``.
    """
    shown = best_first(results)[:count]
    names = varied_names(results)[:MOST_NAMES]
    table = Table(
        title=f"best {len(shown)} of {len(results)} trials", title_justify="left", box=None, pad_edge=False
    )
    bests = [result.run.best for result in shown if result.run.best is not None]
    accuracy = not any(math.isnan(best.val_accuracy) and not math.isnan(best.val_loss) for best in bests)
    for heading in ("", "trial", "val" if accuracy else "val loss", "train" if accuracy else "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold", max_width=18)
    table.add_column("state", no_wrap=True)
    for place, result in enumerate(shown):
        best, (stage, number) = result.run.best, result.trial.key
        mark = "★" if place == 0 and best else "≈" if result.trial.key in ties else ""
        if best is None:
            scores = [MISSING, MISSING]
        elif accuracy:
            scores = [percent_text(best.val_accuracy), percent_text(best.train_accuracy)]
        else:
            scores = [number_text(best.val_loss), number_text(best.cost)]
        values = [escape(value_text(result.trial.hyperparameters.get(name))) for name in names]
        state = state_text(result.run.state) + (", changed" if result.run.is_touched else "")
        table.add_row(mark, f"{stage}/{number}", *scores, *values, state)
    if ties:
        table.caption = "≈ within one standard error of the best: a tie"
    return table


def stage_panel(stage: Stage) -> Panel:
    """Renders the ranges that a stage searches, and the reason for them."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, box in stage.box.items():
        if is_searched(box):
            table.add_row(escape(name), escape(range_text(box)))
    fixed = [
        f"{name} {range_text(box) if isinstance(box, Mapping) else box}"
        for name, box in stage.box.items()
        if not is_searched(box)
    ]
    reason = [Text(stage.reason)] if stage.reason else []
    rest = [Text(f"fixed: {', '.join(fixed)}", style="dim")] if fixed else []
    title = f"stage {stage.index}: {escape(stage.name)}, {stage.trials} trials of {stage.epochs} epochs"
    return Panel(Group(*reason, table, *rest), title=title, title_align="left")


def edges_panel(edges: Sequence[Edge], silenced: Sequence[Edge] = (), no_alarms: str = "") -> RenderableType:
    """Renders the alarms for best values at the edge of their range, each with the range to search next.

    Args:
        edges: the alarms.
        silenced: the silenced alarms; one line each, with the reason.
        no_alarms: why no edge was judged. Default: the edges were judged.
    """
    if no_alarms:
        return Text(no_alarms, style="dim")
    quiet = [Text(silenced_text(edge), style="dim") for edge in silenced]
    if not edges:
        where = "All other best values" if quiet else "The best values"
        return Group(*quiet, Text(f"{where} lie well inside the searched ranges.", style="green"))
    lines = Text()
    for number, edge in enumerate(edges):
        lines.append("\n" if number else "")
        lines.append(f"{edge.message}\n", style="bold yellow")
        lines.append(f"  searched {number_text(edge.low)} to {number_text(edge.high)}; ")
        lines.append(
            f"search {edge.name} from {number_text(edge.new_low)} to {number_text(edge.new_high)} next"
        )
    title = "worrying: the best is at the edge"
    return Group(Panel(lines, title=title, title_align="left", border_style="yellow"), *quiet)
