"""A comparison of trials in the terminal: the settings that differ, the outcomes, and the curves."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.records import Run
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.comparison import Compared, differing
from babysit.views.data.formatting import MISSING, score_text, value_text
from babysit.views.data.series import explosion_text
from babysit.views.data.trial_rows import finite
from babysit.views.data.verdict import HEALTH_WORDS
from babysit.views.terminal.studies import STATE_STYLES
from babysit.views.terminal.unicode_plots import DotCurve, labels, overlay

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


def comparison_view(compared: Sequence[Compared]) -> RenderableType:
    """Renders a comparison."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for index, one in enumerate(compared):
        table.add_column(Text(one.name, style=_colour(index)), justify="right", overflow="fold")
    for name in differing(compared):
        values = [escape(value_text(one.values[name])) if name in one.values else MISSING for one in compared]
        table.add_row(escape(name), *values)
    if not differing(compared):
        table.add_row("settings", *["equal" for _ in compared])
    results = [one.result for one in compared]
    rows = [
        ("state", [_state(one) for one in compared]),
        ("best validation", [Text(score_text(one) if one else MISSING) for one in results]),
        ("epochs", [Text(str(len(one.run.readings)) if one else MISSING) for one in results]),
        ("verdict", [Text(HEALTH_WORDS[one.verdict.health]) for one in compared]),
        ("causes", [Text("\n".join(each.rule for each in one.verdict.causes) or "none") for one in compared]),
    ]
    if any(one.trials for one in compared):
        rows.insert(1, ("trials", [Text(str(one.trials or MISSING)) for one in compared]))
    for heading, cells in rows:
        table.add_row(Text(heading, style="bold"), *cells)
    runs = [(index, one.run) for index, one in enumerate(results) if one is not None and one.run.readings]
    return Group(table, *([_plot(runs)] if runs else []))


def _state(one: Compared) -> Text:
    if one.trials or one.result is None:
        return Text(one.study.state.value, style=STATE_STYLES.get(one.study.state, ""))
    run = one.result.run
    text = Text(run.state.value, style=STATE_STYLES.get(run.state, ""))
    if run.explosion:
        text.append(f"\n{explosion_text(run.explosion)}")
    return text


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _plot(runs: Sequence[tuple[int, Run]]) -> Text:
    """Plots the validation scores by epoch; losses are left out if there are accuracies."""
    accuracy = any(finite(one.val_accuracy) is not None for _, run in runs for one in run.readings)
    curves = [
        DotCurve(
            "",
            [float(one.epoch) for one in run.readings],
            [one.val_accuracy if accuracy else one.val_loss for one in run.readings],
        )
        for _, run in runs
    ]
    x = Axis(0.0, max(*(curve.x[-1] for curve in curves), 1.0), False, "epoch", whole=True)
    y = make_axis([value for curve in curves for value in curve.y], "")
    plot = overlay(curves, (x, y))
    low, high = labels(y)
    width = max(len(low), len(high))
    text = Text(f"\n{'validation accuracy' if accuracy else 'validation loss'} by epoch\n", style="")
    for line, row in enumerate(plot.rows):
        label = high if line == 0 else low if line == len(plot.rows) - 1 else ""
        text.append(f"{label:>{width}} ┤", style="dim")
        for characters, owner in row:
            text.append(characters, style="" if owner is None else _colour(runs[owner][0]))
        text.append("\n")
    first, last = labels(x)
    length = sum(len(characters) for characters, _ in plot.rows[0])
    text.append(f"{'':>{width}}  {first}{last:>{length - len(first)}}", style="dim")
    return text
