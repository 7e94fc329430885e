"""All trials of a study as plain rows with their axes, for the scripts of the command center."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from babysit.records import Explosion, Stage, State, Study, Value
from babysit.store import overview, queries
from babysit.store.overview import TrialLine
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
"""The columns of a row, in their order."""


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
        """True where scores are accuracies; of a regression they are losses."""
        return self.study.settings.get("loss") != "mse"

    @property
    def data(self) -> dict[str, Any]:
        """The axes and stages as plain data, for drawing the rows."""
        knobs = [
            {
                "name": knob.name,
                "low": knob.axis.low if knob.axis else 0,
                "high": knob.axis.high if knob.axis else 1,
                "log": bool(knob.axis and knob.axis.log),
                "options": knob.options,
                "maker": knob.maker,
                "ticks": [[_short(tick.position), tick.label] for tick in knob.ticks],
                "boxes": [None if box is None else [_short(end) for end in box] for box in knob.boxes],
            }
            for knob in self.knobs
        ]
        return {
            "study": self.study.id,
            "accuracy": self.accuracy,
            "columns": COLUMNS,
            "stages": [{"name": stage.name, "epochs": stage.epochs} for stage in self.stages],
            "knobs": knobs,
        }

    @property
    def edition(self) -> str:
        """Equal for two boards on which the same rows are drawn alike."""
        return hashlib.sha256(json.dumps(self.data).encode()).hexdigest()[:12]


def read_board(reader: Reader, study: int, found: Sequence[TrialLine] | None = None) -> Board:
    """Reads the axes of a study.

    Args:
        reader: the store.
        study: the study's number.
        found: its trials, if they are loaded; they are read only where no stage has searched ranges.

    Raises:
        StoreError: there is no such study.
    """
    record = queries.study(reader, study)
    stages = tuple(queries.stages(reader, study))
    choices: Sequence[Mapping[str, Value]] = ()
    if not searched_names([stage.box for stage in stages]):
        choices = overview.choices(overview.lines(reader, study) if found is None else found)
    return Board(record, stages, tuple(knobs(stages, choices)))


def rows(
    board: Board,
    found: Sequence[TrialLine],
    causes: Mapping[int, Mapping[str, int]],
    factors: Mapping[int, float],
) -> list[list[Any]]:
    """Returns trials as rows of :data:`COLUMNS`.

    Args:
        board: their axes.
        found: the trials.
        causes: the row of a trial -> severity -> the number of causes.
        factors: the row of a trial -> the factor by which the user changed its learning rate.
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
    line: TrialLine,
    choice: Mapping[str, Value],
    spark: str,
    causes: Mapping[str, int],
    factor: float | None,
) -> list[Any]:
    places = [knob.place(choice.get(knob.name)) for knob in shown]
    exploded = line.state == State.EXPLODED
    train, val = line.train_accuracy, line.val_accuracy
    return [
        line.stage,
        line.number,
        line.state,
        None if exploded else _rounded(line.best_score),
        None if train is None or val is None else _rounded(train - val),
        _rounded(line.explosion_cost if exploded else line.cost),
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


def _note(line: TrialLine) -> str:
    if line.explosion_step is None:
        return line.message
    costs = [math.nan if cost is None else cost for cost in (line.explosion_cost, line.first_cost)]
    return explosion_text(Explosion(line.explosion_step, line.explosion_epoch or 0, *costs))


def _rounded(value: float | None) -> float | None:
    """Rounds a number to five digits; None for NaN and infinity, which JSON lacks."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _short(place: float) -> float:
    return round(place, 4)
