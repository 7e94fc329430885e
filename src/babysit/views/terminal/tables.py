"""What the terminal shows, with Rich: the lecture's own lines, tables, panels and the progress of a search.

Names come from users, so every one of them is escaped before Rich reads it as markup.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.records import Edge, Reading, Result, Stage, State, Study, Value
from babysit.verdicts import CheckResult, Status
from babysit.views.data.formatting import (
    MISSING,
    is_searched,
    moment_text,
    number_text,
    percent_text,
    range_text,
    silenced_text,
    value_text,
    varied_names,
)
from babysit.views.data.ranked_trials import best_first
from babysit.views.data.series import explosion_text
from babysit.views.terminal.progress import (
    SearchProgress as SearchProgress,  # the live part of the terminal's face
)

STATE_STYLES = {State.EXPLODED: "red", State.FAILED: "red", State.RUNNING: "cyan", State.COMPLETE: "green"}
STATUS_MARKS = {
    Status.PASS: "[green]✓ pass[/]",
    Status.WARN: "[yellow]! warn[/]",
    Status.FAIL: "[red]✗ fail[/]",
}
MOST_NAMES = 4
"""The most hyperparameters a table of 80 columns has room for."""


def epoch_line(reading: Reading, epochs: int) -> str:
    """One epoch, in the lecture's words.

    Args:
        reading: what was measured at its end.
        epochs: how many epochs there will be.

    Example:
        >>> epoch_line(Reading(1, 490, 2.302576, 0.08, 0.103, 1e-6), 10)
        'Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1.000000e-06'
        >>> nan = float("nan")
        >>> epoch_line(Reading(1, 490, 4.5, nan, nan, 1e-6, val_loss=4.25), 10)
        'Finished epoch 1 / 10: cost 4.500000, val loss 4.250000, lr 1.000000e-06'
    """
    start = f"Finished epoch {reading.epoch} / {epochs}: cost {reading.cost:f}"
    if math.isnan(reading.val_accuracy) and not math.isnan(reading.val_loss):
        return f"{start}, val loss {reading.val_loss:f}, lr {reading.learning_rate:e}"
    scores = f"train: {reading.train_accuracy:f}, val {reading.val_accuracy:f}"
    return f"{start}, {scores}, lr {reading.learning_rate:e}"


def trial_line(result: Result, number: int, count: int, also: Sequence[str] = ()) -> str:
    """One trial of a search, in the lecture's words.

    Args:
        result: the trial and its run; an exploded run has the accuracy ``nan``.
        number: which of ``count`` it is; the lecture counts coarse trials from 1, fine ones from 0.
        count: how many there will be.
        also: further hyperparameters to show, after the learning rate and the regularization.

    Example:
        >>> from babysit.records import Run, Trial
        >>> run = Run(State.COMPLETE, (Reading(5, 2450, 1.6, 0.43, 0.412, 1e-4),))
        >>> choice = {"learning_rate": 1.405206e-4, "l2": 4.793564e-1}
        >>> trial_line(Result(Trial(0, 0, choice), run), 1, 100)
        'val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)'
    """
    choice = result.trial.hyperparameters
    best = result.run.best
    accuracy = best.val_accuracy if best else math.nan
    loss = best is not None and math.isnan(accuracy) and not math.isnan(best.val_loss)
    score = f"val_loss: {best.val_loss:f}" if best and loss else f"val_acc: {accuracy:f}"
    rates = f"lr: {_number(choice, 'learning_rate'):e}, reg: {_number(choice, 'l2'):e}"
    others = "".join(f", {name}: {value_text(choice.get(name))}" for name in also)
    return f"{score}, {rates}{others}, ({number} / {count})"


def _number(choice: Mapping[str, Value], name: str) -> float:
    value = choice.get(name, 0.0 if name == "l2" else math.nan)
    return float(value) if isinstance(value, int | float) else math.nan


def results_table(
    results: Sequence[Result], count: int = 10, ties: Collection[tuple[int, int]] = ()
) -> Table:
    """The best trials of a search, best first.

    Args:
        results: all trials.
        count: how many to show, default 10.
        ties: the trials within one standard error of the best, which are marked with ``≈``
            (see :func:`babysit.views.data.ranked_trials.tied_with_best`).
    """
    shown = best_first(results)[:count]
    names = varied_names(results)[:MOST_NAMES]
    table = Table(
        title=f"best {len(shown)} of {len(results)} trials", title_justify="left", box=None, pad_edge=False
    )
    accuracy = not any(_is_regression(result) for result in shown)
    for heading in ("", "trial", "val" if accuracy else "val loss", "train" if accuracy else "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold", max_width=18)
    table.add_column("state", no_wrap=True)
    for place, result in enumerate(shown):
        mark = "★" if place == 0 and result.run.best else "≈" if result.trial.key in ties else ""
        table.add_row(mark, *_result_cells(result, names, accuracy))
    if ties:
        table.caption = "≈ within one standard error of the best: a tie"
    return table


def _is_regression(result: Result) -> bool:
    best = result.run.best
    return best is not None and math.isnan(best.val_accuracy) and not math.isnan(best.val_loss)


def _result_cells(result: Result, names: Sequence[str], accuracy: bool) -> list[str]:
    best, state = result.run.best, result.run.state
    stage, number = result.trial.key
    if best is None:
        scores = [MISSING, MISSING]
    elif accuracy:
        scores = [percent_text(best.val_accuracy), percent_text(best.train_accuracy)]
    else:
        scores = [number_text(best.val_loss), number_text(best.cost)]
    values = [escape(value_text(result.trial.hyperparameters.get(name))) for name in names]
    return [
        f"{stage}/{number}",
        *scores,
        *values,
        _state_text(state) + (", touched" if result.run.is_touched else ""),
    ]


def _state_text(state: State) -> str:
    style = STATE_STYLES.get(state)
    return f"[{style}]{state.value}[/]" if style else state.value


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """The answers of the checks, with what was expected; advice below those that did not pass."""
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


def stage_panel(stage: Stage) -> Panel:
    """What a stage will search, and why."""
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


def edges_panel(edges: Sequence[Edge], silenced: Sequence[Edge] = ()) -> RenderableType:
    """The alarms for best values at the edge of what was searched, each with the range to search next.

    Args:
        edges: the alarms.
        silenced: alarms that ring no more; one line each, with the reason.
    """
    quiet = [Text(silenced_text(asdict(edge)), style="dim") for edge in silenced]
    if not edges:
        where = "All other best values" if silenced else "The best values"
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


INTERRUPTED = "interrupted"
"""The state of a study whose process is gone before it could say how it ended."""


def studies_table(
    studies: Sequence[Study], trials: Mapping[int, int] | None = None, interrupted: Sequence[int] = ()
) -> Table:
    """The studies in a store.

    Args:
        studies: newest first.
        trials: a study's number -> how many trials it has; default: not shown.
        interrupted: the numbers of those whose process is gone.
    """
    table = Table(box=None, pad_edge=False)
    headings = ["study", "name", "recipe", "kind", "state", "best val", "begun"]
    for heading in headings if trials is None else [*headings[:5], "trials", *headings[5:]]:
        right = heading in ("study", "trials", "best val")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for study in studies:
        cells = [
            str(study.id),
            escape(study.name),
            escape(study.recipe),
            escape(study.kind),
            f"[yellow]{INTERRUPTED}[/]" if study.id in interrupted else _state_text(study.state),
        ]
        counted = [] if trials is None else [str(trials.get(study.id, 0))]
        table.add_row(*cells, *counted, _best_of(study.outcome), moment_text(study.created))
    return table


def _best_of(outcome: Mapping[str, Any]) -> str:
    best = outcome.get("best") or {}
    if not isinstance(best, Mapping):
        return MISSING
    accuracy, loss = best.get("val_accuracy"), best.get("val_loss")
    if isinstance(accuracy, int | float) and math.isfinite(accuracy):
        return percent_text(accuracy)
    return f"loss {number_text(loss)}" if isinstance(loss, int | float) else MISSING


def exploded_lines(results: Iterable[Result]) -> list[str]:
    """One line for every exploded trial: when, and how far.

    Example:
        >>> exploded_lines([])
        []
    """
    return [
        f"trial {result.trial.stage}/{result.trial.number} {explosion_text(result.run.explosion)}"
        for result in results
        if result.run.explosion
    ]
