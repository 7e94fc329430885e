"""The table of trials as figure data: one row a trial, best first."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from babysit.records import Result, Run, State, Value
from babysit.tuning.ranking import as_tried
from babysit.views.data.formatting import searched_names, touches_text, value_text, varied_names
from babysit.views.data.series import Spark, explosion_text, spark
from babysit.views.data.study import Key, StudyView


class TrialRow(NamedTuple):
    """One trial.

    Attributes:
        key: stage and number.
        stage: the stage's name.
        values: its hyperparameters in words, in the order of the table's names.
        order: the same, as what they are sorted by.
        state: where it stands.
        score: what is maximized; minus infinity without one.
        train_accuracy, val_accuracy, val_loss: at its best epoch; NaN where there are none.
        cost: of its last epoch.
        epochs: how many it trained.
        note: why it exploded or failed.
        best, tied: it is the best, or within one standard error of it.
        causes: how many were found.
        spark: its cost curve.
    """

    key: Key
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


def trial_table(view: StudyView, ties: Collection[Key] = ()) -> TrialTable:
    """All trials of a study.

    Args:
        view: the study.
        ties: the trials within one standard error of the best.
    """
    names = searched_names(stage.box for stage in view.stages) or varied_names(view.results)
    rows = [_row(view, result, names, ties) for result in best_first(view.results)]
    accuracy = not rows or any(math.isfinite(row.val_accuracy) for row in rows) or _no_losses(rows)
    return TrialTable(tuple(names), tuple(rows), accuracy)


def _no_losses(rows: Sequence[TrialRow]) -> bool:
    return not any(math.isfinite(row.val_loss) for row in rows)


def best_first(results: Sequence[Result]) -> list[Result]:
    """Results by falling score: first those of trials as they were tried, then those touched by hand, last
    those without a score, in the order in which they were tried.
    """
    return sorted(results, key=lambda result: (_class_of(result), -result.score, result.trial.key))


def _class_of(result: Result) -> int:
    return 2 if not math.isfinite(result.score) else int(result.run.is_touched)


def _row(view: StudyView, result: Result, names: Sequence[str], ties: Collection[Key]) -> TrialRow:
    run, key = result.run, result.trial.key
    best = run.best
    stages = {stage.index: stage.name for stage in view.stages}
    chosen = [result.trial.hyperparameters.get(name) for name in names]
    is_best = result is view.best
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
        note="; ".join(filter(None, (_end_text(run), touches_text(run)))),
        best=is_best,
        tied=key in ties and not is_best,
        causes=len(view.verdicts[key].causes) if key in view.verdicts else 0,
        spark=spark(view.costs.get(key, ([], []))[1], exploded=run.state is State.EXPLODED),
    )


def _end_text(run: Run) -> str:
    return explosion_text(run.explosion) if run.explosion else run.message


def tied_with_best(results: Sequence[Result], validation_rows: int) -> set[Key]:
    """The trials whose accuracy cannot be told from the best: within one standard error of it.

    Args:
        results: the trials.
        validation_rows: the size n of the validation split; the standard error is ``sqrt(p (1 - p) / n)``.

    Returns:
        Their keys, the best's own included; empty when there is no accuracy.
    """
    scored = [result for result in results if math.isfinite(result.score) and 0 <= result.score <= 1]
    scored = as_tried(scored) or scored
    if not scored or validation_rows < 1:
        return set()
    top = max(result.score for result in scored)
    error = math.sqrt(top * (1 - top) / validation_rows)
    return {result.trial.key for result in scored if result.score >= top - error}
