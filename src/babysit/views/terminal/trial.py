"""One trial in the terminal: hyperparameters, readings, curves, update ratios and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.records import Reading, State, score
from babysit.store.queries import Curve
from babysit.views.data.formatting import (
    MISSING,
    number_text,
    percent_text,
    range_text,
    score_text,
    touches_text,
    value_text,
)
from babysit.views.data.recorded_run import TrialView
from babysit.views.data.series import explosion_text
from babysit.views.data.trial_rows import finite
from babysit.views.terminal.studies import STATE_STYLES
from babysit.views.terminal.unicode_plots import sparkline
from babysit.views.terminal.verdict import verdict_view

_RATIO = "/update_ratio"
_MOST_READINGS = 20
_VERDICT = ("verdict", "healthy", "causes", "findings", "questions", "facts")
"""The entries of the report that the data of a trial repeats."""


class Ratio(NamedTuple):
    """The update ratios of a parameter: first, median and last, and all as a curve."""

    layer: str
    first: float
    median: float
    last: float
    curve: str


def update_ratios(series: Mapping[str, Curve]) -> list[Ratio]:
    """Returns the update ratios of every recorded parameter.

    Example:
        >>> steps = np.arange(1, 4, dtype=np.int32)
        >>> update_ratios({"layers/1.weight/update_ratio": (steps, np.array([1e-3, 2e-3, 4e-3]))})[0][:4]
        ('1.weight', 0.001, 0.002, 0.004)
    """
    found = []
    for name, (_, values) in series.items():
        if name.startswith("layers/") and name.endswith(_RATIO) and len(values):
            layer = name.removeprefix("layers/").removesuffix(_RATIO)
            ratios = [float(value) for value in values]
            median = float(np.nanmedian(ratios))
            found.append(Ratio(layer, ratios[0], median, ratios[-1], sparkline(ratios, 24)))
    return found


def trial_view(view: TrialView) -> RenderableType:
    """Renders a trial."""
    run = view.result.run
    parts: list[RenderableType] = [headline(view), _choices(view)]
    if len(view.costs[1]):
        steps, costs = view.costs
        ends = f" {number_text(float(costs[0]))} to {number_text(float(costs[-1]))} in {int(steps[-1])} steps"
        parts.append(Text.assemble("cost ", (sparkline(costs, 48), "cyan"), ends))
    if run.readings:
        parts.append(readings_table(run.readings))
    ratios = update_ratios(view.series)
    if ratios:
        table = Table(box=None, pad_edge=False, title="update ratios (about 1e-3 is usual)")
        table.title_justify = "left"
        for heading in ("parameter", "first", "median", "last", ""):
            table.add_column(heading, justify="left" if heading in ("parameter", "") else "right")
        for one in ratios:
            numbers = [number_text(value, 3) for value in (one.first, one.median, one.last)]
            table.add_row(escape(one.layer), *numbers, one.curve)
        parts.append(table)
    parts.append(verdict_view(view.report))
    return Group(*parts)


def headline(view: TrialView) -> Text:
    """Renders the trial's name, state, best score and end."""
    run, stage = view.result.run, view.stage
    where = f"stage {stage.name}" if stage else f"stage {view.result.trial.stage}"
    style = STATE_STYLES.get(run.state, "")
    text = Text.assemble(
        (f"trial {view.name}", "bold"), f" of {view.study.name}, {where}: ", (run.state.value, style)
    )
    if run.best is not None:
        text.append(f", best validation {score_text(view.result)} at epoch {run.best.epoch}")
    if run.explosion is not None:
        text.append(f", {explosion_text(run.explosion)}", style="red")
    if run.message:
        text.append(f"\n{run.message}", style="red" if run.state is State.FAILED else "")
    if changes := touches_text(run):
        text.append(f"\n{changes}", style="yellow")
    return text


def _choices(view: TrialView) -> Table:
    table = Table(box=None, pad_edge=False, title="hyperparameters", title_justify="left")
    for heading in ("name", "value", "searched"):
        table.add_column(heading, justify="right" if heading == "value" else "left", overflow="fold")
    box = view.stage.box if view.stage else {}
    for name, value in view.result.trial.hyperparameters.items():
        searched = box.get(name)
        if not isinstance(searched, Mapping):
            words = MISSING
        else:
            words = "fixed" if searched.get("kind") == "fixed" else escape(range_text(searched))
        table.add_row(escape(name), escape(value_text(value)), words)
    return table


def readings_table(readings: Sequence[Reading]) -> Table:
    """Renders the readings of a run, thinned to about twenty epochs, the best one marked."""
    table = Table(box=None, pad_edge=False, title="readings", title_justify="left")
    for heading in ("", "epoch", "step", "cost", "train", "val", "val loss", "rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = max(readings, key=score)
    stride = -(-len(readings) // _MOST_READINGS)
    for index, one in enumerate(readings):
        if index % stride and one is not best and one is not readings[-1]:
            continue
        table.add_row(
            "★" if one is best else "",
            str(one.epoch),
            str(one.step),
            number_text(one.cost),
            percent_text(one.train_accuracy),
            percent_text(one.val_accuracy),
            number_text(one.val_loss),
            number_text(one.learning_rate),
        )
    return table


def trial_data(view: TrialView) -> dict[str, Any]:
    """Returns a trial as plain data, with every reading and its whole verdict."""
    run, verdict = view.result.run, view.report.as_data()
    return {
        "trial": view.name,
        "study": view.study.id,
        "stage": view.stage.name if view.stage else view.result.trial.stage,
        "number": view.result.trial.number,
        "state": str(run.state),
        "hyperparameters": dict(view.result.trial.hyperparameters),
        "score": finite(view.result.score),
        "epochs": len(run.readings),
        "steps": run.steps,
        "seconds": run.seconds,
        "first_cost": run.first_cost,
        "explosion": None if run.explosion is None else asdict(run.explosion),
        "message": run.message,
        "touches": [asdict(touch) for touch in run.touches],
        "readings": [asdict(one) for one in run.readings],
        "update_ratios": {
            one.layer: {"first": one.first, "median": one.median, "last": one.last}
            for one in update_ratios(view.series)
        },
        **{name: verdict[name] for name in _VERDICT},
    }
