"""The diagnosis of a log in the terminal: recognized readings or trials, verdict, evidence, advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.diagnosis.report import Report
from babysit.records import Edge, Result, Run
from babysit.views.data.formatting import number_text, range_text, value_text
from babysit.views.terminal.search import edges_panel
from babysit.views.terminal.verdict import verdict_view

_SHOWN = 5


def headline(run: Run, unit: str) -> str:
    """Summarizes the course of a run in one line.

    Example:
        >>> from babysit.records import Reading, State
        >>> readings = (Reading(1, 9, 2.302603, 0.4, 0.4, 1e-3), Reading(200, 900, 0.002597, 1.0, 1.0, 1e-3))
        >>> headline(Run(State.COMPLETE, readings, 2.302603), "epoch")
        'cost 2.303 → 0.002597, train accuracy 1.000, val accuracy 1.000 at epoch 200'
    """
    first, last = run.readings[0], run.readings[-1]
    parts = [f"cost {_level(first.cost)} → {_level(last.cost)}"] if not math.isnan(last.cost) else []
    for what, value in (("train accuracy", last.train_accuracy), ("val accuracy", last.val_accuracy)):
        parts += [f"{what} {value:.3f}"] if not math.isnan(value) else []
    if math.isnan(last.val_accuracy) and not math.isnan(last.val_loss) and last.val_loss != last.cost:
        parts.append(f"val loss {_level(last.val_loss)}")
    return f"{', '.join(parts)} at {unit} {last.epoch}"


def _level(value: float) -> str:
    return f"{value:.4g}"


def memorized(run: Run) -> bool:
    """Tells whether a run passes the lecture's test on a few examples, which validate what they train."""
    same = all(reading.train_accuracy == reading.val_accuracy for reading in run.readings)
    last = run.last
    return last is not None and same and last.train_accuracy >= 1 and last.cost < 0.1


def training_view(recognized: str, chance: str, run: Run, unit: str, report: Report) -> RenderableType:
    """Renders the diagnosis of a training.

    Args:
        recognized: the recognized quantities, in one line.
        chance: the chance level in words; empty when unknown.
        run: its readings.
        unit: the unit of their numbers.
        report: the verdict.
    """
    parts: list[RenderableType] = [Text(recognized, style="dim")]
    parts += [Text(chance, style="dim")] if chance else []
    parts += [Text(headline(run, unit))] if run.readings else []
    if memorized(run):
        parts.append(Text("It memorizes its examples: the test on a tiny subset passes.", style="green"))
    return Group(*parts, verdict_view(report))


def trials_table(results: Sequence[Result], tied: Sequence[Result]) -> Table:
    """Tabulates the best trials, and marks those that tie with the best."""
    table = Table(box=None, pad_edge=False)
    names = list(results[0].trial.hyperparameters)
    for heading in ("", "val", *names):
        table.add_column(escape(heading), justify="right")
    keys = {result.trial.key for result in tied[1:]}
    for place, result in enumerate(results[:_SHOWN]):
        mark = "★" if place == 0 else "≈" if result.trial.key in keys else ""
        values = (value_text(result.trial.hyperparameters.get(name)) for name in names)
        best = result.run.best
        # As the log prints it: a loss is negative as a score.
        printed = result.score if best is None or not math.isnan(best.val_accuracy) else best.val_loss
        table.add_row(mark, number_text(printed), *map(escape, values))
    if len(tied) > 1:
        table.caption = f"≈ ties: {len(tied)} within one standard error of the best"
    return table


def standing_lines(
    positions: Mapping[str, float],
    correlations: Mapping[str, float],
    box: Mapping[str, str],
    edges: Sequence[Edge],
) -> list[str]:
    """Describes each hyperparameter in one line: the place of its best value, and its importance.

    Example:
        >>> standing_lines({"l2": 0.289}, {"l2": -0.01}, {"l2": "1e-4 to 1, log"}, [])
        ['l2: best at 0.289 of 1e-4 to 1, log; well inside; rank correlation with the score -0.01']
    """
    alarmed = {edge.name: edge.side for edge in edges}
    return [
        f"{name}: best at {position:.3f} of {box[name]}; "
        f"{f'at the {alarmed[name]} edge' if name in alarmed else 'well inside'}; "
        f"rank correlation with the score {correlations[name]:+.2f}"
        for name, position in positions.items()
    ]


def ruined_line(ruined: Sequence[Result]) -> str:
    """Describes the trials that too much regularization ruined, in one line."""
    least = min(float(result.trial.hyperparameters["l2"]) for result in ruined)
    scores = ", ".join(sorted({number_text(result.score) for result in ruined}))
    count = f"{len(ruined)} trial" + ("s" if len(ruined) > 1 else "")
    return (
        f"{count} with l2 from {number_text(least)} on ruined (val {scores}): the penalty outweighs the data"
    )


def search_view(
    recognized: str,
    table: Table,
    lines: Sequence[str],
    edges: Sequence[Edge],
    following: Mapping[str, Mapping[str, object]],
    reason: str,
    advice: Sequence[str] = (),
) -> RenderableType:
    """Renders the diagnosis of a search.

    Args:
        recognized: the recognized trials, in one line.
        table: the best trials.
        lines: a description of each hyperparameter, and further remarks.
        edges: the alarms.
        following: the next ranges as plain data.
        reason: the reason for these ranges.
        advice: further advice. Default: none.
    """
    ranges = ", ".join(f"{name} {range_text(box)}" for name, box in following.items())
    return Group(
        Text(recognized, style="dim"),
        table,
        *(Text(line) for line in lines),
        edges_panel(edges),
        *(Text(f"• {line}") for line in advice),
        Text(f"search next: {ranges}\n  {reason}", style="bold"),
    )
