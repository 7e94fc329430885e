"""All trials of a study as plain rows, and the axes they lie on: what the command center's scripts draw."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from babysit.records import Explosion, Stage, State, Study, Value
from babysit.store import overview, queries
from babysit.store.overview import Line
from babysit.store.reader import Reader
from babysit.verdicts import Severity
from babysit.views.data.formatting import searched_names
from babysit.views.data.hyperparameters import Knob, knobs
from babysit.views.data.series import explosion_text
from babysit.views.data.sparklines import spark_texts

COLUMNS = (
    "stage",
    "number",
    "state",
    "score",
    "gap",
    "cost",
    "epochs",
    "steps",
    "findings",
    "severity",
    "note",
    "factor",
    "version",
    "spark",
    "places",
    "values",
)
"""What stands where in a row."""


class Board(NamedTuple):
    """A study's axes and stages.

    Attributes:
        study: the study.
        stages: its stages, first to last.
        knobs: the hyperparameters that differ between trials.
    """

    study: Study
    stages: tuple[Stage, ...]
    knobs: tuple[Knob, ...]

    @property
    def accuracy(self) -> bool:
        """Whether scores are accuracies; of a regression they are losses."""
        return self.study.settings.get("loss") != "mse"

    @property
    def data(self) -> dict[str, Any]:
        """What a page must know to draw the rows."""
        return {
            "study": self.study.id,
            "accuracy": self.accuracy,
            "columns": COLUMNS,
            "stages": [{"name": stage.name, "epochs": stage.epochs} for stage in self.stages],
            "knobs": [_knob_data(knob) for knob in self.knobs],
        }

    @property
    def edition(self) -> str:
        """Equal for two boards on which the same rows are drawn alike."""
        return hashlib.sha256(json.dumps(self.data).encode()).hexdigest()[:12]


def read_board(reader: Reader, study: int, found: Sequence[Line] | None = None) -> Board:
    """The axes of a study.

    Args:
        reader: the store.
        study: the study's number.
        found: its trials, where they are at hand; they are read only if no stage says what was searched.

    Raises:
        StoreError: there is no such study.
    """
    asked = queries.study(reader, study)
    stages = tuple(queries.stages(reader, study))
    choices: Sequence[Mapping[str, Value]] = ()
    if not searched_names([stage.box for stage in stages]):
        choices = overview.choices(overview.lines(reader, study) if found is None else found)
    return Board(asked, stages, tuple(knobs(stages, choices)))


def _knob_data(knob: Knob) -> dict[str, Any]:
    axis = knob.axis
    return {
        "name": knob.name,
        "low": axis.low if axis else 0,
        "high": axis.high if axis else 1,
        "log": bool(axis and axis.log),
        "options": knob.options,
        "maker": knob.maker,
        "ticks": [[_short(tick.position), tick.label] for tick in knob.ticks],
        "boxes": [None if box is None else [_short(end) for end in box] for box in knob.boxes],
    }


def rows(
    board: Board,
    found: Sequence[Line],
    causes: Mapping[int, Mapping[str, int]],
    factors: Mapping[int, float],
) -> list[list[Any]]:
    """Trials as rows of :data:`COLUMNS`.

    Args:
        board: their axes.
        found: the trials.
        causes: the row of a trial -> severity -> how many.
        factors: the row of a trial -> what its learning rate was multiplied with by hand.
    """
    exploded = [line.state == State.EXPLODED for line in found]
    sparks = spark_texts([line.spark for line in found], exploded)
    tried = overview.choices(found)
    return [
        _row(board.knobs, line, choice, spark, causes.get(line.row, {}), factors.get(line.row))
        for line, choice, spark in zip(found, tried, sparks, strict=True)
    ]


def _row(
    shown: Sequence[Knob],
    line: Line,
    choice: Mapping[str, Value],
    spark: str,
    causes: Mapping[str, int],
    factor: float | None,
) -> list[Any]:
    places = [knob.place(choice.get(knob.name)) for knob in shown]
    return [
        line.stage,
        line.number,
        line.state,
        _score(line),
        _gap(line),
        _rounded(line.explosion_cost if line.state == State.EXPLODED else line.cost),
        line.epochs,
        line.steps,
        sum(causes.values()),
        min(causes, key=lambda name: Severity(name).rank, default=""),
        _note(line),
        factor,
        line.version,
        spark,
        [None if math.isnan(place) else _short(place) for place in places],
        [knob.text(choice.get(knob.name)) for knob in shown],
    ]


def _score(line: Line) -> float | None:
    """What is maximized; of an exploded run nothing is told."""
    return None if line.state == State.EXPLODED else _rounded(line.best_score)


def _gap(line: Line) -> float | None:
    if line.train_accuracy is None or line.val_accuracy is None:
        return None
    return _rounded(line.train_accuracy - line.val_accuracy)


def _note(line: Line) -> str:
    if line.explosion_step is None:
        return line.message
    nothing = math.nan
    return explosion_text(
        Explosion(
            line.explosion_step,
            line.explosion_epoch or 0,
            nothing if line.explosion_cost is None else line.explosion_cost,
            nothing if line.first_cost is None else line.first_cost,
        )
    )


def _rounded(value: float | None) -> float | None:
    """A number in five digits, as JSON can hold it."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _short(place: float) -> float:
    return round(place, 4)
