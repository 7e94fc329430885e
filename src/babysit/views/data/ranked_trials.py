"""The table of trials for the report: one row a trial, best first."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from babysit.records import Result, State, TrialKey, Value
from babysit.tuning.ranking import best_first
from babysit.views.data.formatting import searched_names, touches_text, value_text, varied_names
from babysit.views.data.series import Spark, explosion_text, spark
from babysit.views.data.study import StudyView


class TrialRow(NamedTuple):
    """One trial.

    Attributes:
        key: stage and number.
        stage: the stage's name.
        values: its hyperparameters in words, in the order of the table's names.
        order: its hyperparameters as sort keys.
        state: of its run.
        score: the maximized score; minus infinity without one.
        train_accuracy, val_accuracy, val_loss: at its best epoch; NaN where there are none.
        cost: of its last epoch.
        epochs: the number of epochs trained.
        note: why it exploded or failed.
        best, tied: it is the best, or within one standard error of it.
        causes: the number of causes found.
        spark: its cost curve.
    """

    key: TrialKey
    stage: str
    values: tuple[str, ...]
    order: tuple[Value, ...]
    state: State
    score: float
    train_accuracy: float
    val_accuracy: float
    val_loss: float
    cost: float
    epochs: int
    note: str
    best: bool
    tied: bool
    causes: int
    spark: Spark

    @property
    def gap(self) -> float:
        """Training minus validation accuracy; NaN where there are none."""
        return self.train_accuracy - self.val_accuracy


class TrialTable(NamedTuple):
    """The names of the hyperparameters shown, and the rows, best first."""

    names: tuple[str, ...]
    rows: tuple[TrialRow, ...]
    accuracy: bool


def trial_table(view: StudyView, ties: Collection[TrialKey] = ()) -> TrialTable:
    """Builds the table of all trials of a study.

    Args:
        view: the study.
        ties: the trials within one standard error of the best.
    """
    names = searched_names(stage.box for stage in view.stages) or varied_names(view.results)
    rows = [_row(view, result, names, ties) for result in best_first(view.results)]
    has_accuracy = any(math.isfinite(row.val_accuracy) for row in rows)
    accuracy = has_accuracy or not any(math.isfinite(row.val_loss) for row in rows)
    return TrialTable(tuple(names), tuple(rows), accuracy)


def _row(view: StudyView, result: Result, names: Sequence[str], ties: Collection[TrialKey]) -> TrialRow:
    run, key = result.run, result.trial.key
    best = run.best
    stages = {stage.index: stage.name for stage in view.stages}
    chosen = [result.trial.hyperparameters.get(name) for name in names]
    is_best = result is view.best
    end = explosion_text(run.explosion) if run.explosion else run.message
    return TrialRow(
        key=key,
        stage=stages.get(key[0], str(key[0])),
        values=tuple(value_text(value) for value in chosen),
        order=tuple("" if value is None else value for value in chosen),
        state=run.state,
        score=result.score,
        train_accuracy=best.train_accuracy if best else math.nan,
        val_accuracy=best.val_accuracy if best else math.nan,
        val_loss=best.val_loss if best else math.nan,
        cost=run.last.cost if run.last else math.nan,
        epochs=run.last.epoch if run.last else 0,
        note="; ".join(filter(None, (end, touches_text(run)))),
        best=is_best,
        tied=key in ties and not is_best,
        causes=len(view.verdicts[key].causes) if key in view.verdicts else 0,
        spark=spark(view.costs.get(key, ([], []))[1], exploded=run.state is State.EXPLODED),
    )
