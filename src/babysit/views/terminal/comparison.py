"""Trials beside each other: only the settings that differ, what came of each, their curves overlaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.records import Result, Run, Study, Value, score
from babysit.verdicts import Verdict
from babysit.views.data.axes import Axis, make_axis
from babysit.views.data.formatting import MISSING, score_text, value_text
from babysit.views.data.series import explosion_text
from babysit.views.data.trial_rows import finite
from babysit.views.terminal.tables import STATE_STYLES
from babysit.views.terminal.unicode_plots import Curve, labels, overlay
from babysit.views.terminal.verdict import HEALTH_WORDS

_ASKED = ("loss", "update", "schedule", "epochs", "dataset", "train_examples", "precision")
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")


@dataclass(frozen=True)
class Compared:
    """One of the things that are compared: a trial, or a study by its best trial.

    Attributes:
        name: as it was typed.
        study: the study.
        result: the trial; None for a study in which none has a score.
        settings: what was asked of the study, where a whole study is compared.
        trials: how many trials the study has, where a whole study is compared; 0 for a trial.
        verdict: on the trial.
    """

    name: str
    study: Study
    result: Result | None
    settings: dict[str, Value] = field(default_factory=dict)
    trials: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def values(self) -> dict[str, Value]:
        """Everything that was set, hyperparameters last."""
        return {**self.settings, **(dict(self.result.trial.hyperparameters) if self.result else {})}


def study_settings(study: Study) -> dict[str, Value]:
    """What was asked of a whole study, as far as it may differ between studies."""
    told = study.settings
    stages = ",".join(f"{name}:{trials}x{epochs}" for name, trials, epochs in told.get("stages") or ())
    found: dict[str, Value] = {"recipe": study.recipe, "seed": study.seed, "stages": stages}
    return found | {name: told[name] for name in _ASKED if name in told}


def differing(compared: Sequence[Compared]) -> list[str]:
    """The settings that are not the same everywhere, in the order in which they appear."""
    values = [one.values for one in compared]
    names = list(dict.fromkeys(name for known in values for name in known))
    return [name for name in names if len({repr(known.get(name)) for known in values}) > 1]


def comparison_view(compared: Sequence[Compared]) -> RenderableType:
    """The comparison for a terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for index, one in enumerate(compared):
        table.add_column(Text(one.name, style=_colour(index)), justify="right", overflow="fold")
    for name in differing(compared):
        told = [escape(value_text(one.values[name])) if name in one.values else MISSING for one in compared]
        table.add_row(escape(name), *told)
    if not differing(compared):
        table.add_row("settings", *["equal" for _ in compared])
    for heading, cells in _outcomes(compared):
        table.add_row(Text(heading, style="bold"), *cells)
    curves = [(index, one.result.run) for index, one in enumerate(compared) if one.result is not None]
    return Group(table, *_plots(curves))


def _outcomes(compared: Sequence[Compared]) -> list[tuple[str, list[Text]]]:
    rows = [
        ("state", [_state(one) for one in compared]),
        ("best validation", [Text(score_text(one.result) if one.result else MISSING) for one in compared]),
        ("epochs", [Text(str(len(one.result.run.readings)) if one.result else MISSING) for one in compared]),
        ("verdict", [Text(HEALTH_WORDS[one.verdict.health]) for one in compared]),
        ("causes", [Text("\n".join(each.rule for each in one.verdict.causes) or "none") for one in compared]),
    ]
    if any(one.trials for one in compared):
        rows.insert(1, ("trials", [Text(str(one.trials or MISSING)) for one in compared]))
    return rows


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


def _plots(runs: Sequence[tuple[int, Run]]) -> list[RenderableType]:
    """The validation scores by epoch; accuracies and losses are not drawn over each other."""
    drawn = [(index, run) for index, run in runs if run.readings]
    if not drawn:
        return []
    accuracy = any(finite(one.val_accuracy) is not None for _, run in drawn for one in run.readings)
    curves = [
        (
            index,
            Curve(
                "",
                [float(one.epoch) for one in run.readings],
                [one.val_accuracy if accuracy else one.val_loss for one in run.readings],
            ),
        )
        for index, run in drawn
    ]
    last = max(curve.x[-1] for _, curve in curves)
    x = Axis(0.0, max(last, 1.0), False, "epoch", whole=True)
    y = make_axis([value for _, curve in curves for value in curve.y], "")
    what = "validation accuracy" if accuracy else "validation loss"
    return [_plot(curves, (x, y), f"{what} by epoch")]


def _plot(curves: Sequence[tuple[int, Curve]], axes: tuple[Axis, Axis], title: str) -> Text:
    plot = overlay([curve for _, curve in curves], axes)
    low, high = labels(axes[1])
    width = max(len(low), len(high))
    text = Text(f"\n{title}\n", style="")
    for line, row in enumerate(plot.rows):
        label = high if line == 0 else low if line == len(plot.rows) - 1 else ""
        text.append(f"{label:>{width}} ┤", style="dim")
        for characters, owner in row:
            text.append(characters, style="" if owner is None else _colour(curves[owner][0]))
        text.append("\n")
    first, last = labels(axes[0])
    length = sum(len(characters) for characters, _ in plot.rows[0])
    text.append(f"{'':>{width}}  {first}{last:>{length - len(first)}}", style="dim")
    return text


def comparison_data(compared: Sequence[Compared]) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "differing": differing(compared),
        "compared": [
            {
                "name": one.name,
                "study": one.study.id,
                "trial": None if one.result is None else list(one.result.trial.key),
                "state": str(one.study.state if one.trials or one.result is None else one.result.run.state),
                "trials": one.trials,
                "values": {name: one.values.get(name) for name in differing(compared)},
                "score": None if one.result is None else finite(one.result.score),
                "epochs": 0 if one.result is None else len(one.result.run.readings),
                "scores": [] if one.result is None else [score(each) for each in one.result.run.readings],
                "verdict": str(one.verdict.health),
                "causes": [cause.rule for cause in one.verdict.causes],
            }
            for one in compared
        ],
    }
