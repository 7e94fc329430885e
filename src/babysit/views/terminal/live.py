"""A run or a study in the terminal while it trains: one frame of `babysit live`.

A frame fits its width and begins with the most important: the rest may be cut off below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from babysit.records import EXPLOSION_LIMIT, State
from babysit.store import overview
from babysit.store.overview import TrialLine
from babysit.verdicts import Verdict
from babysit.views.data.axes import Axis
from babysit.views.data.buckets import bands
from babysit.views.data.formatting import MISSING, duration_text, number_text, percent_text
from babysit.views.data.learning_rates import rate_changes, rate_pairs, rate_words, touch_words
from babysit.views.data.recorded_run import TrialView, in_order
from babysit.views.data.series import cost_axis
from babysit.views.data.status import StudyStatus, trial_name
from babysit.views.data.trial_table import Board
from babysit.views.terminal.studies import STATE_STYLES
from babysit.views.terminal.trial import headline, update_ratios
from babysit.views.terminal.unicode_plots import DotCurve, labels, overlay, sparkline
from babysit.views.terminal.verdict import verdict_view

LEAST_WIDTH = 24
_PLOT_HEIGHT = 8
_MOST_RATIOS = 6
_MOST_RUNNING = 10
_MOST_VALUES = 3


def run_frame(
    view: TrialView, width: int, *, quiet: float = math.nan, interrupted: bool = False
) -> RenderableType:
    """Renders a run: state, verdict, loss curve, accuracies, learning rate and update ratios.

    Args:
        view: the run.
        width: the columns of the terminal.
        quiet: the seconds since its last heartbeat; NaN if there was none.
        interrupted: its process was killed.
    """
    run = view.result.run
    parts: list[RenderableType] = [headline(view)]
    if interrupted and not run.state.is_final:
        parts.append(Text("its process is gone: it was killed, or its machine restarted", style="yellow"))
    elif not run.state.is_final and not math.isnan(quiet):
        style = "dim" if quiet < 30 else "yellow"
        parts.append(Text(f"last heartbeat {duration_text(quiet)} ago", style=style))
    if view.verdict != Verdict() or run.state.is_final:
        parts.append(verdict_view(view.report))
    parts += [part for part in (_loss(view, width), _scores(view), _rates(view), _ratios(view)) if part]
    return Group(*parts)


def _loss(view: TrialView, width: int) -> Text | None:
    """Draws the loss in braille dots, from the lowest to the highest value of each bucket."""
    steps, costs = view.costs
    columns = max(LEAST_WIDTH, min(width, 110)) - 9
    found = bands(steps, costs, 2 * columns)
    kept = np.isfinite(found.low)
    if not kept.any():
        return None
    first = view.result.run.first_cost
    most = EXPLOSION_LIMIT * abs(first) if view.result.run.explosion and math.isfinite(first) else math.inf
    ends = [*found.low[kept].tolist(), *found.high[kept].tolist()]
    x = Axis(0.0, float(max(int(steps[-1]), 1)), False, "step")
    axes = (x, cost_axis([min(end, most) for end in ends]))
    # Each bucket from its lowest to its highest value, so that a spike of one step is drawn.
    places = np.repeat(found.last[kept], 2).astype(float)
    heights = np.stack([found.low[kept], np.minimum(found.high[kept], most)], axis=1).ravel()
    plot = overlay([DotCurve("loss", places.tolist(), heights.tolist())], axes, columns, _PLOT_HEIGHT)
    low, high = labels(axes[1])
    text = Text("loss", style="bold")
    newest, broken = number_text(float(found.latest[kept][-1])), int(found.broken.sum())
    note = f", {broken:,} steps were NaN or infinite" if broken else ""
    text.append(f"  {newest} at step {int(steps[-1]):,}{note}\n", style="not bold")
    for index, row in enumerate(plot.rows):
        label = high if index == 0 else low if index == len(plot.rows) - 1 else ""
        text.append(f"{label:>7} ", style="dim")
        for characters, owner in row:
            text.append(characters, style="" if owner is None else "cyan")
        text.append("\n")
    text.append(f"{'':>8}0{int(steps[-1]):>{columns - 1}}", style="dim")
    return text


def _scores(view: TrialView) -> Text | None:
    """Draws training and validation scores as one line of blocks each, with the gap between them."""
    readings = view.result.run.readings
    if not readings:
        return None
    accurate = any(math.isfinite(each.val_accuracy) for each in readings)
    val = [each.val_accuracy if accurate else each.val_loss for each in readings]
    text = Text("validation " if accurate else "validation loss ", style="bold")
    text.append(sparkline(val, 24), style="cyan")
    text.append(f" {percent_text(val[-1]) if accurate else number_text(val[-1])}", style="not bold")
    if accurate:
        train = [each.train_accuracy for each in readings]
        text.append("\ntraining   ").append(sparkline(train, 24), style="magenta")
        text.append(f" {percent_text(train[-1])}, gap {percent_text(train[-1] - val[-1])}", style="not bold")
    return text


def _rates(view: TrialView) -> Text | None:
    pairs = rate_pairs(view)
    if not pairs:
        return None
    text = Text("learning rate ", style="bold").append(number_text(pairs[-1][1]), style="not bold")
    touches = [touch_words(touch)[1] for touch in view.result.run.touches]
    changes = [rate_words(*change) for change in rate_changes(pairs)]
    by_schedule = changes if len(changes) <= 3 else [f"{len(changes)} changes by a schedule"]
    return text.append("".join(f"\n  {line}" for line in [*touches, *by_schedule]), style="not bold dim")


def _ratios(view: TrialView) -> Table | None:
    """Renders the update ratios of the first and last layers, now and over the run."""
    found = sorted(update_ratios(view.series), key=lambda one: in_order(one.layer))
    if not found:
        return None
    half = _MOST_RATIOS // 2
    shown = found if len(found) <= _MOST_RATIOS else [*found[:half], *found[-half:]]
    table = Table(box=None, pad_edge=False, title="update ratios, about 1e-3 is usual")
    table.show_header, table.title_justify = False, "left"
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=28)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in shown:
        usual = 1e-4 <= one.last <= 1e-2
        last = Text(number_text(one.last, 2), style="" if usual else "yellow")
        table.add_row(Text(one.layer), last, one.curve)
    return table


def study_frame(board: Board, found: Sequence[TrialLine], now: StudyStatus, width: int) -> RenderableType:
    """Renders a study: progress, best trial so far, alarms and running trials.

    Args:
        board: the study with its stages.
        found: all its trials.
        now: the study's status.
        width: the columns of the terminal.
    """
    study = board.study
    name, state = (f"study {study.id}: {study.name}", "bold"), (now.state, _style(now.state))
    head = Text.assemble(name, f", {study.kind}: ", state)
    counts = ", ".join(f"{count} {state}" for state, count in now.counts.items())
    head.append(f"\n{counts or 'no trial yet'}; {now.elapsed}")
    head.append(f", {now.left} left" if now.left != MISSING else "")
    parts: list[RenderableType] = [head]
    length = max(8, min(40, width - 34))
    for one in now.stages:
        done = round(one.share * length)
        bar = ("█" * done, "cyan"), ("░" * (length - done), "dim")
        parts.append(Text.assemble(f"{one.name[:14]:<14} ", *bar, f" {one.ended} of {one.trials}"))
    if now.best is not None:
        choice = ", ".join(f"{name} {value}" for name, value in now.best.values)
        parts.append(
            Text.assemble(("best ", "bold"), (now.best.score, "green"), f" {now.best.name}: {choice}")
        )
    parts += [Text(f"! {alarm.message} {alarm.proposal}", style="yellow") for alarm in now.alarms]
    parts += [Text(now.no_alarms, style="dim")] if now.no_alarms else []
    running = [line for line in found if line.state == State.RUNNING]
    shown = running or sorted(found, key=lambda line: -(line.best_score or -math.inf))
    if shown:
        parts.append(_trials(board, shown[:_MOST_RUNNING], "running" if running else "best", width))
    if len(shown) > _MOST_RUNNING:
        parts.append(Text(f"and {len(shown) - _MOST_RUNNING} more", style="dim"))
    return Group(*parts)


def _style(state: str) -> str:
    return STATE_STYLES.get(State(state), "") if state in list(State) else "yellow"


def _trials(board: Board, found: Sequence[TrialLine], title: str, width: int) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    names = [knob.name for knob in board.knobs][: _MOST_VALUES if width >= 80 else 1]
    for heading in ("trial", *names, "epoch", "cost", "best", ""):
        table.add_column(Text(heading), justify="left" if heading in ("trial", "") else "right", no_wrap=True)
    choices = overview.choices(found)
    for line, choice in zip(found, choices, strict=True):
        values = [knob.text(choice.get(knob.name)) for knob in board.knobs if knob.name in names]
        spark = np.frombuffer(line.spark, dtype="<f4").reshape(-1, 3)[:, 2]
        table.add_row(
            Text(trial_name(board, line.key)),
            *(Text(value) for value in values),
            str(line.epochs),
            MISSING if line.cost is None else number_text(line.cost, 3),
            MISSING if line.best_val_accuracy is None else percent_text(line.best_val_accuracy),
            Text(sparkline(spark, 16 if width >= 80 else 8), style=_style(line.state) or "cyan"),
        )
    return table
